package account

import (
	"context"
	"crypto/x509"
	"errors"

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
	s.Scope, s.Discovery = "openid email", tokens.Settings().Issuer+"/.well-known/openid-configuration"
	s.Token = func(said sasl.Bearer) (string, error) {
		login, err := tokens.Verify(ctx, said.Token)
		if errors.Is(err, bearer.ErrToken) {
			return "", sasl.ErrCredentials
		}
		if err != nil {
			return "", err
		}
		acc, known, err := x.g.o.Directory.find(ctx, login)
		if err != nil {
			return "", err
		}
		if !known || said.User != "" && loginKey(said.User) != acc.Address.Key() {
			return "", sasl.ErrCredentials
		}
		x.acc = Login{Account: acc}
		return acc.Address.String(), nil
	}
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
			x.acc, s.Identity = Login{Account: acc}, acc.Address.String()
			return
		}
	}
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
