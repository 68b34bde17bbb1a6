package account

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"github.com/hayauma/hayauma/internal/ratelimit"
)

// ErrTooManyFailures says that an address failed to log in too often of late.
var ErrTooManyFailures = errors.New("too many failed logins from this address, please wait ten minutes")

// Gate is what every door's login goes through: it counts failures per address
// before it looks at a password.
type Gate struct {
	directory *Directory
	failures  *ratelimit.Failures
	log       *slog.Logger
}

// NewGate returns a gate; all doors share one, and so the counts.
func NewGate(d *Directory, f *ratelimit.Failures, log *slog.Logger) *Gate {
	return &Gate{directory: d, failures: f, log: log}
}

// Attempt is one login as a door saw it.
type Attempt struct {
	Door           string // "imap", "submission" ...
	Peer           netip.Addr
	User, Password string
}

// Login returns the account. ErrTooManyFailures and ErrCredentials are for the
// peer; any other error is temporary. An attempt counts from its beginning, so
// that many at once are no more guesses than one after the other.
func (g *Gate) Login(ctx context.Context, a Attempt) (Account, error) {
	end, err := g.begin(ctx, a.Peer)
	if err != nil {
		return Account{}, err
	}
	failed := false
	defer func() { end(failed) }()
	acc, err := g.directory.Authenticate(ctx, a.User, a.Password)
	if failed = errors.Is(err, ErrCredentials); failed {
		g.log.Warn("login failed", "door", a.Door, "peer", a.Peer.String(), "user", a.User)
	}
	return acc, err
}

// begin waits for a place among the attempts of an address.
func (g *Gate) begin(ctx context.Context, peer netip.Addr) (end func(failed bool), err error) {
	wait, cancel := context.WithTimeoutCause(ctx, hashWait, ErrBusy)
	defer cancel()
	end, err = g.failures.Begin(wait, peer)
	switch {
	case errors.Is(err, ratelimit.ErrBlocked):
		return nil, ErrTooManyFailures
	case err != nil:
		return nil, context.Cause(wait)
	}
	return end, nil
}
