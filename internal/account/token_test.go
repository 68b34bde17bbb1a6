package account_test

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/bearer"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// run feeds a login its answers and returns the challenges and how it ended.
func run(t *testing.T, g *account.Gate, a account.Attempt, mechanism string, answers ...string) (mail.ID, []string, error) {
	t.Helper()
	x, offered := g.Begin(t.Context(), a, mechanism)
	if !offered {
		return 0, nil, errNotOffered
	}
	var said []string
	for _, answer := range answers {
		challenge, done, err := x.Next(t.Context(), []byte(answer))
		if err != nil {
			return 0, said, err
		}
		if done {
			return x.Login().ID, said, nil
		}
		said = append(said, string(challenge))
	}
	return 0, said, errUnfinished
}

var errNotOffered, errUnfinished = errors.New("not offered"), errors.New("not finished")

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	w.account("jiro@e.test")
	w.alias("info@e.test", "taro@e.test")
	issuer := testkit.NewIssuer(t)
	set := bearer.Settings{Issuer: issuer.URL, Audience: []string{"mail"}, Claim: "email"}
	gate := account.NewGate(account.GateOptions{
		Directory: w.Directory, Bans: w.bans(0), Logger: slog.New(slog.DiscardHandler),
		Tokens: bearer.New(bearer.Options{Settings: func() bearer.Settings { return set }, Transport: issuer.Client().Transport}),
	})
	attempt := account.Attempt{Door: "imap"}
	if got := gate.Mechanisms(t.Context(), attempt); !slices.Equal(got, []string{"OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"}) {
		t.Errorf("offered: %v", got)
	}
	token := func(email string) string {
		return issuer.Token("one", "RS256", issuer.Claims(map[string]any{"email": email}))
	}
	bearerOf := func(user, token string) string { return "n,a=" + user + ",\x01auth=Bearer " + token + "\x01\x01" }
	google := func(user, token string) string { return "user=" + user + "\x01auth=Bearer " + token + "\x01\x01" }
	for name, c := range map[string]struct{ mechanism, answer string }{
		"OAUTHBEARER":      {"OAUTHBEARER", bearerOf("taro@e.test", token("taro@e.test"))},
		"in another case":  {"oauthbearer", bearerOf("Taro@E.test", token("TARO@e.test"))},
		"without a user":   {"OAUTHBEARER", "n,,\x01auth=Bearer " + token("taro@e.test") + "\x01\x01"},
		"host and port":    {"OAUTHBEARER", "n,a=taro@e.test,\x01host=mx.e.test\x01port=587\x01auth=Bearer " + token("taro@e.test") + "\x01\x01"},
		"XOAUTH2":          {"XOAUTH2", google("taro@e.test", token("taro@e.test"))},
		"scheme in a case": {"XOAUTH2", "user=taro@e.test\x01auth=bearer " + token("taro@e.test") + "\x01\x01"},
	} {
		if id, _, err := run(t, gate, attempt, c.mechanism, c.answer); id != taro.ID || err != nil {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
	over := issuer.Token("one", "RS256", issuer.Claims(map[string]any{"email": "taro@e.test", "exp": 1}))
	for name, c := range map[string]struct{ mechanism, answer, reasons string }{
		"somebody else's":    {"OAUTHBEARER", bearerOf("jiro@e.test", token("taro@e.test")), `"invalid_token"`},
		"an alias":           {"OAUTHBEARER", bearerOf("info@e.test", token("info@e.test")), `"invalid_token"`},
		"a tag":              {"XOAUTH2", google("taro+x@e.test", token("taro@e.test")), `"401"`},
		"nobody's":           {"OAUTHBEARER", bearerOf("saburo@e.test", token("saburo@e.test")), `"invalid_token"`},
		"a password instead": {"XOAUTH2", google("taro@e.test", "password"), `"401"`},
		"an old one":         {"OAUTHBEARER", bearerOf("taro@e.test", over), issuer.URL + "/.well-known/openid-configuration"},
		"none":               {"OAUTHBEARER", "n,a=taro@e.test,\x01auth=\x01\x01", `"openid email"`},
	} {
		_, said, err := run(t, gate, attempt, c.mechanism, c.answer, "\x01")
		if !errors.Is(err, account.ErrCredentials) || len(said) != 1 || !strings.Contains(said[0], c.reasons) {
			t.Errorf("%s: %v, %v", name, said, err)
		}
	}
	issuer.Add("two")
	issuer.Away.Store(true)
	unknown := issuer.Token("two", "RS256", issuer.Claims(map[string]any{"email": "taro@e.test"}))
	if _, _, err := run(t, gate, attempt, "OAUTHBEARER", bearerOf("taro@e.test", unknown)); err == nil || errors.Is(err, account.ErrCredentials) || sasl.IsFault(err) {
		t.Errorf("while the issuer is away: %v", err)
	}
	set.Issuer = issuer.URL + "/" // as the names of some end
	if _, said, _ := run(t, gate, attempt, "OAUTHBEARER", "n,,\x01auth=\x01\x01"); len(said) != 1 || !strings.Contains(said[0], issuer.URL+"/.well-known/") {
		t.Errorf("where to ask an issuer with a slash: %q", said)
	}
	set.Issuer = ""
	if _, _, err := run(t, gate, attempt, "OAUTHBEARER", bearerOf("taro@e.test", token("taro@e.test"))); !errors.Is(err, errNotOffered) {
		t.Errorf("without an issuer: %v", err)
	}
}

// A token counts as a password does, when it is looked at: a refusal once, whether the
// client takes notice of it or not, and a success for who is known.
func TestTokensAreCounted(t *testing.T) {
	t.Parallel()
	const limit = 2
	h := newHeard(t, limit)
	issuer := testkit.NewIssuer(t)
	set := bearer.Settings{Issuer: issuer.URL, Audience: []string{"mail"}, Claim: "email"}
	h.Gate = account.NewGate(account.GateOptions{
		Directory: h.Directory, Bans: h.bans(limit), Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
		Failed: func(f account.Failure) { h.failures = append(h.failures, f) },
		Tokens: bearer.New(bearer.Options{Settings: func() bearer.Settings { return set }, Transport: issuer.Client().Transport}),
	})
	token := func(user string, more map[string]any) string {
		more["email"] = taro
		return "n," + user + ",\x01auth=Bearer " + issuer.Token("one", "RS256", issuer.Claims(more)) + "\x01\x01"
	}
	good, old := token("a="+taro, map[string]any{}), token("a="+taro, map[string]any{"exp": 1})
	doors := 0
	from := func(peer string) account.Attempt {
		return account.Attempt{Door: "imap", Peer: netip.MustParseAddr(peer), Failed: func() { doors++ }}
	}
	refused := func(peer, message, user, reason string, n int, answers ...string) {
		t.Helper()
		_, said, err := run(t, h.Gate, from(peer), "OAUTHBEARER", append([]string{message}, answers...)...)
		if len(said) != 1 || len(answers) == 0 && !errors.Is(err, errUnfinished) || len(answers) > 0 && !errors.Is(err, account.ErrCredentials) {
			t.Errorf("%q, %v", said, err)
		}
		h.one("a token", account.ErrCredentials, account.Failure{
			Door: "imap", Peer: netip.MustParseAddr(peer), User: user, Mechanism: "OAUTHBEARER", Reason: reason, Failures: n,
		})
	}
	banned := func(err error) bool {
		_, ok := errors.AsType[*account.TooManyFailures](err)
		return ok
	}
	const invalid = "the token is not valid here"
	refused("192.0.2.1", old, taro, invalid, 1) // "*", or the end of the connection
	refused("192.0.2.1", old, taro, invalid, 2, "\x01")
	if _, _, err := run(t, h.Gate, from("192.0.2.1"), "OAUTHBEARER", good); !banned(err) {
		t.Errorf("a right one after as many as may be: %v", err)
	}
	refused("192.0.2.2", token("", map[string]any{"exp": 1}), "", invalid, 1)
	refused("192.0.2.3", "n,a="+taro+",\x01auth=\x01\x01", taro, invalid, 1)
	refused("192.0.2.4", token("a=x@e.test", map[string]any{}), "x@e.test", sasl.ErrCredentials.Error(), 1)
	if doors != 5 {
		t.Errorf("the door heard of %d failures", doors)
	}
	for peer, message := range map[string]string{"192.0.2.5": good, "192.0.2.6": token("", map[string]any{})} {
		if _, _, err := run(t, h.Gate, from(peer), "OAUTHBEARER", message); err != nil {
			t.Fatal(err)
		}
		for range limit {
			if _, _, err := run(t, h.Gate, from(peer), "PLAIN", "\x00"+taro+"\x00wrong one"); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("a wrong password: %v", err)
			}
		}
		if _, _, err := run(t, h.Gate, from(peer), "PLAIN", "\x00"+taro+"\x00"+password); err != nil {
			t.Errorf("who logged in by a token is banned from there: %v", err)
		}
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro, jiro := w.account("taro@e.test"), w.account("jiro@e.test")
	w.alias("info@e.test", "taro@e.test")
	ca, strangers := testkit.NewCA(t), testkit.NewCA(t)
	pool := ca.Pool()
	gate := account.NewGate(account.GateOptions{
		Directory: w.Directory, Bans: w.bans(0), Logger: slog.New(slog.DiscardHandler), ClientCAs: func() *x509.CertPool { return pool },
	})
	of := func(ca *testkit.CA, names ...string) account.Attempt {
		a := account.Attempt{Door: "imap"}
		for _, der := range ca.Certificate(t, names...).Certificate {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			a.Certificates = append(a.Certificates, c)
		}
		return a
	}
	for name, c := range map[string]struct {
		a      account.Attempt
		answer string
		want   error
		login  account.Account
	}{
		"with no name":             {of(ca, "taro@e.test"), "", nil, taro},
		"with the same name":       {of(ca, "taro@e.test"), "Taro@e.test", nil, taro},
		"a certificate in a case":  {of(ca, "TARO@E.test"), "", nil, taro},
		"of several the right one": {of(ca, "x@y.test", "taro@e.test"), "", nil, taro},
		"of several the first":     {of(ca, "jiro@e.test", "taro@e.test"), "", nil, jiro},
		"of several the named one": {of(ca, "jiro@e.test", "taro@e.test"), "TARO@e.test", nil, taro},
		"of several no account":    {of(ca, "taro@e.test", "x@y.test"), "x@y.test", sasl.ErrAuthzid, taro},
		"of several none":          {of(ca, "taro@e.test", "x@y.test"), "jiro@e.test", sasl.ErrAuthzid, taro},
		"for somebody else":        {of(ca, "taro@e.test"), "jiro@e.test", sasl.ErrAuthzid, taro},
		"an alias":                 {of(ca, "info@e.test"), "", errNotOffered, taro},
		"a tag":                    {of(ca, "taro+x@e.test"), "", errNotOffered, taro},
		"nobody":                   {of(ca, "x@y.test"), "", errNotOffered, taro},
		"strangers vouch for it":   {of(strangers, "taro@e.test"), "", errNotOffered, taro},
		"a server's":               {of(ca, "mx.e.test"), "", errNotOffered, taro},
		"none":                     {account.Attempt{}, "", errNotOffered, taro},
	} {
		id, _, err := run(t, gate, c.a, "EXTERNAL", c.answer)
		if !errors.Is(err, c.want) || err == nil && id != c.login.ID {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
	pool = nil
	if _, _, err := run(t, gate, of(ca, "taro@e.test"), "EXTERNAL", ""); !errors.Is(err, errNotOffered) {
		t.Errorf("without authorities: %v", err)
	}
}
