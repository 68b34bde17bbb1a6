package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Reader says which mailboxes are read, and how many sessions read at once.
type Reader struct {
	Addr      string // loopback only
	Sessions  int    // at the same time; 1
	Rounds    int    // times that each session runs its commands; 1
	Mailboxes int    // logins are user0 ... user(N-1); 1
	Domain    string // appended to the login with "@"; empty = bare names
	Password  string
	TLS       bool
	Timeout   time.Duration // for one command; 60s

	first   int // index of the first session's mailbox
	bufSize int // bytes read at once; 64 KiB

	enter, leave func() // around connecting, if set; leave follows only a failure
}

// ReadResult is what the readers saw, by step.
type ReadResult struct {
	Sessions int                `json:"sessions"`
	Messages int64              `json:"messages"` // fetched whole
	Bytes    int64              `json:"bytes"`
	Seconds  float64            `json:"seconds"`
	Steps    map[string]Latency `json:"steps"`
	Errors   tally              `json:"errors,omitempty"`
	Usage    Usage              `json:"usage"`
}

// readSession is one login of a reader; it collects its own times.
type readSession struct {
	*lineConn
	cfg      *Reader
	login    string
	times    map[string][]uint32
	messages int64
	tag      int
}

func (r *Reader) withDefaults() Reader {
	c := *r
	c.Sessions, c.Rounds, c.Mailboxes = max(c.Sessions, 1), max(c.Rounds, 1), max(c.Mailboxes, 1)
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.bufSize == 0 {
		c.bufSize = 64 << 10
	}
	return c
}

// read runs one body per session, all at once.
func (r *Reader) read(ctx context.Context, body func(*readSession) error) (*ReadResult, error) {
	cfg := r.withDefaults()
	t, err := ParseTarget(ctx, cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("reader: %w", err)
	}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		times = map[string][]uint32{}
		res   = &ReadResult{Sessions: cfg.Sessions, Steps: map[string]Latency{}, Errors: tally{}}
	)
	began := time.Now()
	for i := range cfg.Sessions {
		wg.Go(func() {
			if cfg.enter != nil {
				cfg.enter()
			}
			s, err := cfg.open(ctx, t, i)
			if err != nil && cfg.leave != nil {
				cfg.leave()
			}
			if err == nil {
				err = body(s)
				s.close()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				res.Errors[kindOf(err)]++
			}
			if s == nil {
				return
			}
			res.Messages += s.messages
			res.Bytes += s.read
			for step, us := range s.times {
				times[step] = append(times[step], us...)
			}
		})
	}
	wg.Wait()
	res.Seconds = time.Since(began).Seconds()
	for step, us := range times {
		res.Steps[step] = latencyOf(us)
	}
	return res, nil
}

func (r *Reader) open(ctx context.Context, t Target, i int) (*readSession, error) {
	lc, err := dialLine(ctx, t, r.bufSize, r.Timeout)
	if err != nil {
		return nil, &stepError{"connect", err}
	}
	s := &readSession{lineConn: lc, cfg: r, times: map[string][]uint32{}}
	s.login = "user" + strconv.Itoa((r.first+i)%r.Mailboxes)
	if r.Domain != "" {
		s.login += "@" + r.Domain
	}
	if !r.TLS {
		return s, nil
	}
	if err := errors.Join(s.arm(), s.startTLS(ctx)); err != nil {
		s.close()
		return nil, &stepError{"TLS", err}
	}
	return s, nil
}

// timed runs one step under the session's time limit.
func (s *readSession) timed(step string, f func() error) error {
	began := time.Now()
	err := s.arm()
	if err == nil {
		err = f()
	}
	if err == nil {
		s.times[step] = append(s.times[step], micros(time.Since(began)))
		return nil
	}
	if _, ok := errors.AsType[*ReplyError](err); ok {
		return err
	}
	return &stepError{step, err}
}
