package account

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// maxUser bounds what is told of a name, in octets.
const maxUser = 200

// Failure is a login that failed: what the log and the history tell of it.
type Failure struct {
	Door      string
	Peer      netip.Addr // invalid on a unix socket
	User      string     // as it was typed, cut if it is very long
	Mechanism string
	Reason    string
	Failures  int       // of name and network in ten minutes, this one included; 0 = not counted
	Until     time.Time // not zero: this failure began a ban
}

// tell is the one place where a failed login is told of. Any other error is no
// failure.
func (g *Gate) tell(a Attempt, user string, err error, counted ban.Failed) {
	if !errors.Is(err, ErrCredentials) {
		return
	}
	f := Failure{
		Door: a.Door, Peer: a.Peer, User: strings.ToValidUTF8(user[:min(len(user), maxUser)], "\uFFFD"),
		Mechanism: a.Mechanism, Reason: err.Error(), Failures: counted.Failures, Until: counted.Until,
	}
	line := []any{"door", f.Door, "peer", f.Peer.String(), "user", f.User, "mechanism", f.Mechanism, "reason", f.Reason, "failures", f.Failures}
	if !f.Until.IsZero() {
		line = append(line, "banned_until", f.Until)
	}
	if a.Failed != nil {
		a.Failed()
	}
	g.o.Logger.Warn("login failed", line...)
	g.o.Failed(f)
}

// Refusal is what the peer hears of ErrCredentials: nothing of the user or the password,
// but where SCRAM is bound to another connection no other password helps.
func Refusal(err error) string {
	if errors.Is(err, sasl.ErrBinding) || errors.Is(err, sasl.ErrDowngrade) {
		return "The login is not bound to this connection: something between you and this server may read along"
	}
	return "The user name or password is wrong"
}

// unproven is ErrCredentials with a reason, of which the peer is told what Refusal says.
type unproven struct{ why error }

func (e *unproven) Error() string { return e.why.Error() }

// Unwrap gives the reason, for Refusal.
func (e *unproven) Unwrap() error { return e.why }

// Is makes it ErrCredentials.
func (e *unproven) Is(target error) bool { return target == ErrCredentials }
