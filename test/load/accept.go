package load

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// crowd is how many sessions are open beside the row that shows what they cost.
const crowd = 5000

// acceptance is one shape of the rows that accept mail. The numbers of messages
// are what a server takes in some seconds.
type acceptance struct {
	suffix       string // of the names of its rows
	shape        func(*Source)
	tls          bool
	idle         int // sessions that say nothing more beside it; only ours has that row
	theirs, ours int
}

func acceptances() []acceptance {
	return []acceptance{
		{suffix: "", theirs: 6000, ours: 20000},
		{suffix: "-once", shape: func(s *Source) { s.PerConn = 1 }, theirs: 3000, ours: 10000},
		{suffix: "-50k", shape: func(s *Source) { s.Size = 50 << 10 }, theirs: 3000, ours: 10000},
		{suffix: "-tls", shape: func(s *Source) { s.StartTLS = true }, tls: true, theirs: 5000, ours: 15000},
		{suffix: "-200", shape: func(s *Source) { s.Conns = 200 }, theirs: 6000, ours: 20000},
		{suffix: "-crowd", idle: crowd, ours: 20000},
	}
}

// acceptRows puts the rows that are compared beside each other.
func (b *bench) acceptRows(h *hayaumaRows, postfix, ours string) []row {
	rows := []row{
		{name: "ceiling", run: b.ceiling},
		{name: "sink-accept", missing: ours, run: h.sinkAccept},
		{name: "smtp-sink-accept", missing: smtpSinkMissing(), run: func(ctx context.Context, dir string) (*Result, error) {
			return b.smtpSink(ctx, dir, relaying{ours: sunk})
		}},
	}
	for _, a := range acceptances() {
		if a.theirs > 0 {
			rows = append(rows, row{name: "postfix-accept" + a.suffix, missing: postfix, run: func(ctx context.Context, dir string) (*Result, error) {
				return b.postfixAccept(ctx, dir, a)
			}})
		}
		rows = append(rows, row{name: "hayauma-accept" + a.suffix, missing: ours, run: func(ctx context.Context, dir string) (*Result, error) {
			return h.acceptLike(ctx, dir, a)
		}})
	}
	return rows
}

// like is the source of a row.
func (a acceptance) like(s Source) Source {
	if a.shape != nil {
		a.shape(&s)
	}
	return s
}

func (b *bench) postfixAccept(ctx context.Context, dir string, a acceptance) (*Result, error) {
	setup := postfixHold()
	if a.tls {
		pair, err := makePair(dir)
		if err != nil {
			return nil, err
		}
		setup.main += "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = " + pair.key + " " + pair.cert + "\n"
	}
	p, err := startPostfix(ctx, dir, setup)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	s := a.like(b.to(p.smtp, remoteDomain, a.theirs))
	return drive{source: s, warm: s.Conns * warmPerConn, pids: []int{p.pid()}, kept: p.held(dir)}.run(ctx)
}

func (h *hayaumaRows) accept(ctx context.Context, dir string) (*Result, error) {
	return h.acceptLike(ctx, dir, acceptances()[0])
}

func (h *hayaumaRows) acceptLike(ctx context.Context, dir string, a acceptance) (*Result, error) {
	setup := hayaumaSetup{hold: true}
	if a.tls {
		var err error
		if setup.pair, err = makePair(dir); err != nil {
			return nil, err
		}
	}
	s, stop, err := h.start(ctx, dir, setup)
	if err != nil {
		return nil, err
	}
	defer stop()
	leave, err := standBy(ctx, s.smtp, a.idle)
	if err != nil {
		return nil, err
	}
	defer leave()
	src := a.like(h.to(s.smtp, remoteDomain, a.ours))
	return drive{source: src, warm: src.Conns * warmPerConn, pids: []int{s.pid()}, kept: s.held}.run(ctx)
}

// standBy opens sessions that have heard the reply to their EHLO and say nothing
// more until leave is called.
func standBy(ctx context.Context, addr string, sessions int) (leave func(), err error) {
	cfg, err := (&Source{Addr: addr}).withDefaults()
	if err != nil {
		return nil, err
	}
	target, err := ParseTarget(ctx, addr)
	if err != nil {
		return nil, err
	}
	idle := &sourceRun{cfg: cfg, target: target}
	open := make([]*dialogue, 0, sessions)
	leave = func() {
		for _, d := range open {
			d.close()
		}
	}
	for range sessions {
		d, err := idle.open(ctx)
		if err != nil {
			leave()
			return nil, fmt.Errorf("idle session %d: %w", len(open)+1, err)
		}
		open = append(open, d)
	}
	return leave, nil
}

// held counts what is in Postfix's queue of mail on hold.
func (p *postfix) held(dir string) func(context.Context) (int64, error) {
	return func(context.Context) (n int64, err error) {
		err = filepath.WalkDir(filepath.Join(dir, "queue", "hold"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return err
		})
		return n, err
	}
}

// sinkAccept measures a sink in a process of its own, as a server has one.
func (h *hayaumaRows) sinkAccept(ctx context.Context, dir string) (*Result, error) {
	return h.intoSink(ctx, dir, relaying{ours: sunk}, func(addr string) launch {
		return launch{dir: dir, program: h.program, args: []string{"bench", "sink", "-addr", addr}}
	})
}

// sunk is how many messages a sink gets.
const sunk = 30000

func smtpSinkMissing() string {
	if _, err := findProgram("smtp-sink"); err != nil {
		return err.Error()
	}
	return ""
}

// smtpSink measures Postfix's sink, which has one thread.
func (b *bench) smtpSink(ctx context.Context, dir string, r relaying) (*Result, error) {
	program, err := findProgram("smtp-sink")
	if err != nil {
		return nil, err
	}
	return b.intoSink(ctx, dir, r, func(addr string) launch {
		args := []string{addr, strconv.Itoa(cmp.Or(b.source.Conns, 1))}
		if os.Geteuid() == 0 {
			args = append([]string{"-u", "nobody"}, args...)
		}
		return launch{dir: dir, program: program, args: args}
	})
}

func (b *bench) intoSink(ctx context.Context, dir string, r relaying, at func(addr string) launch) (*Result, error) {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, at(ports[0]))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.greets(ctx, ports[0]); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return drive{source: r.source(b, ports[0], r.ours), warm: b.warm(), pids: []int{p.pid()}}.run(ctx)
}
