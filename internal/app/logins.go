package app

import "github.com/hayauma/hayauma/internal/account/bearer"

// asksForCertificates tells whether one of a client can be of use.
func (a *app) asksForCertificates() bool { return a.clientCAs.Load() != nil }

// tokens are the settings of those of an OpenID issuer.
func (a *app) tokens() bearer.Settings {
	c := a.cfg.Load().Auth
	return bearer.Settings{Issuer: c.OAuthIssuer, Audience: c.OAuthAudience, Claim: c.OAuthClaim}
}
