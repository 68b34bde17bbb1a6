// Package smtpd is the door by which mail comes in: SMTP, submission and LMTP
// sessions.
package smtpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// Settings are what a reload may change; a session asks anew for each command.
type Settings struct {
	Hostname       string
	MessageSize    int64         // octets, announced by SIZE
	AllowCleartext bool          // AUTH without TLS, for tests
	CommandTimeout time.Duration // RFC 5321 §4.5.3.2.7
	DataTimeout    time.Duration // for each block of content, §4.5.3.2.5
	Junk           int           // commands since the last accepted message that brought none nearer before we hang up
	Tarpit         time.Duration // how much longer each refusal takes than the one before, behind the first few; 0 = not at all
	GreetingDelay  time.Duration // how long a server that speaks first is waited for on port 25; 0 = not at all
	Verify         bool          // VRFY tells the truth
	Recipients     int           // of one transaction, announced by LIMITS
	Hold           time.Duration // how long a submission may be recalled; 0 = not at all
	Priority       mail.Priority // the highest that those we know may ask for (RFC 6710)
}

// Options are what a Server is made of.
type Options struct {
	Intake *intake.Intake
	Policy *policy.Policy
	Rules  *rule.Store
	Rates  *rate.Limiter
	// Reverse finds the name of a host, by which access rules may go. nil = none
	// has one.
	Reverse func(context.Context, netip.Addr) (string, error)
	Gate    *account.Gate
	IDs     *mail.IDs
	TLS     *tls.Config // for STARTTLS; nil = not offered
	// Fronts tells whether a host may speak for its clients, by XCLIENT and
	// XFORWARD. nil = none may.
	Fronts func(netip.Addr) bool
	// Old tells whether a host cannot do better than bare newlines. nil = all can.
	Old func(netip.Addr) bool
	// Pressed tells whether messages wait for memory that others hold: those that
	// come slowly are cut off then. nil = they never do.
	Pressed  func() bool
	Settings func() Settings
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Server serves sessions. It may be used by many goroutines.
type Server struct {
	o       Options
	buffers *smtp.Buffers
	verbs   map[mail.Door][]string // of each door, for HELP
}

// New returns a server.
func New(o Options) *Server {
	if o.Fronts == nil {
		o.Fronts = func(netip.Addr) bool { return false }
	}
	if o.Old == nil {
		o.Old = func(netip.Addr) bool { return false }
	}
	if o.Pressed == nil {
		o.Pressed = func() bool { return false }
	}
	s := &Server{o: o, buffers: smtp.NewBuffers(), verbs: map[mail.Door][]string{}}
	for _, d := range []mail.Door{mail.DoorSMTP, mail.DoorSubmission, mail.DoorLMTP} {
		s.verbs[d] = verbs(d)
	}
	return s
}

// Serve runs one session to its end and closes the connection. c is a
// *tls.Conn on ports with implicit TLS. When ctx ends the session finishes a
// content that is being read, says 421 and ends.
func (srv *Server) Serve(ctx context.Context, c net.Conn, door mail.Door) {
	s := newSession(srv, c, door)
	defer s.end()
	defer s.endLogin(ctx)
	stop := context.AfterFunc(ctx, s.conn.drain)
	defer stop()
	if err := s.start(ctx); err != nil {
		s.log.Debug("session ended before its greeting", "error", err)
		return
	}
	s.run(ctx)
}
