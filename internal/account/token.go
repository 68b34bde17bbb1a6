package account

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/account/bearer"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// tokens offers logins by tokens of an OpenID issuer (RFC 7628), if the settings name
// one. A token must name the account that the client says it is.
func (x *Exchange) tokens(ctx context.Context, s *sasl.Server) {
	tokens := x.g.o.Tokens
	if tokens == nil || tokens.Settings().Issuer == "" {
		return
	}
	// An issuer's name may end in a slash, which is left out here (OpenID Connect Discovery §4.1).
	s.Scope, s.Discovery = "openid email", strings.TrimSuffix(tokens.Settings().Issuer, "/")+"/.well-known/openid-configuration"
	s.Token = func(said sasl.Bearer) (string, error) { return x.token(ctx, said) }
}

// token looks whose a token is and counts the login. It is over here: of a refusal the
// client is told in a challenge, to which it may say nothing at all (RFC 7628 §3.2.3).
// Nobody guesses tokens, and without a name from the client they alone say who it is: so
// they are looked at before the counts.
func (x *Exchange) token(ctx context.Context, said sasl.Bearer) (string, error) {
	acc, err := x.owner(ctx, said)
	if err != nil && !errors.Is(err, ErrCredentials) {
		return "", err
	}
	end, banned := x.g.begin(ctx, x.a, cmp.Or(said.User, acc.Address.String()))
	if banned != nil {
		return "", banned
	}
	end(ctx, true, err)
	x.over = true
	if err != nil {
		return "", sasl.ErrCredentials
	}
	x.acc = Login{Account: acc}
	return acc.Address.String(), nil
}

// owner is the account of a token; ErrCredentials if it is nobody's, or not that of whom
// the client says it is.
func (x *Exchange) owner(ctx context.Context, said sasl.Bearer) (Account, error) {
	if said.Token == "" {
		return Account{}, &unproven{bearer.ErrToken}
	}
	login, err := x.g.o.Tokens.Verify(ctx, said.Token)
	if errors.Is(err, bearer.ErrToken) {
		return Account{}, &unproven{err}
	}
	if err != nil {
		return Account{}, err
	}
	acc, known, err := x.g.o.Directory.find(ctx, login)
	if err != nil {
		return Account{}, err
	}
	if !known || said.User != "" && loginKey(said.User) != acc.Address.Key() {
		return Account{}, &unproven{sasl.ErrCredentials}
	}
	return acc, nil
}

// certificate offers EXTERNAL to a client whose certificate names an account and is
// vouched for by the authorities of the settings (RFC 4422 appendix A).
func (x *Exchange) certificate(ctx context.Context, s *sasl.Server) {
	if !x.g.Vouched(x.a.Certificates) {
		return // others may have asked for it: it is no failed login
	}
	for _, address := range x.a.Certificates[0].EmailAddresses {
		acc, known, err := x.g.o.Directory.find(ctx, address)
		if err != nil {
			x.g.o.Logger.Error("EXTERNAL is not offered now: accounts cannot be looked up", "error", err)
			return
		}
		if known {
			s.External = func(authzid string) (string, error) { return x.certified(ctx, acc, authzid) }
			return
		}
	}
}

// certified begins the attempt of a client whose certificate names an account: that one,
// or of several the one that he asks for.
func (x *Exchange) certified(ctx context.Context, acc Account, authzid string) (string, error) {
	if authzid != "" && loginKey(authzid) != acc.Address.Key() {
		same := func(address string) bool { return loginKey(address) == loginKey(authzid) }
		if !slices.ContainsFunc(x.a.Certificates[0].EmailAddresses, same) {
			return "", sasl.ErrAuthzid
		}
		other, known, err := x.g.o.Directory.find(ctx, authzid)
		if err != nil {
			return "", err
		}
		if !known {
			return "", sasl.ErrAuthzid
		}
		acc = other
	}
	name := acc.Address.String()
	if err := x.attempt(ctx, name); err != nil {
		return "", err
	}
	x.acc = Login{Account: acc}
	return name, nil
}

// Vouched tells whether one of the authorities of the settings stands behind a
// client's certificate, which is the first.
func (g *Gate) Vouched(chain []*x509.Certificate) bool {
	roots := g.o.ClientCAs()
	if roots == nil || len(chain) == 0 {
		return false
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	return err == nil
}
