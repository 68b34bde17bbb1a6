package pop3d

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/pop3"
)

// session is the life of one connection. Its loop is the only reader and the
// only writer.
type session struct {
	srv  *Server
	conn *conn
	in   *pop3.Reader
	out  []byte // replies not yet written
	log  *slog.Logger

	id       mail.ID
	peer     netip.AddrPort
	secured  bool
	shown    *x509.Certificate // ours, by TLS; nil = not known
	failures int               // failing commands in a row
	user     string            // what USER said, for PASS
	exchange *account.Exchange // the login under way, nil = none
	drop     *maildrop         // nil before the login
}

func newSession(srv *Server, c net.Conn) *session {
	id := srv.o.IDs.Next()
	s := &session{srv: srv, conn: &conn{Conn: c}, id: id}
	s.in = pop3.NewReader(s.conn)
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		s.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	s.log = srv.o.Logger.With("session", id.String(), "door", "pop3", "peer", s.peer.String())
	srv.o.Metrics.opened()
	return s
}

func (s *session) settings() Settings { return s.srv.o.Settings() }

// start does the handshake of implicit TLS and greets.
func (s *session) start(ctx context.Context) error {
	if t, ok := s.conn.Conn.(*tls.Conn); ok {
		if err := s.handshake(ctx, t); err != nil {
			return err
		}
	}
	return s.send(ctx, ok(s.settings().Hostname+" POP3 Hayauma"))
}

const handshakeTimeout = time.Minute

func (s *session) handshake(ctx context.Context, t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(certs.Noting(ctx, &s.shown)); err != nil {
		return err
	}
	s.secured = true
	return nil
}

// run is the loop: read, run, reply.
func (s *session) run(ctx context.Context) {
	for {
		if ctx.Err() != nil { // commands may be waiting, but the server stops
			s.bye(ctx, ctx.Err())
			return
		}
		line, err := s.readLine(pop3.MaxCommand)
		r, fatal := s.answer(ctx, line, err)
		if fatal != nil {
			s.bye(ctx, fatal)
			return
		}
		for {
			if err := s.send(ctx, r); err != nil {
				s.log.Debug("session lost", "error", err)
				return
			}
			if r.then == nil {
				break
			}
			r = r.then(ctx)
		}
		s.endLogin(ctx)
		if r.close {
			return
		}
		if s.tooManyFailures(r) {
			_ = s.send(ctx, reply{status: "-ERR", text: "Too many errors, closing", close: true})
			return
		}
	}
}

func (s *session) tooManyFailures(r reply) bool {
	if !r.failed() {
		s.failures = 0
		return false
	}
	s.failures++
	return s.failures >= s.settings().Errors
}

func (s *session) readLine(limit int) ([]byte, error) {
	s.conn.expect(s.settings().Idle)
	return s.in.ReadLine(limit)
}

// answer runs one line; an error ends the session.
func (s *session) answer(ctx context.Context, line []byte, err error) (reply, error) {
	if errors.Is(err, pop3.ErrLineTooLong) {
		return refuse("", "The line is too long"), nil
	}
	if err != nil {
		return reply{}, err
	}
	cmd, err := pop3.ParseCommand(line)
	if err != nil {
		return refuse("", "Command not recognized"), nil
	}
	at := slices.IndexFunc(commands, func(c command) bool { return c.verb == cmd.Verb })
	if at < 0 {
		return refuse("", "Command not recognized"), nil
	}
	row := commands[at]
	if row.args != raw {
		cmd.Arg = strings.TrimRight(cmd.Arg, " ")
	}
	if r, misplaced := s.unmet(row, cmd.Arg); misplaced {
		return r, nil
	}
	if r, ended := s.ended(ctx); ended {
		return r, nil
	}
	return row.run(ctx, s, cmd.Arg), nil
}

const (
	flushAt = 64 << 10 // octets of replies that are worth a write
	keepOut = 1 << 10  // octets of buffer that an idle session keeps
)

// send writes a reply, or keeps it back while the peer's next command is
// waiting already: one write answers many commands.
func (s *session) send(ctx context.Context, r reply) error {
	s.out = r.append(s.out)
	if r.body != nil {
		if err := r.body(ctx); err != nil {
			// The peer is to see the response end early, and not as a whole.
			return errors.Join(err, s.flush())
		}
	}
	if r.then == nil && !r.close && s.in.Pending() {
		return s.pass()
	}
	return s.flush()
}

// pass writes once there is enough.
func (s *session) pass() error {
	if len(s.out) < flushAt {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// flush writes what there is, before a wait.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	if s.out = s.out[:0]; cap(s.out) > keepOut {
		s.out = nil
	}
	return err
}

// bye ends a session whose connection gave an error. One that was idle for too
// long hears nothing (RFC 1939 §3).
func (s *session) bye(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		_ = s.send(ctx, reply{status: "-ERR", code: codeTemporary, text: s.settings().Hostname + " is shutting down", close: true})
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.log.Info("idle for too long: nothing is deleted")
	case !errors.Is(err, io.EOF):
		s.log.Debug("session lost", "error", err)
	}
}

// leave gives the maildrop up.
func (s *session) leave() {
	if s.drop != nil {
		s.drop.close()
		s.srv.unlock(s.drop.account.ID)
		s.drop = nil
	}
}

// end leaves first: a peer that sees the connection closed may come again at
// once.
func (s *session) end() {
	s.leave()
	_ = s.conn.Close() // nothing is left to be said
	s.srv.o.Metrics.open.Dec()
}
