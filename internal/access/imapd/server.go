// Package imapd is the door by which mail is read over IMAP4rev1.
//
// A session is one goroutine that reads, runs and answers; see run in
// session.go, and the table in commands.go for what may be said when. In IDLE
// whoever changes the mailbox pokes it out of its read (see conn). Of the choices
// that RFC 2180 leaves for messages that another session expunged, this
// server takes these: FETCH and STORE by sequence number answer for those that
// are left and end in NO [EXPUNGEISSUED] (§4.1.4, §4.2.3), COPY then copies
// nothing (§4.4.1), and UID commands pass over them in silence.
package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// Settings are what a reload may change; a session asks anew for each command.
// A zero duration or count stands for its default.
type Settings struct {
	Hostname       string
	MessageSize    int64         // octets that APPEND takes
	AllowCleartext bool          // logins without TLS, for tests
	LoginTimeout   time.Duration // silence before login, default 3 minutes
	IdleTimeout    time.Duration // silence behind it, IDLE too, default 30 minutes (RFC 3501 §5.4)
	DataTimeout    time.Duration // for each piece of a message in APPEND, default 5 minutes
	WriteTimeout   time.Duration // for each piece of an answer to be taken, default 2 minutes
	Errors         int           // senseless commands and failed logins in a row before we hang up, default 20
}

func (s Settings) withDefaults() Settings {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&s.LoginTimeout, 3 * time.Minute}, {&s.IdleTimeout, 30 * time.Minute},
		{&s.DataTimeout, 5 * time.Minute}, {&s.WriteTimeout, 2 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	if s.Errors <= 0 {
		s.Errors = 20
	}
	return s
}

// Options are what a Server is made of.
type Options struct {
	Mailboxes *mailbox.Store
	Gate      *account.Gate
	IDs       *mail.IDs
	TLS       *tls.Config // for STARTTLS; nil = not offered
	Settings  func() Settings
	Metrics   *Metrics
	Logger    *slog.Logger
}

// Server serves sessions. It may be used by many goroutines.
type Server struct {
	o      Options
	pieces sync.Pool // of *[]byte: messages on their way in or out
}

// pieceSize is how much of a message is in memory at once, in octets.
const pieceSize = 32 << 10

// New returns a server.
func New(o Options) *Server {
	return &Server{o: o, pieces: sync.Pool{New: func() any {
		b := make([]byte, pieceSize)
		return &b
	}}}
}

// Serve runs one session to its end and closes the connection. c is a
// *tls.Conn on ports with implicit TLS. When ctx ends the session finishes the
// command that is running, says BYE and ends.
func (srv *Server) Serve(ctx context.Context, c net.Conn) {
	s := newSession(srv, c)
	defer s.end()
	stop := context.AfterFunc(ctx, s.conn.drain)
	defer stop()
	defer s.rescue()
	if err := s.start(ctx); err != nil {
		s.log.Debug("session ended before its greeting", "error", err)
		return
	}
	s.run(ctx)
}

// rescue keeps a fault of ours in one session from ending all others.
func (s *session) rescue() {
	fault := recover()
	if fault == nil {
		return
	}
	s.log.Error("session ended by a fault of this program", "fault", fault, "stack", string(debug.Stack()))
	s.enc.Untagged(imap.Bye, imap.CodeServerBug, "Something went wrong here, please log in again")
	_ = s.enc.Flush() // the session ends either way
}
