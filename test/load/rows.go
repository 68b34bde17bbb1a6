package load

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	benchMailboxes = 100
	warmPerConn    = 4
	memoryConns    = 200 // connections of the rows that weigh a server while it accepts
	memoryIdle     = 500 // sessions of those that weigh it while it idles
	memoryEvery    = 50 * time.Millisecond
)

// The tables that rows stand in; that of rates is the empty one.
const (
	kindMemory  = "memory"
	kindCalls   = "calls"
	kindAllocs  = "allocs"
	kindProfile = "profile" // none: the profile is left as a file
)

// row is one line of a table: a peer doing one thing.
type row struct {
	name    string
	kind    string // the table that it stands in
	missing string // why it cannot run here; empty if it can
	run     func(ctx context.Context, dir string) (*Result, error)
}

// chosenRows: a word that is the name of a row chooses it alone.
func (b *bench) chosenRows() []row {
	all := b.allRows()
	var chosen []row
	for _, r := range all {
		for word := range strings.SplitSeq(b.only, ",") {
			word = strings.TrimSpace(word)
			whole := slices.ContainsFunc(all, func(r row) bool { return r.name == word })
			if r.name == word || !whole && strings.Contains(r.name, word) {
				chosen = append(chosen, r)
				break
			}
		}
	}
	return chosen
}

// allRows: the number of messages is what a peer does in some seconds.
func (b *bench) allRows() []row {
	pf, dc := postfixMissing(), dovecotMissing()
	both := pf
	if both == "" {
		both = dc
	}
	hayauma, err := findHayauma(b.hayauma)
	ours := ""
	if err != nil {
		ours = err.Error()
	}
	h := &hayaumaRows{bench: b, program: hayauma}
	rows := append(b.acceptRows(h, pf, ours), b.relayRows(h, pf, ours)...)
	return append(rows, []row{
		{name: "postfix+dovecot-local", missing: both, run: b.postfixLocal},
		{name: "dovecot-lmtp", missing: dc, run: b.dovecotLMTP},
		{name: "hayauma-local", missing: ours, run: h.local},
		{name: "hayauma-postgres-accept", missing: cmp.Or(ours, b.postgresMissing()), run: h.on(b.inPostgres).accept},
		{name: "hayauma-postgres-local", missing: cmp.Or(ours, b.postgresMissing()), run: h.on(b.inPostgres).local},
		{name: "hayauma-s3-accept", missing: cmp.Or(ours, b.s3Missing()), run: h.on(b.inS3).accept},
		{name: "hayauma-s3-local", missing: cmp.Or(ours, b.s3Missing()), run: h.on(b.inS3).local},
		{name: "dovecot-logins", missing: dc, run: b.dovecotLogins},
		{name: "hayauma-logins", missing: ours, run: h.logins},
		{name: "hayauma-logins-first", missing: ours, run: h.firstLogins},
		{name: "postfix-memory-accept", kind: kindMemory, missing: pf, run: b.postfixMemory},
		{name: "hayauma-memory-accept", kind: kindMemory, missing: ours, run: h.memoryAccept},
		{name: "dovecot-memory-idle", kind: kindMemory, missing: dc, run: b.dovecotIdle},
		{name: "hayauma-memory-idle", kind: kindMemory, missing: ours, run: h.memoryIdle},
		{name: "postfix-calls", kind: kindCalls, missing: cmp.Or(pf, callsMissing()), run: b.postfixCalls},
		{name: "hayauma-calls", kind: kindCalls, missing: cmp.Or(ours, callsMissing()), run: h.calls},
		{name: "hayauma-allocs", kind: kindAllocs, missing: ours, run: h.allocs},
		{name: "hayauma-profile", kind: kindProfile, missing: cmp.Or(ours, b.profileMissing()), run: h.profile},
	}...)
}

// to is the source for a row, with the row's own count unless one was asked for.
func (b *bench) to(addr, domain string, messages int) Source {
	s := b.source
	s.Addr, s.Domain, s.Mailboxes = addr, domain, benchMailboxes
	s.Messages = messages
	if b.messages > 0 {
		s.Messages = b.messages
	}
	return s
}

func (b *bench) warm() int { return b.source.Conns * warmPerConn }

func (b *bench) ceiling(ctx context.Context, _ string) (*Result, error) {
	sink, err := startSink(ctx)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	return drive{source: b.to(sink.Address(), remoteDomain, 30000), warm: b.warm()}.run(ctx)
}

func startSink(ctx context.Context) (*Sink, error) {
	s := &Sink{Addr: "127.0.0.1:0"}
	return s, s.Start(ctx)
}

func (b *bench) postfixLocal(ctx context.Context, dir string) (*Result, error) {
	d, err := startDovecot(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	p, err := startPostfix(ctx, dir, postfixLocal(localDomain, d.socket))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	run := drive{source: b.to(p.smtp, localDomain, 2500), warm: b.warm(), pids: []int{p.pid(), d.pid()}, settled: d.settle}
	return run.run(ctx)
}

func (b *bench) dovecotLMTP(ctx context.Context, dir string) (*Result, error) {
	d, err := startDovecot(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	s := b.to(d.lmtp, localDomain, 4000)
	s.LMTP = true
	return drive{source: s, warm: b.warm(), pids: []int{d.pid()}, settled: d.settle}.run(ctx)
}

func (b *bench) postfixMemory(ctx context.Context, dir string) (*Result, error) {
	p, err := startPostfix(ctx, dir, postfixHold())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	return b.weighAccept(ctx, p.smtp, 5000, p.pid())
}

// weighAccept measures with many connections that are never renewed and looks at
// memory often. Fewer messages than the row's own would be gone before a peer that
// forks has all its processes.
func (b *bench) weighAccept(ctx context.Context, addr string, messages, pid int) (*Result, error) {
	s := b.to(addr, remoteDomain, messages)
	s.Conns, s.PerConn, s.Messages = memoryConns, 0, max(s.Messages, messages)
	return drive{source: s, warm: memoryConns, pids: []int{pid}, every: memoryEvery}.run(ctx)
}

func (b *bench) dovecotIdle(ctx context.Context, dir string) (*Result, error) {
	d, err := startDovecot(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	r := &Reader{Addr: d.imap, Mailboxes: benchMailboxes, Password: dovecotPassword}
	return weighIdle(ctx, r, d.pid())
}

// weighIdle measures after the logins of many sessions. The rate is that of the
// logins.
func weighIdle(ctx context.Context, r *Reader, pid int) (*Result, error) {
	r.Sessions = memoryIdle
	var u Usage
	var took time.Duration
	began := time.Now()
	res, err := r.HoldIdle(ctx, func() (err error) {
		took = time.Since(began)
		u, err = ReadUsage(pid)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(res.Errors) > 0 {
		return nil, fmt.Errorf("idle sessions: %v", res.Errors)
	}
	out := &Result{Messages: res.Sessions, Latency: res.Steps["login"]}
	out.close(took)
	out.weigh(u)
	return out, nil
}

// hayaumaRows are the rows of the binary under test.
type hayaumaRows struct {
	*bench
	program string
	seed    string // data with the accounts in it, made once, copied for each run

	// storage makes lines of [storage] that name empty engines; nil = embedded
	storage func(ctx context.Context) (lines string, err error)
}

// on is the same rows on other engines.
func (h *hayaumaRows) on(storage func(context.Context) (string, error)) *hayaumaRows {
	return &hayaumaRows{bench: h.bench, program: h.program, storage: storage}
}

// withAccounts is the data that rows with mailboxes begin with.
func (h *hayaumaRows) withAccounts(ctx context.Context) (string, error) {
	if h.seed != "" {
		return h.seed, nil
	}
	dir := filepath.Join(h.root, "hayauma-accounts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	seed, err := makeAccounts(ctx, dir, hayaumaSetup{program: h.program}, benchMailboxes)
	if err != nil {
		return "", err
	}
	h.seed = seed
	return seed, nil
}

// startLocal starts an instance that has the accounts.
func (h *hayaumaRows) startLocal(ctx context.Context, dir string) (s *hayauma, stop func(), err error) {
	if h.storage != nil {
		lines, err := h.storage(ctx)
		if err != nil {
			return nil, nil, err
		}
		setup := hayaumaSetup{program: h.program, storage: lines}
		if _, err := makeAccounts(ctx, dir, setup, benchMailboxes); err != nil {
			return nil, nil, err
		}
		return h.start(ctx, dir, setup)
	}
	seed, err := h.withAccounts(ctx)
	if err != nil {
		return nil, nil, err
	}
	return h.start(ctx, dir, hayaumaSetup{seed: seed})
}

// start brings up a name server and Hayauma; the caller calls stop.
func (h *hayaumaRows) start(ctx context.Context, dir string, setup hayaumaSetup) (s *hayauma, stop func(), err error) {
	if h.storage != nil && setup.storage == "" {
		if setup.storage, err = h.storage(ctx); err != nil {
			return nil, nil, err
		}
	}
	ns, err := startNameserver(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	setup.program, setup.resolver = h.program, ns.addr
	if s, err = startHayauma(ctx, dir, setup); err != nil {
		ns.stop()
		return nil, nil, err
	}
	return s, func() { s.stop(); ns.stop() }, nil
}

// local is settled at the 250; afterwards the mailboxes are counted, because a 250
// that filed nothing must not win.
func (h *hayaumaRows) local(ctx context.Context, dir string) (*Result, error) {
	s, stop, err := h.startLocal(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer stop()
	src := h.to(s.smtp, localDomain, 12000)
	res, err := drive{source: src, warm: h.warm(), pids: []int{s.pid()}}.run(ctx)
	if err != nil {
		return nil, err
	}
	filed, err := s.count(ctx, benchMailboxes)
	if err != nil {
		return nil, err
	}
	if want := int64(h.warm() + src.Messages); filed != want {
		return nil, fmt.Errorf("%d messages got 250, the mailboxes hold %d", want, filed)
	}
	return res, nil
}

func (h *hayaumaRows) memoryAccept(ctx context.Context, dir string) (*Result, error) {
	s, stop, err := h.start(ctx, dir, hayaumaSetup{hold: true})
	if err != nil {
		return nil, err
	}
	defer stop()
	return h.weighAccept(ctx, s.smtp, 20000, s.pid())
}

func (h *hayaumaRows) memoryIdle(ctx context.Context, dir string) (*Result, error) {
	s, stop, err := h.startLocal(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer stop()
	return weighIdle(ctx, s.reader(benchMailboxes), s.pid())
}
