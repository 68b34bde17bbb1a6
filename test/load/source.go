package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Source sends messages over several connections at once. The zero value of a
// field takes the default named there.
type Source struct {
	Addr      string        // "host:port" or "unix:/path", loopback only
	LMTP      bool          // LHLO, one reply per recipient (RFC 2033)
	Conns     int           // connections at the same time; 1
	PerConn   int           // messages per connection before it is renewed; 0 = no end
	Messages  int           // in all; 1
	Size      int           // bytes of a message with its headers; 5120, at least 512
	Mailboxes int           // recipients are user0 ... user(N-1); 1
	Domain    string        // of the recipients; "dest.test"
	Domains   int           // userN is at dX.Domain, X = N modulo this; 0 = all are at Domain
	Rcpts     int           // recipients of each message; 1
	From      string        // reverse-path; "sender@load.invalid"
	Helo      string        // "load.invalid"
	Auth      string        // "user:password" for AUTH PLAIN, or empty
	StartTLS  bool          // RFC 3207
	TLS       bool          // TLS from the first byte
	Pipeline  bool          // MAIL, RCPT and DATA in one write (RFC 2920)
	Ramp      time.Duration // pause between the starts of two connections
	Timeout   time.Duration // for one message, and for connecting; 60s

	// Run distinguishes the Message-IDs of this run; random if empty.
	Run string

	// Repeat sends a message again, with the same Message-ID over a new
	// connection, until its final reply came; a 4xx is tried again too. A worker
	// gives up when RepeatFor (60s) passes without any success of its own.
	Repeat    bool
	RepeatFor time.Duration

	// OnAccepted is called for each message that got 250, for LMTP with the
	// recipients that got it, before the next one is sent. Calls do not overlap.
	// An error ends the run.
	OnAccepted func(Accepted) error
}

// Accepted is a message that the server took responsibility for.
type Accepted struct {
	MessageID  string // with its angle brackets
	Recipients []string
	Reply      string // the text of the final 250
}

func (s *Source) withDefaults() (Source, error) {
	c := *s
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Conns, 1}, {&c.Messages, 1}, {&c.Size, 5120}, {&c.Mailboxes, 1}, {&c.Rcpts, 1}} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return c, errors.New("source: a count is negative")
		}
	}
	for _, d := range []struct {
		field *string
		value string
	}{{&c.Domain, "dest.test"}, {&c.From, "sender@load.invalid"}, {&c.Helo, "load.invalid"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.RepeatFor <= 0 {
		c.RepeatFor = time.Minute
	}
	if c.Rcpts > c.Mailboxes {
		return c, errors.New("source: more recipients per message than mailboxes")
	}
	c.Conns = min(c.Conns, c.Messages)
	if c.Run == "" {
		var id [6]byte
		if _, err := rand.Read(id[:]); err != nil {
			return c, fmt.Errorf("source: run id: %w", err)
		}
		c.Run = hex.EncodeToString(id[:])
	}
	return c, nil
}

// Send runs the source to its end. The Result counts what failed; an error means
// that the run itself could not be done (a refused address, a failed OnAccepted).
func (s *Source) Send(ctx context.Context) (*Result, error) {
	cfg, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	target, err := ParseTarget(ctx, cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &sourceRun{cfg: cfg, target: target, stop: stop}
	r.prepare()

	workers := make([]*worker, cfg.Conns)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range workers {
		workers[i] = r.newWorker()
		wg.Go(func() { workers[i].work(ctx) })
		if cfg.Ramp > 0 && !pause(ctx, cfg.Ramp) {
			workers = workers[:i+1]
			break
		}
	}
	wg.Wait()
	res := r.gather(workers, time.Since(began))
	if cause := context.Cause(ctx); errors.Is(cause, errCallback) {
		return res, cause
	}
	return res, nil
}

var errCallback = errors.New("recording an accepted message failed")

// sourceRun is what the workers of one run share.
type sourceRun struct {
	cfg    Source
	target Target
	stop   context.CancelCauseFunc
	tmpl   template
	mail   []byte   // the MAIL command
	rcpts  [][]byte // the RCPT commands, by mailbox
	next   atomic.Int64

	mu sync.Mutex // one OnAccepted at a time
}

func (r *sourceRun) prepare() {
	r.tmpl = newTemplate(r.cfg.Run, r.cfg.From, r.cfg.Size)
	r.mail = []byte("MAIL FROM:<" + r.cfg.From + ">\r\n")
	r.rcpts = make([][]byte, r.cfg.Mailboxes)
	for i := range r.rcpts {
		r.rcpts[i] = []byte("RCPT TO:<" + r.mailbox(i) + ">\r\n")
	}
}

func (r *sourceRun) mailbox(i int) string {
	domain := r.cfg.Domain
	if r.cfg.Domains > 0 {
		domain = domainOf(i%r.cfg.Domains, domain)
	}
	return "user" + strconv.Itoa(i) + "@" + domain
}

// take hands out the next message; false when there is none left.
func (r *sourceRun) take() (int, bool) {
	i := int(r.next.Add(1)) - 1
	return i, i < r.cfg.Messages
}

func (r *sourceRun) accepted(index int, mailboxes []int, text []byte) {
	if r.cfg.OnAccepted == nil {
		return
	}
	a := Accepted{MessageID: messageID(r.cfg.Run, index), Reply: string(text)}
	for _, m := range mailboxes {
		a.Recipients = append(a.Recipients, r.mailbox(m))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cfg.OnAccepted(a); err != nil {
		r.stop(errors.Join(errCallback, err))
	}
}

func (r *sourceRun) gather(workers []*worker, took time.Duration) *Result {
	res := &Result{Errors: tally{}}
	var all []uint32
	for _, w := range workers {
		res.Messages += w.sent
		res.Recipients += w.recipients
		res.Failed += w.failed
		res.Errors.addAll(w.errors)
		res.Unconfirmed = append(res.Unconfirmed, w.unconfirmed...)
		all = append(all, w.latency...)
	}
	res.bytes = int64(res.Messages) * int64(len(r.tmpl.bytes)-len(endOfData))
	res.Latency = latencyOf(all)
	res.close(took)
	return res
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
