package app

import (
	"crypto/tls"

	"github.com/hayauma/hayauma/internal/account/bearer"
)

// asksForCertificates has doors ask clients for a certificate while that can be of
// use. One that is not vouched for ends no handshake: the servers that bring mail
// often show their own, which is of other authorities.
func (a *app) asksForCertificates(base *tls.Config) *tls.Config {
	asking := base.Clone()
	asking.ClientAuth = tls.RequestClientCert
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if a.clientCAs.Load() == nil {
			return nil, nil // as it is
		}
		return asking, nil
	}
	return base
}

// tokens are the settings of those of an OpenID issuer.
func (a *app) tokens() bearer.Settings {
	c := a.cfg.Load().Auth
	return bearer.Settings{Issuer: c.OAuthIssuer, Audience: c.OAuthAudience, Claim: c.OAuthClaim}
}
