package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/crash/readback"
	"github.com/hayauma/hayauma/test/load"
)

const (
	localDomain  = "local.test"
	remoteDomain = "dest.test"
	password     = "a-password-for-proofs"
	accounts     = 4
	group        = "user4@" + localDomain // leads to user0, user1 and outside
	outside      = "out@" + remoteDomain
	largeSize    = 1300 << 10
)

func account(n int) string { return fmt.Sprintf("user%d@%s", n, localDomain) }

// confirmed is what the server has taken responsibility for.
type confirmed struct {
	mu       sync.Mutex
	messages []load.Accepted
	appended []string // Message-IDs in the mailboxes of user0
	expunged map[string]bool
	unsure   map[string]bool // an expunge was begun and not confirmed
	sizes    map[string]int  // of the messages by the name of their run
	failures []error
}

// generator is the load that goes on while the server is killed.
type generator struct {
	smtp, lmtp, imap string

	got  confirmed
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// flow is a source of messages with its pace.
type flow struct {
	load.Source
	every time.Duration // between two confirmed messages
}

// start begins the load; it lasts until end.
func (g *generator) start(t *testing.T) {
	t.Helper()
	ctx := g.open(t)
	for _, f := range []flow{
		{load.Source{Run: "local", Addr: g.smtp, Domain: localDomain, Mailboxes: accounts + 1, Rcpts: 2, Size: 6000, Conns: 4, PerConn: 50, Pipeline: true}, 4 * time.Millisecond},
		{load.Source{Run: "remote", Addr: g.smtp, Domain: remoteDomain, Mailboxes: 7, Rcpts: 3, Size: 5000, Conns: 3}, 6 * time.Millisecond},
		{load.Source{Run: "large", Addr: g.smtp, Domain: localDomain, Mailboxes: accounts, Rcpts: 2, Size: largeSize, Conns: 2}, 200 * time.Millisecond},
		{load.Source{Run: "lmtp", Addr: g.lmtp, LMTP: true, Domain: localDomain, Mailboxes: accounts, Size: 3000, Conns: 2}, 8 * time.Millisecond},
	} {
		g.send(ctx, f)
	}
	g.wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			g.fail("appends", g.appends(ctx, n))
		}
	})
}

// open makes room for what will be confirmed. The context ends with the load.
func (g *generator) open(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	g.stop = stop
	g.got.expunged, g.got.unsure, g.got.sizes = map[string]bool{}, map[string]bool{}, map[string]int{}
	return ctx
}

// send begins one flow of the load. All are begun before any message is looked for.
func (g *generator) send(ctx context.Context, s flow) {
	s.Messages, s.Repeat, s.RepeatFor = 1<<30, true, time.Minute
	g.got.sizes[s.Run] = s.Size
	pace := time.NewTicker(s.every)
	s.OnAccepted = func(a load.Accepted) error {
		g.got.mu.Lock()
		g.got.messages = append(g.got.messages, a)
		g.got.mu.Unlock()
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
		return nil
	}
	g.wg.Go(func() {
		defer pace.Stop()
		result, err := s.Send(ctx)
		if err == nil && ctx.Err() == nil {
			err = fmt.Errorf("the source gave up: %v", result.Errors)
		}
		if err == nil && slices.ContainsFunc(kinds(result), func(k string) bool { return strings.HasPrefix(k, "final 5") }) {
			err = fmt.Errorf("refused for good: %v", result.Errors)
		}
		g.fail(s.Run, err)
	})
}

func kinds(r *load.Result) (all []string) {
	for k := range r.Errors {
		all = append(all, k)
	}
	return all
}

func (g *generator) fail(who string, err error) {
	if err == nil {
		return
	}
	g.got.mu.Lock()
	defer g.got.mu.Unlock()
	g.got.failures = append(g.got.failures, fmt.Errorf("%s: %w", who, err))
}

// end lets the messages under way finish and returns what was confirmed.
func (g *generator) end(t *testing.T) *confirmed {
	t.Helper()
	g.stop()
	g.wg.Wait()
	if err := errors.Join(g.got.failures...); err != nil {
		t.Errorf("the load: %v", err)
	}
	return &g.got
}

// appendPause keeps the mailbox small enough to be read at the end.
const appendPause = 10 * time.Millisecond

// appends is one IMAP session that lasts until the server dies. What it began and
// was not told about is not begun again: IMAP has no way to ask.
func (g *generator) appends(ctx context.Context, session int) error {
	s, err := readback.DialIMAP(ctx, g.imap, "k", account(0), password)
	if err != nil {
		pause(ctx)
		return nil // the server is down
	}
	defer func() { _ = s.Close() }() // it may be dead
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("<append%d.%d@proof.test>", session, n)
		size := 900 + 400*(n%20)
		if n%50 == 17 {
			size = largeSize
		}
		if _, err := s.Append("Archive", readback.Compose(id, account(0), size)); err != nil {
			return nil
		}
		g.got.mu.Lock()
		g.got.appended = append(g.got.appended, id)
		g.got.unsure[id] = n%7 == 3
		g.got.mu.Unlock()
		if n%7 == 3 {
			if err := expunge(s); err != nil {
				return nil
			}
			g.got.mu.Lock()
			g.got.expunged[id] = true
			g.got.mu.Unlock()
		}
		pause(ctx)
	}
	return nil
}

// expunge removes the newest message of Archive.
func expunge(s *readback.IMAP) error {
	for _, c := range []string{"SELECT Archive", `STORE * +FLAGS.SILENT (\Deleted)`, "EXPUNGE", "UNSELECT"} {
		if _, _, err := s.Do(c); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context) {
	t := time.NewTimer(appendPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
