package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// readBuffer is small, because thousands of sessions do nothing most of the
// time; a message of APPEND is read past it.
const readBuffer = 512

// session is the life of one connection. Its loop is the only reader and the
// only writer.
type session struct {
	srv  *Server
	conn *conn
	in   *bufio.Reader // over the session itself
	dec  *imap.Decoder
	enc  *imap.Encoder
	log  *slog.Logger

	peer     netip.AddrPort
	tls      bool
	shown    *x509.Certificate // ours, by TLS; nil = not known
	account  account.Login     // zero before login
	failures int               // senseless commands and failed logins in a row
	sel      *selected         // nil while no mailbox is selected
}

// selected is SELECT to the next SELECT, CLOSE or UNSELECT.
type selected struct {
	view *mailbox.View
	// known are the keywords that the client has been told to exist here.
	known []imap.Flag
}

func newSession(srv *Server, c net.Conn) *session {
	s := &session{srv: srv, conn: &conn{sock: c}}
	s.in = bufio.NewReaderSize(s, readBuffer)
	s.enc = imap.NewEncoder(s.conn)
	s.dec = imap.NewDecoder(s.in, imap.Limits{}, s.proceed)
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		s.peer = a.AddrPort()
	}
	s.log = srv.o.Logger.With("session", srv.o.IDs.Next().String(), "door", "imap", "peer", s.peer.String())
	srv.o.Metrics.opened()
	return s
}

func (s *session) settings() Settings { return s.srv.o.Settings().withDefaults() }

// Read gives the bytes of the peer. Before it waits for them, all that was
// answered so far goes out.
func (s *session) Read(p []byte) (int, error) {
	if err := s.enc.Flush(); err != nil {
		return 0, err
	}
	return s.conn.Read(p)
}

// proceed lets the client send a literal.
func (s *session) proceed() error {
	s.enc.Continue("Ready")
	return s.enc.Flush()
}

// start does the handshake of implicit TLS and greets.
func (s *session) start(ctx context.Context) error {
	set := s.settings()
	s.conn.writeTimeout = set.WriteTimeout
	if t, ok := s.conn.sock.(*tls.Conn); ok {
		if err := s.handshake(ctx, t); err != nil {
			return err
		}
	}
	s.enc.Untagged(imap.OK, imap.CodeCapability(s.capabilities(ctx)...), set.Hostname+" Hayauma is ready")
	return s.enc.Flush()
}

const handshakeTimeout = time.Minute

func (s *session) handshake(ctx context.Context, t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(certs.Noting(ctx, &s.shown)); err != nil {
		return err
	}
	s.tls = true
	return nil
}

// run is the loop: read, run, reply.
func (s *session) run(ctx context.Context) {
	for {
		cmd, err := s.readCommand()
		r, fatal := s.answer(ctx, cmd, err)
		if fatal != nil {
			s.bye(ctx, fatal)
			return
		}
		s.send(cmd.Tag, r)
		if r.close {
			_ = s.enc.Flush() // nothing is left to be said
			return
		}
		if err := s.enc.Err(); err != nil {
			s.bye(ctx, err)
			return
		}
		if r.then != nil {
			if err := r.then(ctx); err != nil {
				s.log.Info("session lost", "error", err)
				return
			}
		}
		if s.tooManyFailures(r) {
			s.part(imap.CodeClientBug, "Too many errors, closing")
			return
		}
	}
}

// readCommand waits for a command.
func (s *session) readCommand() (imap.Command, error) {
	set := s.settings()
	s.conn.writeTimeout = set.WriteTimeout
	limits := imap.DefaultLimits(set.MessageSize)
	w := wait{each: set.IdleTimeout}
	if s.account.ID == 0 {
		w.each = set.LoginTimeout
		limits.Line, limits.Command = 16<<10, 32<<10
		limits.Literal, limits.Message = limits.LoginLiteral, limits.LoginLiteral
	}
	s.conn.expect(w)
	s.dec.SetLimits(limits)
	return s.dec.ReadCommand()
}

// answer runs one command; an error ends the session.
func (s *session) answer(ctx context.Context, cmd imap.Command, err error) (reply, error) {
	if syntax, ok := errors.AsType[*imap.SyntaxError](err); ok {
		s.srv.o.Metrics.answered("invalid", syntax.Result)
		return reply{result: syntax.Result, code: syntax.Code, text: syntax.Text, tag: syntax.Tag, wrong: syntax.Result == imap.BAD}, nil
	}
	if err != nil {
		return reply{}, err
	}
	row, known := commands[cmd.Name]
	if !known {
		s.srv.o.Metrics.answered("unknown", imap.BAD)
		return unknown(), nil
	}
	r, fits := s.unmet(row.states)
	// A command that has begun is finished, whatever ctx says.
	ctx = context.WithoutCancel(ctx)
	if ended, over := s.ended(ctx); fits && over {
		r, fits = ended, false
	}
	if fits {
		r = row.run(ctx, s, cmd)
		if r.lost != nil {
			return reply{}, r.lost
		}
		r = s.news(ctx, row.news, r)
	}
	s.srv.o.Metrics.answered(cmd.Name, r.result)
	return r, nil
}

// send writes a tagged reply, and a BYE where the session ends with it.
func (s *session) send(tag string, r reply) {
	if r.tag != "" {
		tag = r.tag
	}
	if r.result != "" {
		s.enc.Tagged(tag, r.result, r.code, r.text)
	}
	if r.bye != "" {
		s.enc.Untagged(imap.Bye, imap.CodeUnavailable, r.bye)
	}
}

// tooManyFailures counts since the last command that went well.
func (s *session) tooManyFailures(r reply) bool {
	switch {
	case r.wrong || r.code == imap.CodeAuthFailed:
		s.failures++
	case r.result == imap.OK:
		s.failures = 0
	}
	return s.failures >= s.settings().Errors
}

// bye ends a session whose connection gave an error: a peer that went away
// hears nothing, one that was slow, or that we have to leave, hears BYE.
func (s *session) bye(ctx context.Context, err error) {
	switch {
	case s.enc.Err() != nil:
		s.log.Debug("session lost", "error", err)
	case errors.Is(err, imap.ErrTooBig):
		s.part(imap.CodeTooBig, "That is more than this server takes")
	case ctx.Err() != nil:
		s.part(imap.CodeUnavailable, s.settings().Hostname+" is shutting down")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.part(imap.CodeUnavailable, "Nothing heard for too long, closing")
	case !errors.Is(err, io.EOF):
		s.log.Debug("session lost", "error", err)
	}
}

func (s *session) part(code imap.Code, text string) {
	s.enc.Untagged(imap.Bye, code, text)
	_ = s.enc.Flush() // the session ends either way
}

func (s *session) end() {
	s.leave()
	_ = s.conn.sock.Close() // nothing is left to be said
	s.srv.o.Metrics.closed()
}

// leave ends the selected state.
func (s *session) leave() {
	if s.sel != nil {
		s.sel.view.Close()
		s.sel = nil
	}
}
