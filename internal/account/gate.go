package account

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// TooManyFailures says that a name, or a network, failed to log in too often of
// late, and when it may try again. Its text is for the peer.
type TooManyFailures struct{ Until time.Time }

func (e *TooManyFailures) Error() string {
	return "Too many failed logins from your network, try again in about " + mail.About(time.Until(e.Until))
}

// Gate is what every door's login goes through: it looks at who guesses before it
// looks at a password.
type Gate struct{ o GateOptions }

// GateOptions are what a Gate is made of.
type GateOptions struct {
	Directory *Directory
	Bans      *ban.List
	// SCRAM tells whether its mechanisms are offered. nil = they are not.
	SCRAM  func() bool
	Logger *slog.Logger
}

// NewGate returns a gate; all doors share one, and so the counts.
func NewGate(o GateOptions) *Gate {
	if o.SCRAM == nil {
		o.SCRAM = func() bool { return false }
	}
	return &Gate{o: o}
}

// Attempt is one login as a door saw it.
type Attempt struct {
	Door           string // "imap", "submission" ...
	Peer           netip.Addr
	User, Password string
	// Binding is what ties SCRAM to the connection; empty = nothing does.
	Binding sasl.Binding
}

// Login returns the account. *TooManyFailures and ErrCredentials are for the
// peer; any other error is temporary. An attempt counts from its beginning, so
// that many at once are no more guesses than one after the other.
func (g *Gate) Login(ctx context.Context, a Attempt) (Account, error) {
	end, err := g.begin(ctx, a, a.User)
	if err != nil {
		return Account{}, err
	}
	acc, err := g.authenticate(ctx, a)
	defer func() { end(ctx, outcome(true, err)) }()
	if failed := errors.Is(err, ErrCredentials); failed {
		g.failed(a, a.User, nil)
	}
	return acc, err
}

// maxUser bounds what is logged of a name, in octets.
const maxUser = 200

// failed tells of one failed login.
func (g *Gate) failed(a Attempt, user string, why error) {
	g.o.Logger.Warn("login failed", "door", a.Door, "peer", a.Peer.String(), "user", user[:min(len(user), maxUser)], "reason", why)
}

func (g *Gate) authenticate(ctx context.Context, a Attempt) (Account, error) {
	if generated(a.Password) {
		if acc, err := g.o.Directory.authenticateApp(ctx, a); !errors.Is(err, ErrCredentials) {
			return acc, err
		}
	}
	return g.o.Directory.Authenticate(ctx, a.User, a.Password)
}

// begin waits for the place and the delay that a name and a peer have earned.
func (g *Gate) begin(ctx context.Context, a Attempt, name string) (end func(context.Context, ban.Outcome), err error) {
	end, err = g.o.Bans.Begin(ctx, ban.Attempt{Door: a.Door, Name: name, Peer: a.Peer})
	banned, ok := errors.AsType[*ban.ErrBanned](err)
	switch {
	case ok:
		return nil, &TooManyFailures{Until: banned.Until}
	case errors.Is(err, ban.ErrBusy):
		return nil, ErrBusy
	}
	return end, err
}

// outcome is how an attempt ended, as far as it is known.
func outcome(done bool, err error) ban.Outcome {
	switch {
	case errors.Is(err, ErrCredentials):
		return ban.Failure
	case err == nil && done:
		return ban.Success
	}
	return ban.Neither
}
