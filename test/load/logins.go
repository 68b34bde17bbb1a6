package load

import (
	"context"
	"encoding/base64"
	"fmt"
)

// logins and loginsTogether: how many sessions log in, and how many at once.
const (
	logins         = 500
	loginsTogether = 50
)

// LogIn has every session connect, log in by AUTHENTICATE PLAIN (RFC 4616, its
// response in the command, RFC 4959) and log out, some at a time.
func (r *Reader) LogIn(ctx context.Context) (*ReadResult, error) {
	c := *r
	c.bufSize = 4 << 10
	gate := make(chan struct{}, loginsTogether)
	c.enter = func() { gate <- struct{}{} }
	c.leave = func() { <-gate }
	return c.read(ctx, func(s *readSession) error {
		defer c.leave()
		if err := s.imapPlain(); err != nil {
			return err
		}
		return s.timed("logout", func() error { return s.imapCommand("LOGOUT", nil) })
	})
}

func (s *readSession) imapPlain() error {
	return s.timed("login", func() error {
		if err := s.imapGreeting(); err != nil {
			return err
		}
		response := base64.StdEncoding.EncodeToString([]byte("\x00" + s.login + "\x00" + s.cfg.Password))
		return s.imapCommand("AUTHENTICATE PLAIN "+response, nil)
	})
}

// timeLogins is the row of a server that has seen no password since its start, or,
// again, each of them a moment before.
func timeLogins(ctx context.Context, r *Reader, pid int, again bool) (*Result, error) {
	r.Sessions = logins
	if again {
		if res, err := r.LogIn(ctx); err != nil || len(res.Errors) > 0 {
			return nil, fmt.Errorf("first logins: %w, %v", err, res)
		}
	}
	return measure(func() (*Result, error) {
		res, err := r.LogIn(ctx)
		if err != nil {
			return nil, err
		}
		if len(res.Errors) > 0 {
			return nil, fmt.Errorf("logins: %v", res.Errors)
		}
		return &Result{Messages: res.Sessions, Seconds: res.Seconds, PerSecond: float64(res.Sessions) / res.Seconds, Latency: res.Steps["login"]}, nil
	}, sampleEvery, pid)
}

func (b *bench) dovecotLogins(ctx context.Context, dir string) (*Result, error) {
	d, err := startDovecot(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	return timeLogins(ctx, &Reader{Addr: d.imap, Mailboxes: benchMailboxes, Password: dovecotPassword}, d.pid(), false)
}

func (h *hayaumaRows) logins(ctx context.Context, dir string) (*Result, error) {
	return h.timeLogins(ctx, dir, true)
}

func (h *hayaumaRows) firstLogins(ctx context.Context, dir string) (*Result, error) {
	return h.timeLogins(ctx, dir, false)
}

func (h *hayaumaRows) timeLogins(ctx context.Context, dir string, again bool) (*Result, error) {
	s, stop, err := h.startLocal(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer stop()
	return timeLogins(ctx, s.reader(benchMailboxes), s.pid(), again)
}
