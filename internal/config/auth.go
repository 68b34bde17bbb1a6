package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
)

var errNoCertificate = errors.New("the file holds no certificate in PEM form")

// ClientCAs are those who vouch for the certificates of users; nil = nobody does.
func (a *Auth) ClientCAs() (*x509.CertPool, error) {
	if a.ClientCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(a.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("auth.client_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("auth.client_ca: %w", errNoCertificate)
	}
	return pool, nil
}

// oauth checks that whose tokens count is said in full.
func (k *checker) oauth() {
	a := k.Auth
	if a.OAuthIssuer == "" {
		if len(a.OAuthAudience) > 0 {
			k.bad("auth.oauth_audience", a.OAuthAudience, "there is no issuer whose tokens could be for it; set auth.oauth_issuer, or remove it")
		}
		return
	}
	u, err := url.Parse(a.OAuthIssuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		k.bad("auth.oauth_issuer", a.OAuthIssuer, `must be an address like "https://id.example.org"; correct it, or write "" for none`)
	}
	if len(a.OAuthAudience) == 0 {
		k.bad("auth.oauth_issuer", a.OAuthIssuer, "needs auth.oauth_audience: else a token for any program of that issuer would do")
	}
	if a.OAuthClaim == "" {
		k.bad("auth.oauth_claim", a.OAuthClaim, `must name what tells the account; write "email" or "preferred_username"`)
	}
}
