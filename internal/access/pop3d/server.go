// Package pop3d is the door by which users fetch their INBOX over POP3.
package pop3d

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// Settings are what a reload may change; a session asks anew for each command.
type Settings struct {
	Hostname       string
	AllowCleartext bool          // logins without TLS, for tests
	Idle           time.Duration // the auto-logout timer of RFC 1939 §3
	Errors         int           // failing commands in a row before we hang up
}

// Options are what a Server is made of.
type Options struct {
	Mailboxes *mailbox.Store
	Gate      *account.Gate
	IDs       *mail.IDs
	TLS       *tls.Config // for STLS; nil = not offered
	Settings  func() Settings
	Metrics   *Metrics
	Logger    *slog.Logger
}

// Server serves sessions. It may be used by many goroutines.
type Server struct {
	o     Options
	parts sync.Pool // *[]byte of partSize, for reading messages

	mu     sync.Mutex
	locked map[mail.ID]struct{} // accounts with a session: RFC 1939 §4
}

// partSize is how much of a message is read at once.
const partSize = 32 << 10

// New returns a server.
func New(o Options) *Server {
	return &Server{
		o: o, locked: map[mail.ID]struct{}{},
		parts: sync.Pool{New: func() any {
			b := make([]byte, partSize)
			return &b
		}},
	}
}

// Serve runs one session to its end and closes the connection. c is a
// *tls.Conn on ports with implicit TLS. When ctx ends the session finishes the
// command that it runs, says so and ends; nothing is deleted then.
func (srv *Server) Serve(ctx context.Context, c net.Conn) {
	s := newSession(srv, c)
	defer s.end() //nolint:contextcheck // closing a View outlives the session
	defer s.endLogin(ctx)
	stop := context.AfterFunc(ctx, s.conn.drain)
	defer stop()
	if err := s.start(ctx); err != nil {
		s.log.Debug("session ended before its greeting", "error", err)
		return
	}
	s.run(ctx)
}

// lock takes an account's maildrop; false if another session has it.
func (srv *Server) lock(id mail.ID) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if _, taken := srv.locked[id]; taken {
		return false
	}
	srv.locked[id] = struct{}{}
	return true
}

func (srv *Server) unlock(id mail.ID) {
	srv.mu.Lock()
	delete(srv.locked, id)
	srv.mu.Unlock()
}
