package account

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/account/bearer"
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
	SCRAM func() bool
	// Tokens checks those of an OpenID issuer. nil = none count.
	Tokens *bearer.Verifier
	// ClientCAs vouch for certificates by which accounts log in. nil, or nil from it
	// = nobody does.
	ClientCAs func() *x509.CertPool
	// Failed hears of every failure, once. It must not wait: the peer does. nil =
	// only the log does.
	Failed func(Failure)
	Logger *slog.Logger
}

// NewGate returns a gate; all doors share one, and so the counts.
func NewGate(o GateOptions) *Gate {
	if o.SCRAM == nil {
		o.SCRAM = func() bool { return false }
	}
	if o.ClientCAs == nil {
		o.ClientCAs = func() *x509.CertPool { return nil }
	}
	if o.Failed == nil {
		o.Failed = func(Failure) {}
	}
	return &Gate{o: o}
}

// Attempt is one login as a door saw it.
type Attempt struct {
	Door           string // "imap", "submission" ...
	Peer           netip.Addr
	Front          netip.Addr // who speaks for a peer without an address; invalid = nobody
	User, Password string
	Mechanism      string // "PLAIN" ..., or the protocol's own command, like "PASS"
	// Binding is what ties SCRAM to the connection; empty = nothing does.
	Binding sasl.Binding
	// Certificates are what the client has shown and holds the key of, its own first.
	Certificates []*x509.Certificate
	// Failed hears if it failed, once, whether the peer waits for our answer or not. nil
	// = nobody does.
	Failed func()
}

// Login returns the account with what it logged in by. *TooManyFailures and ErrCredentials are for the
// peer; any other error is temporary. An attempt counts from its beginning, so
// that many at once are no more guesses than one after the other.
func (g *Gate) Login(ctx context.Context, a Attempt) (Login, error) {
	end, err := g.begin(ctx, a, a.User)
	if err != nil {
		return Login{}, err
	}
	acc, err := g.authenticate(ctx, a)
	end(ctx, true, err)
	return acc, err
}

func (g *Gate) authenticate(ctx context.Context, a Attempt) (Login, error) {
	var unusable error // as an app password
	if generated(a.Password) {
		acc, err := g.o.Directory.authenticateApp(ctx, a)
		if !errors.Is(err, ErrCredentials) {
			return acc, err
		}
		unusable = err
	}
	acc, err := g.o.Directory.Authenticate(ctx, a.User, a.Password)
	if unusable != nil && errors.Is(err, ErrCredentials) {
		err = unusable
	}
	return acc, err
}

// begin waits for the place and the delay that a name and a peer have earned. The
// function ends the attempt, whether the login is done with it or not.
func (g *Gate) begin(ctx context.Context, a Attempt, name string) (end func(_ context.Context, done bool, err error), err error) {
	over, err := g.o.Bans.Begin(ctx, ban.Attempt{Door: a.Door, Name: name, Peer: a.Peer, Front: a.Front})
	banned, ok := errors.AsType[*ban.ErrBanned](err)
	switch {
	case ok:
		return nil, &TooManyFailures{Until: banned.Until}
	case errors.Is(err, ban.ErrBusy):
		return nil, ErrBusy
	case err != nil:
		return nil, err
	}
	return func(ctx context.Context, done bool, err error) {
		g.tell(a, name, err, over(ctx, outcome(done, err)))
	}, nil
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
