package account

import (
	"context"
	"errors"
	"log/slog"
	"strings"

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
}

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

func (x *Exchange) verifiers(ctx context.Context, user string) ([]sasl.Verifier, error) {
	d := x.g.o.Directory
	var err error
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
	// Before a name was said there is nothing to guess at.
	end := func(_ context.Context, _ bool, err error) { x.g.tell(x.a, x.dialogue.Claimed(), err, ban.Failed{}) }
	switch name := x.dialogue.Claimed(); {
	case x.over:
		end = func(context.Context, bool, error) {}
	case name != "":
		if end, err = x.g.begin(ctx, x.a, name); err != nil {
			return nil, false, err
		}
	}
	challenge, done, err = x.dialogue.Next(answer)
	switch {
	case errors.Is(err, sasl.ErrBinding), errors.Is(err, sasl.ErrDowngrade), errors.Is(err, sasl.ErrCredentials):
		err = &unproven{err}
	case err == nil && done:
		if p, proven := x.dialogue.Outcome().(sasl.Proven); proven {
			err = x.proven(ctx, p)
		}
	}
	c, plain := x.credentials(done, err)
	end(ctx, done && !plain, err)
	if plain {
		x.a.User, x.a.Password = c.User, c.Password
		x.acc, err = x.g.Login(ctx, x.a)
		x.a.Password = ""
	}
	return challenge, done && err == nil, err
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
