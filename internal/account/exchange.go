package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// Exchange is one login by a SASL mechanism (RFC 4422). It belongs to one session.
type Exchange struct {
	g        *Gate
	a        Attempt
	dialogue sasl.Dialogue
	acc      Login // whom SCRAM is about, or who has logged in
	known    bool
	over     bool // a token was looked at, and the login counted
	able     []AppPassword

	end   func(_ context.Context, done bool, err error) // ends the attempt under way; nil = none is
	asked bool                                          // SCRAM's challenge about acc is not answered yet
	limit *time.Timer                                   // while it is not: ends the attempt as a failure
}

// proofWithin is how long SCRAM's challenge waits for its proof. Until then the attempt is
// under way, and others who try the name from that network may have to wait for it.
const proofWithin = 20 * time.Second

var errLate = fmt.Errorf("the challenge of SCRAM got no answer within %v", proofWithin)

// Mechanisms are those to announce to a peer, strongest first.
func (g *Gate) Mechanisms(ctx context.Context, a Attempt) []string {
	return (&Exchange{g: g, a: a}).server(ctx).Mechanisms()
}

// Begin starts a login; false if the mechanism is not offered.
func (g *Gate) Begin(ctx context.Context, a Attempt, mechanism string) (*Exchange, bool) {
	a.Mechanism = strings.ToUpper(mechanism)
	x := &Exchange{g: g, a: a}
	var offered bool
	x.dialogue, offered = x.server(ctx).Begin(mechanism)
	return x, offered
}

func (x *Exchange) server(ctx context.Context) sasl.Server {
	s := sasl.Server{Passwords: true, Key: loginKey}
	x.tokens(ctx, &s)
	x.certificate(ctx, &s)
	if !x.g.o.SCRAM() {
		return s
	}
	secret, err := x.g.o.Directory.scramSecret(ctx)
	if err != nil {
		x.g.o.Logger.Error("SCRAM is not offered now: its secret cannot be read", slog.Any("error", err))
		return s
	}
	s.Secret, s.Binding = secret, x.a.Binding
	s.Verifiers = func(user string) ([]sasl.Verifier, error) { return x.verifiers(ctx, user) }
	s.Iterations = func(draw uint32) (int, error) { return x.g.o.Directory.decoyIterations(ctx, draw) }
	return s
}

// loginKey brings all spellings of a name to one.
func loginKey(name string) string {
	a, err := mail.ParseAddress(name)
	if err != nil {
		return name
	}
	return a.Key()
}

// verifiers begins the attempt: what SCRAM says of a name is told to nobody who may not
// try it now.
func (x *Exchange) verifiers(ctx context.Context, user string) (_ []sasl.Verifier, err error) {
	if err = x.attempt(ctx, user); err != nil {
		return nil, err
	}
	x.asked = true
	d := x.g.o.Directory
	if x.acc.Account, x.known, err = d.find(ctx, user); err != nil || !x.known {
		return nil, err
	}
	if x.able, err = d.verifiers(ctx, x.acc.Account); err != nil {
		return nil, err
	}
	out := make([]sasl.Verifier, len(x.able))
	for i, p := range x.able {
		out[i] = p.verifier
	}
	return out, nil
}

// Next takes an answer, nil before the first, and gives the next challenge, or
// says that the login is done. Errors are those of package sasl for what the
// peer said wrong, and else those of Gate.Login.
func (x *Exchange) Next(ctx context.Context, answer []byte) (challenge []byte, done bool, err error) {
	if x.late() {
		return nil, false, errLate // it was a failure already
	}
	// Before a name was said there is nothing to guess at.
	if name := x.dialogue.Claimed(); name != "" && x.end == nil && !x.over {
		if err = x.attempt(ctx, name); err != nil {
			return nil, false, err
		}
	}
	answered := x.asked
	challenge, done, err = x.dialogue.Next(answer)
	switch {
	case errors.Is(err, sasl.ErrBinding), errors.Is(err, sasl.ErrDowngrade), errors.Is(err, sasl.ErrCredentials):
		err = &unproven{err}
	case err == nil && !done:
		if x.asked = x.asked && !answered; x.asked {
			x.hurry(ctx)
		}
		return challenge, false, nil
	case err == nil:
		if p, proven := x.dialogue.Outcome().(sasl.Proven); proven {
			err = x.proven(ctx, p)
		}
	}
	c, plain := x.credentials(done, err)
	x.finish(ctx, done && !plain, err)
	if plain {
		x.a.User, x.a.Password = c.User, c.Password
		x.acc, err = x.g.Login(ctx, x.a)
		x.a.Password = ""
	}
	return challenge, done && err == nil, err
}

// End lets go of an exchange, wherever it stands. Whoever began it calls it, as the peer
// may have cancelled or gone.
func (x *Exchange) End(ctx context.Context) {
	if x.end != nil && !x.late() {
		x.finish(ctx, false, sasl.ErrCancelled)
	}
}

func (x *Exchange) attempt(ctx context.Context, name string) (err error) {
	x.end, err = x.g.begin(ctx, x.a, name)
	return err
}

// hurry ends the attempt under way as a failure unless the challenge is answered in time.
func (x *Exchange) hurry(ctx context.Context) {
	end := x.end
	x.limit = time.AfterFunc(proofWithin, func() { end(ctx, false, &unproven{errLate}) })
}

// late stops the clock of hurry, and tells whether its time was up: then the attempt has
// ended by itself.
func (x *Exchange) late() bool {
	if x.limit == nil {
		return false
	}
	if x.limit.Stop() {
		x.limit = nil
	}
	return x.limit != nil
}

// finish ends the attempt under way. To give up at SCRAM's challenge is a failure:
// the salt and the cost of a name may be all that the peer wants to know.
func (x *Exchange) finish(ctx context.Context, done bool, err error) {
	if x.asked && sasl.IsFault(err) {
		err = &unproven{fmt.Errorf("the challenge of SCRAM got no answer: %w", err)}
	}
	switch {
	case x.end != nil:
		x.end(ctx, done, err)
	case !x.over:
		x.g.tell(x.a, x.dialogue.Claimed(), err, ban.Failed{})
	}
	x.end, x.asked = nil, false
}

// credentials is the password that a dialogue ended in, if it did.
func (x *Exchange) credentials(done bool, err error) (sasl.Credentials, bool) {
	if !done || err != nil {
		return sasl.Credentials{}, false
	}
	c, plain := x.dialogue.Outcome().(sasl.Credentials)
	return c, plain
}

// proven finds out whether the password that SCRAM has proven may be used here.
func (x *Exchange) proven(ctx context.Context, p sasl.Proven) error {
	for _, able := range x.able {
		if int64(able.ID) == p.ID {
			x.acc.by = able.by
			return x.g.o.Directory.use(ctx, able, x.a.Door, x.a.Peer)
		}
	}
	return ErrCredentials
}

// Named returns the account of a login that somebody else has checked; ok = there
// is one.
func (g *Gate) Named(ctx context.Context, login string) (acc Account, ok bool, err error) {
	return g.o.Directory.find(ctx, login)
}

// Login is who has logged in, once Next said done.
func (x *Exchange) Login() Login { return x.acc }
