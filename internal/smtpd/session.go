package smtpd

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
	"runtime"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// session is the life of one connection. Its loop is the only reader and the
// only writer.
type session struct {
	srv  *Server
	conn *conn
	in   *smtp.Reader
	out  []byte // replies not yet written
	log  *slog.Logger

	id        mail.ID
	door      mail.Door
	peer      netip.AddrPort    // the client, whoever speaks for it
	front     netip.AddrPort    // who is at the other end
	fronted   bool              // it speaks for the client, by XCLIENT
	claims    claims            // of the front about the client
	tls       string            // empty = cleartext
	shown     *x509.Certificate // ours, by TLS; nil = not known
	helo      string            // as the peer named itself, empty = not yet
	extended  bool              // EHLO or LHLO, not HELO
	account   account.Login
	exchange  *account.Exchange // the login under way, nil = none
	junk      int               // commands since the last accepted message that brought none nearer
	overshoot int               // recipients beyond what a message may have, since then
	fruit     time.Time         // when the last content was read, or the session began
	answered  bool              // nothing of the peer's was waiting when we last wrote
	tx        *tx               // nil between messages

	forwarded map[string]string // what XFORWARD said of the next message's client

	// unconfirmed are messages whose 250 the peer has not been seen to have
	// read.
	unconfirmed []intake.Receipt
}

// tx is MAIL to the end of DATA. RSET, EHLO, STARTTLS and the end of DATA drop
// it whole, so that no field can live on.
type tx struct {
	intake   *intake.Transaction
	origin   mail.Origin
	env      mail.Envelope
	accepted int          // recipients
	left     int64        // octets of content that are still read
	chunks   *smtp.Chunks // nil before the first BDAT
	rules    *rule.Case
	room     *rate.Reservation // of a submission: what its sender may send
}

func newSession(srv *Server, c net.Conn, door mail.Door) *session {
	id := srv.o.IDs.Next()
	s := &session{srv: srv, conn: &conn{Conn: c, pressed: srv.o.Pressed}, id: id, door: door, fruit: time.Now()}
	if t, ok := c.(*tls.Conn); ok {
		s.conn.secure(t)
	}
	s.in = smtp.NewReader(s.conn)
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		s.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		s.front = s.peer
		s.in.Normalize(srv.o.Old(s.peer.Addr()))
	}
	s.log = s.logger()
	srv.o.Metrics.opened(door)
	return s
}

// logger names the session, and who is at the other end.
func (s *session) logger() *slog.Logger {
	log := s.srv.o.Logger.With("session", s.id.String(), "door", s.door.String())
	if s.front.IsValid() {
		log = log.With("peer", s.front.String())
	}
	return log
}

func (s *session) settings() Settings { return s.srv.o.Settings() }

// start does the handshake of implicit TLS and greets.
func (s *session) start(ctx context.Context) error {
	if t, ok := s.conn.Conn.(*tls.Conn); ok {
		if err := s.handshake(ctx, t); err != nil {
			return err
		}
	}
	set := s.settings()
	if set.GreetingDelay > 0 && s.door == mail.DoorSMTP {
		if err := s.listenFirst(set.GreetingDelay); err != nil {
			_ = s.send(s.farewell(ctx, err)) // the peer may be gone
			return err
		}
	}
	return s.send(s.greeting())
}

func (s *session) greeting() reply {
	word := "ESMTP"
	if s.door == mail.DoorLMTP {
		word = "LMTP"
	}
	return ok(220, "", s.settings().Hostname+" "+word+" Hayauma")
}

const handshakeTimeout = time.Minute

func (s *session) handshake(ctx context.Context, t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(certs.Noting(ctx, &s.shown)); err != nil {
		return err
	}
	s.tls = tlsName(t)
	return nil
}

// run is the loop: read, run, reply.
func (s *session) run(ctx context.Context) {
	for {
		line, err := s.readLine()
		r, fatal := s.answer(ctx, line, err)
		if fatal != nil {
			_ = s.send(s.farewell(ctx, fatal)) // the peer may be gone
			return
		}
		for {
			s.hesitate(ctx, r)
			if err := s.send(r); err != nil {
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
			if r.code == 221 && len(s.unconfirmed) > 0 && s.conn.readToEnd() {
				s.confirm()
			}
			return
		}
		if s.tooMuchJunk(r) {
			_ = s.send(hangUp("Too many errors, closing"))
			return
		}
	}
}

// readLine waits for a command.
func (s *session) readLine() ([]byte, error) {
	s.conn.expectLine(s.settings().CommandTimeout, s.patience())
	fresh := s.answered && s.in.Buffered() == 0
	line, err := s.in.ReadLine()
	if fresh && err == nil {
		// The peer wrote this after our replies had gone out.
		s.confirm()
	}
	return line, err
}

func (s *session) confirm() {
	for _, r := range s.unconfirmed {
		s.srv.o.Intake.Confirm(r)
	}
	s.unconfirmed = s.unconfirmed[:0]
}

// answer runs one line; an error ends the session.
func (s *session) answer(ctx context.Context, line []byte, err error) (reply, error) {
	switch {
	case smtp.IsHTTP(line):
		return hangUp("This is a mail server, not a web server"), nil
	case errors.Is(err, smtp.ErrLineTooLong) && s.isAuth(line):
		return tooLongToLogIn(), nil
	case errors.Is(err, smtp.ErrLineTooLong):
		return garbled(line, "The line is too long"), nil
	case errors.Is(err, smtp.ErrBareLF):
		return garbled(line, "Lines must end in CR LF, with no other CR or LF in them"), nil
	case err != nil:
		return reply{}, err
	}
	cmd, err := smtp.ParseCommand(line)
	switch {
	case errors.Is(err, smtp.ErrEightBit):
		return garbled(line, "Octets beyond ASCII stand in addresses alone"), nil
	case err != nil:
		return garbled(line, "Command not recognized"), nil
	case !s.extended && s.early():
		return reply{}, errEarly // PIPELINING was not announced
	}
	row, known := find(cmd.Verb, s.door)
	if !known {
		return refuse(mail.Final(mail.BadSyntax, "Command not recognized")), nil
	}
	if r, missing := s.unmet(row.needs); missing {
		return r, nil
	}
	r := row.run(ctx, s, cmd.Arg)
	r.junk = row.junk
	return r, nil
}

// keptBack is for how long a peer that has sent a group of commands may hear nothing,
// but for what one of them takes: it waits a few minutes for each reply
// (RFC 5321 §4.5.3.2).
const keptBack = time.Second

// send writes a reply, or keeps it back while the peer's next command is
// waiting already (RFC 2920 §3.2).
func (s *session) send(r reply) error {
	s.out = r.append(s.out)
	if r.then == nil && !r.close && s.in.Pending() && len(s.out) < 4096 && time.Since(s.conn.wrote) < keptBack {
		return nil
	}
	// What the peer wrote before it can have seen this reply proves nothing.
	s.answered = len(s.unconfirmed) > 0 && s.conn.ahead(s.in) == 0
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	// Others that are ready go first: meanwhile the peer may answer, and the next
	// read finds something at its first try.
	runtime.Gosched()
	return err
}

// farewell is the last reply of a session whose connection gave an error: a
// peer that went away hears nothing, one that was slow, that begins TLS where it
// has no place, or that we have to leave, hears 421.
func (s *session) farewell(ctx context.Context, err error) reply {
	switch {
	case errors.Is(err, errEarly):
		return reply{code: 554, enhanced: "5.5.1", lines: []string{"You spoke before your turn: wait for our greeting and for each reply, but for what PIPELINING allows behind EHLO"}, close: true}
	case errors.Is(err, smtp.ErrTLS):
		return hangUp("TLS does not begin by itself on this port: use STARTTLS, or port 465")
	case s.conn.hinders():
		return s.makeRoom()
	case ctx.Err() != nil:
		return reply{code: 421, enhanced: "4.3.2", lines: []string{s.settings().Hostname + " is shutting down"}, close: true}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reply{code: 421, enhanced: "4.4.2", lines: []string{"Nothing heard for too long, closing"}, close: true}
	case !errors.Is(err, io.EOF):
		s.log.Debug("session lost", "error", err)
	}
	return reply{close: true}
}

func (s *session) end() {
	s.drop()
	_ = s.conn.Close() // nothing is left to be said
	s.srv.o.Metrics.closed(s.door)
}

// drop ends the message under way.
func (s *session) drop() {
	s.forwarded = nil
	s.conn.contentOver()
	if s.tx != nil {
		s.tx.intake.Abort()
		s.tx.room.Release()
		s.tx = nil
	}
}
