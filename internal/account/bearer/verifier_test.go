package bearer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/account/bearer"
	"github.com/hayauma/hayauma/internal/testkit"
)

// verifier trusts an issuer.
func verifier(i *testkit.Issuer, change ...func(*bearer.Settings)) *bearer.Verifier {
	set := bearer.Settings{Issuer: i.URL, Audience: []string{"other", "mail"}, Claim: "email"}
	for _, c := range change {
		c(&set)
	}
	return bearer.New(bearer.Options{Settings: func() bearer.Settings { return set }, Transport: i.Client().Transport})
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func TestVerify(t *testing.T) {
	t.Parallel()
	i, stranger := testkit.NewIssuer(t), testkit.NewIssuer(t)
	i.Add("elliptic")
	v := verifier(i)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := func(change map[string]any) string { return i.Token("one", "RS256", i.Claims(change)) }
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"a good one":                   {good(nil), true},
		"by an elliptic key":           {i.Token("elliptic", "ES256", i.Claims(nil)), true},
		"for several":                  {good(map[string]any{"aud": []string{"x", "mail"}}), true},
		"a clock a little behind ours": {good(map[string]any{"exp": in(-30 * time.Second)}), true},
		"a clock a little before ours": {good(map[string]any{"nbf": in(30 * time.Second)}), true},
		"a begin as text":              {good(map[string]any{"nbf": strconv.FormatInt(in(-time.Minute), 10)}), true},
		"a verified address":           {good(map[string]any{"email_verified": true}), true},
		"a verified one, as text":      {good(map[string]any{"email_verified": "true"}), true},

		"for somebody else":        {good(map[string]any{"aud": "web"}), false},
		"for nobody":               {good(map[string]any{"aud": nil}), false},
		"of another issuer's name": {good(map[string]any{"iss": "https://elsewhere.test"}), false},
		"over":                     {good(map[string]any{"exp": in(-2 * time.Minute)}), false},
		"without an end":           {good(map[string]any{"exp": nil}), false},
		"not yet begun":            {good(map[string]any{"nbf": in(2 * time.Minute)}), false},
		"not yet begun, as text":   {good(map[string]any{"nbf": strconv.FormatInt(in(2*time.Minute), 10)}), false},
		"beginning after all time": {good(map[string]any{"nbf": 1e300}), false},
		"beginning with a word":    {good(map[string]any{"nbf": "soon"}), false},
		"an address not verified":  {good(map[string]any{"email_verified": false}), false},
		"not verified, as text":    {good(map[string]any{"email_verified": "false"}), false},
		"not verified, by a word":  {good(map[string]any{"email_verified": "no"}), false},
		"not verified, as a digit": {good(map[string]any{"email_verified": 0}), false},
		"verified, as a digit":     {good(map[string]any{"email_verified": 1}), false},
		"verified by null":         {good(map[string]any{"email_verified": json.RawMessage("null")}), false},
		"verified by an object":    {good(map[string]any{"email_verified": map[string]any{"a": true}}), false},
		"without the claim":        {good(map[string]any{"email": nil}), false},
		"a claim that is no text":  {good(map[string]any{"email": 7}), false},
		"by another issuer's key":  {stranger.Token("one", "RS256", i.Claims(nil)), false},
		"by another issuer":        {stranger.Token("one", "RS256", stranger.Claims(nil)), false},
		"no algorithm":             {unsigned(good(nil)), false},
		"the wrong algorithm":      {i.Token("one", "ES256", i.Claims(nil)), false},
		"a shared secret":          {i.Token("one", "HS256", i.Claims(nil)), false},
		"cut":                      {good(nil)[:200], false},
		"changed":                  {changed(good(nil)), false},
		"empty":                    {"", false},
		"dots":                     {"..", false},
		"no token":                 {"password", false},
		"huge":                     {good(map[string]any{"x": strings.Repeat("x", 20_000)}), false},
	} {
		login, err := v.Verify(t.Context(), c.token)
		if c.ok && (err != nil || login != "alice@hayauma.test") {
			t.Errorf("%s: %q, %v", name, login, err)
		}
		if !c.ok && !errors.Is(err, bearer.ErrToken) {
			t.Errorf("%s: %q, %v", name, login, err)
		}
	}
	off := verifier(i, func(s *bearer.Settings) { s.Issuer = "" })
	if _, err := off.Verify(t.Context(), good(nil)); !errors.Is(err, bearer.ErrToken) {
		t.Errorf("without an issuer: %v", err)
	}
	named := verifier(i, func(s *bearer.Settings) { s.Claim = "preferred_username" })
	if login, err := named.Verify(t.Context(), good(map[string]any{"preferred_username": "bob@hayauma.test", "email_verified": false})); err != nil || login != "bob@hayauma.test" {
		t.Errorf("by another claim: %q, %v", login, err)
	}
}

// unsigned says that no signature is needed.
func unsigned(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	claims, _, _ := strings.Cut(rest, ".")
	return text([]byte(`{"alg":"none"}`)) + "." + claims + "."
}

// changed has another claim under the same signature.
func changed(token string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + text([]byte(`{"email":"root@hayauma.test"}`)) + "." + parts[2]
}

// TestKeysChange: a key that is not known yet is asked for, but not again and again.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	i := testkit.NewIssuer(t)
	v := verifier(i)
	if _, err := v.Verify(t.Context(), i.Token("one", "RS256", i.Claims(nil))); err != nil {
		t.Fatal(err)
	}
	i.Add("two")
	i.Remove("one")
	if _, err := v.Verify(t.Context(), i.Token("two", "RS256", i.Claims(nil))); err != nil {
		t.Errorf("by a new key: %v", err)
	}
	i.Add("e3")
	token := i.Token("e3", "ES256", i.Claims(nil))
	i.Remove("e3")
	for range 100 {
		if _, err := v.Verify(t.Context(), token); err == nil {
			t.Fatal("a key that is not there")
		}
	}
	if n := i.Asked.Load(); n > 12 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

// TestIssuerIsAway: nobody's fault, and nobody's failure.
func TestIssuerIsAway(t *testing.T) {
	t.Parallel()
	i := testkit.NewIssuer(t)
	v := verifier(i)
	i.Away.Store(true)
	token := i.Token("one", "RS256", i.Claims(nil))
	for range 50 {
		if _, err := v.Verify(t.Context(), token); err == nil || errors.Is(err, bearer.ErrToken) {
			t.Fatalf("while the issuer is away: %v", err)
		}
	}
	if n := i.Asked.Load(); n > 12 {
		t.Errorf("the issuer was asked %d times", n)
	}
	back := verifier(i)
	i.Away.Store(false)
	if _, err := back.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	i.Away.Store(true) // what it said once holds
	if _, err := back.Verify(t.Context(), token); err != nil {
		t.Errorf("with keys that are known: %v", err)
	}
	i.Add("two")
	if _, err := back.Verify(t.Context(), i.Token("two", "RS256", i.Claims(nil))); err == nil || errors.Is(err, bearer.ErrToken) {
		t.Errorf("with a key that cannot be asked for: %v", err)
	}
}

// nonsense is an issuer that answers as it should but to one question.
type nonsense struct {
	path, text string
	status     int
	next       http.RoundTripper
}

func (n nonsense) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := n.next.RoundTrip(r)
	if err != nil || r.URL.Path != n.path {
		return answer, err
	}
	_ = answer.Body.Close()
	text, cut := strings.CutSuffix(n.text, "...")
	answer.StatusCode, answer.Body = n.status, io.NopCloser(strings.NewReader(text))
	if cut {
		answer.Body = io.NopCloser(io.MultiReader(answer.Body, iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	return answer, nil
}

// TestIssuerTalksNonsense: whoever stands in for the issuer, or what is left of its
// answer, makes no token wrong. What it said is not told at length.
func TestIssuerTalksNonsense(t *testing.T) {
	t.Parallel()
	i := testkit.NewIssuer(t)
	token := i.Token("one", "RS256", i.Claims(nil))
	page := "<html>" + strings.Repeat("log in to the portal first ", 80_000)
	for name, n := range map[string]nonsense{
		"a page":        {text: page, status: http.StatusOK},
		"an error page": {text: page, status: http.StatusBadGateway},
		"another place": {status: http.StatusFound},
		"cut":           {text: `{"keys":[{"kty":...`, status: http.StatusOK},
		"too much":      {text: `{"keys":[` + strings.Repeat(`{"kty":"oct"},`, 100_000) + `{}]}`, status: http.StatusOK},
		"no key":        {text: `{"keys":[{"kty":"RSA","kid":"one","n":"!","e":"AQAB"}]}`, status: http.StatusOK},
		"nothing":       {status: http.StatusOK},
	} {
		for _, n.path = range []string{"/.well-known/openid-configuration", "/keys"} {
			n.next = i.Client().Transport
			set := bearer.Settings{Issuer: i.URL, Audience: []string{"mail"}, Claim: "email"}
			v := bearer.New(bearer.Options{Settings: func() bearer.Settings { return set }, Transport: n})
			_, err := v.Verify(t.Context(), token)
			if err == nil || errors.Is(err, bearer.ErrToken) {
				t.Errorf("%s from %s: %v", name, n.path, err)
				continue
			}
			if octets := len(err.Error()); octets > 500 {
				t.Errorf("%s from %s: an error of %d octets", name, n.path, octets)
			}
		}
	}
}

// inMemory asks a handler, without a network.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestIssuerIsAwayForLong: what an issuer said yesterday counts while it does not answer, but
// not for ever.
func TestIssuerIsAwayForLong(t *testing.T) {
	t.Parallel()
	i := testkit.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		set := bearer.Settings{Issuer: i.URL, Audience: []string{"mail"}, Claim: "email"}
		v := bearer.New(bearer.Options{Settings: func() bearer.Settings { return set }, Transport: inMemory{i.Config.Handler}})
		for _, step := range []struct {
			after time.Duration
			away  bool
			holds bool
		}{
			{0, false, true},
			{23 * time.Hour, true, true},
			{2 * time.Hour, true, true},
			{22 * time.Hour, true, true},
			{2 * time.Hour, true, false},
			{10 * time.Second, false, true},
			{25 * time.Hour, false, true}, // asked anew
			{47 * time.Hour, true, true},
			{2 * time.Hour, true, false},
		} {
			<-time.After(step.after)
			i.Away.Store(step.away)
			token := i.Token("one", "RS256", i.Claims(map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
			if _, err := v.Verify(t.Context(), token); (err == nil) != step.holds || errors.Is(err, bearer.ErrToken) {
				t.Errorf("after %v more, away %v: %v", step.after, step.away, err)
			}
		}
	})
}
