// Package bearer finds out whom a token of an OpenID issuer names.
package bearer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// ErrToken says that a token proves nothing here. Any other error is temporary: the
// issuer could not be asked.
var ErrToken = errors.New("the token is not valid here")

// Settings say whose tokens count. They may change by a reload.
type Settings struct {
	Issuer   string   // URL, as its tokens have it; empty = nobody's count
	Audience []string // of which a token must name one
	Claim    string   // what names the login: "email", "preferred_username" ...
}

// Options are what a Verifier is made of.
type Options struct {
	Settings func() Settings
	// Transport asks the issuer; nil = the network.
	Transport http.RoundTripper
}

const (
	// leeway is how far the issuer's clock may be from ours.
	leeway = time.Minute
	// timeout is for one question to the issuer.
	timeout = 10 * time.Second
	// forget is how old what the issuer says of itself may be before it is asked again,
	// and keep how old while it does not answer.
	forget, keep = 24 * time.Hour, 48 * time.Hour
	// rest is how long an issuer that cannot be reached is left alone, and longRest
	// how long where what it said before still counts: all who log in wait for it.
	rest, longRest = 5 * time.Second, 5 * time.Minute
	// maxToken bounds a token in octets.
	maxToken = 10 << 10
	// maxReason bounds what is told of an error, in characters: those of the library
	// quote whole answers.
	maxReason = 300
)

// algorithms are those of public keys: with others whoever checks a token could
// make one.
func algorithms() []string {
	return []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
		oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
	}
}

// Verifier checks tokens. It may be used by many goroutines.
type Verifier struct {
	o      Options
	issuer *asking

	mu    sync.Mutex
	of    string      // the issuer that was asked
	keys  oidc.KeySet // with those that are known; nil = none yet
	since time.Time   // of keys
	asked time.Time   // the last time
	err   error       // of that question, if it failed
}

// New returns a verifier, which asks nobody before the first token.
func New(o Options) *Verifier {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	return &Verifier{o: o, issuer: &asking{next: o.Transport}}
}

// Settings are those that hold now.
func (v *Verifier) Settings() Settings { return v.o.Settings() }

// Verify returns the login that a token names (RFC 7519, OpenID Connect Core §3.1.3.7).
func (v *Verifier) Verify(ctx context.Context, token string) (login string, err error) {
	set := v.o.Settings()
	if set.Issuer == "" || len(token) > maxToken {
		return "", ErrToken
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	known, err := v.known(ctx, set.Issuer)
	if err != nil {
		return "", fmt.Errorf("ask the issuer %s: %.*s", set.Issuer, maxReason, err.Error())
	}
	keys := &asked{KeySet: known}
	id, err := oidc.NewVerifier(set.Issuer, keys, &oidc.Config{
		SkipClientIDCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: algorithms(),
	}).Verify(ctx, token)
	switch {
	case keys.failed != nil:
		return "", fmt.Errorf("keys of the issuer %s: %.*s", set.Issuer, maxReason, keys.failed.Error())
	case err != nil:
		return "", ErrToken
	}
	return named(id, set, time.Now())
}

// named checks what the token is for.
func named(id *oidc.IDToken, set Settings, now time.Time) (string, error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return "", ErrToken
	}
	login, _ := claims[set.Claim].(string)
	switch {
	case !slices.ContainsFunc(id.Audience, func(a string) bool { return slices.Contains(set.Audience, a) }):
	case !now.Before(id.Expiry.Add(leeway)): // one without an end is over
	case !begun(id, now.Add(leeway)):
	case set.Claim == "email" && !verified(claims):
	case login == "":
	default:
		return login, nil
	}
	return "", ErrToken
}

// begun tells whether a token holds already; one that does not say from when on does at
// once (RFC 7519 §4.1.5). A number in quotes counts as one, as it does for the end.
func begun(id *oidc.IDToken, now time.Time) bool {
	var claims struct {
		Begins json.Number `json:"nbf"`
	}
	if err := id.Claims(&claims); err != nil {
		return false
	}
	if claims.Begins == "" {
		return true
	}
	begins, err := claims.Begins.Float64()
	return err == nil && begins <= float64(now.Unix())
}

// verified tells whether the issuer stands by the address in "email" (OpenID Connect
// Core §5.1). Some send text instead of a boolean; one that says nothing means its own
// addresses, and anything else that is not true is no.
func verified(claims map[string]any) bool {
	value, told := claims["email_verified"]
	return !told || value == true || value == "true"
}

// known are the keys of an issuer, as far as it was asked for them.
func (v *Verifier) known(ctx context.Context, issuer string) (oidc.KeySet, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.of != issuer {
		v.of, v.keys, v.err = issuer, nil, nil
	}
	if v.keys != nil && time.Since(v.since) < forget {
		return v.keys, nil
	}
	pause := rest
	if v.keys != nil {
		pause = longRest
	}
	if v.err == nil || time.Since(v.asked) >= pause {
		keys, err := discover(v.client(ctx), issuer)
		v.asked, v.err = time.Now(), err
		if err == nil {
			v.keys, v.since = keys, v.asked
		}
	}
	if v.err != nil && time.Since(v.since) >= keep {
		v.keys = nil
	}
	if v.keys == nil {
		return nil, v.err
	}
	return v.keys, nil
}

// discover asks an issuer where its keys are.
func discover(ctx context.Context, issuer string) (oidc.KeySet, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	var says struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&says); err != nil {
		return nil, err
	}
	return oidc.NewRemoteKeySet(ctx, says.Keys), nil
}

// asked notes for one token whether the issuer was asked for keys in vain: that is no
// fault of the token.
type asked struct {
	oidc.KeySet
	failed error
}

// VerifySignature implements oidc.KeySet.
func (a *asked) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := a.KeySet.VerifySignature(ctx, token)
	if errors.Unwrap(err) != nil { // of those of a key set, only what comes of asking wraps another
		a.failed = err
	}
	return payload, err
}

// client has the library ask as we want it to.
func (v *Verifier) client(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, &http.Client{
		Transport: v.issuer, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
}
