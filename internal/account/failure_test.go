package account_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// heard is a gate with an account, of which every failure is kept.
type heard struct {
	*account.Gate
	*world
	log      bytes.Buffer
	failures []account.Failure
}

func newHeard(t *testing.T, limit int) *heard {
	t.Helper()
	h := &heard{world: newWorld(t, "e.test")}
	h.account(taro)
	h.Gate = account.NewGate(account.GateOptions{
		Directory: h.Directory, Bans: h.bans(limit), SCRAM: func() bool { return true }, Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
		Failed: func(f account.Failure) { h.failures = append(h.failures, f) },
	})
	return h
}

// one wants an error to be a failure that was told of once, in the log and beside.
func (h *heard) one(what string, err error, want account.Failure) {
	h.t.Helper()
	if !errors.Is(err, account.ErrCredentials) {
		h.t.Errorf("%s: %v", what, err)
	}
	text := h.log.String()
	if len(h.failures) != 1 || strings.Count(text, "\n") != 1 || !strings.Contains(text, `msg="login failed"`) {
		h.t.Fatalf("%s is told of as %+v, and in the log:\n%s", what, h.failures, text)
	}
	got := h.failures[0]
	if got.Until.IsZero() == strings.Contains(text, "banned_until=") {
		h.t.Errorf("%s: until %v, in the log:\n%s", what, got.Until, text)
	}
	got.Until = want.Until
	if got != want {
		h.t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
	h.log.Reset()
	h.failures = nil
}

// Whatever fails, and however, is told of exactly once.
func TestEveryFailureIsToldOfOnce(t *testing.T) {
	t.Parallel()
	h := newHeard(t, 100)
	app, err := h.AddAppPassword(t.Context(), addr(t, taro), account.AppPassword{Name: "phone", Scopes: []account.Scope{"imap"}})
	h.must(err)
	const wrong, unusable = "the user name or password is wrong", `the app password "phone" is right, but it may not be used here or is past its time`
	peer := netip.MustParseAddr("192.0.2.1")
	n := 0
	told := func(user, mechanism, reason string) account.Failure {
		n++
		return account.Failure{Door: "pop3", Peer: peer, User: user, Mechanism: mechanism, Reason: reason, Failures: n}
	}
	login := func(user, password string) error {
		_, err := h.Login(t.Context(), account.Attempt{Door: "pop3", Peer: peer, User: user, Password: password, Mechanism: "PASS"})
		return err
	}
	h.one("a wrong password", login("Taro@e.test", "wrong"), told("Taro@e.test", "PASS", wrong))
	h.one("what looks like an app password", login(taro, strings.Repeat("a", 26)), told(taro, "PASS", wrong))
	h.one("an app password of another door", login(taro, app), told(taro, "PASS", unusable))

	x, _ := h.Begin(t.Context(), account.Attempt{Door: "pop3", Peer: peer}, "plain")
	_, _, err = x.Next(t.Context(), []byte("\x00"+taro+"\x00wrong"))
	h.one("PLAIN", err, told(taro, "PLAIN", wrong))

	a := account.Attempt{Door: "pop3", Peer: peer, User: taro, Password: "wrong"}
	h.one("SCRAM", scram(t, h.Gate, a, sasl.Binding{}), told(taro, "SCRAM-SHA-256", sasl.ErrCredentials.Error()))
	a.Password = app
	h.one("SCRAM with an app password of another door", scram(t, h.Gate, a, sasl.Binding{}), told(taro, "SCRAM-SHA-256", unusable))

	n = 0
	a.User = "nobody@e.test"
	h.one("SCRAM as nobody", scram(t, h.Gate, a, sasl.Binding{}), told("nobody@e.test", "SCRAM-SHA-256", sasl.ErrCredentials.Error()))

	if err := login(taro, password); err != nil {
		t.Error(err)
	}
	x, _ = h.Begin(t.Context(), account.Attempt{Door: "pop3", Peer: peer}, "PLAIN")
	if _, _, err := x.Next(t.Context(), []byte("no separators")); err == nil || len(h.failures) != 0 || h.log.Len() != 0 {
		t.Errorf("what is no login at all: %v, %+v, %s", err, h.failures, h.log.String())
	}
}

// The failure that begins a ban says so; who is banned makes none.
func TestFailureThatBeginsABan(t *testing.T) {
	t.Parallel()
	h := newHeard(t, 2)
	peer := netip.MustParseAddr("192.0.2.1")
	user := strings.Repeat("x", 199) + "é and more"
	a := account.Attempt{Door: "imap", Peer: peer, User: user, Password: "wrong"}
	want := account.Failure{Door: "imap", Peer: peer, User: user[:199] + "\uFFFD", Reason: "the user name or password is wrong", Failures: 1}
	for ; want.Failures <= 2; want.Failures++ {
		_, err := h.Login(t.Context(), a)
		if begins := !h.failures[0].Until.IsZero(); begins != (want.Failures == 2) || !utf8.ValidString(h.failures[0].User) {
			t.Errorf("%+v", h.failures[0])
		}
		h.one("a long name", err, want)
	}
	if _, err := h.Login(t.Context(), a); errors.Is(err, account.ErrCredentials) || len(h.failures) != 0 {
		t.Errorf("a banned one: %v, %+v", err, h.failures)
	}
}

// A challenge of SCRAM tells the salt and the cost of a name: whoever asks for it and
// gives no answer has failed, and who may not try hears nothing.
func TestGivenUpSCRAM(t *testing.T) {
	t.Parallel()
	h := newHeard(t, 3)
	app, err := h.AddAppPassword(t.Context(), addr(t, taro), account.AppPassword{Name: "phone", Scopes: account.Scopes()})
	h.must(err)
	a := account.Attempt{Door: "imap", Peer: netip.MustParseAddr("192.0.2.1")}
	want := account.Failure{Door: "imap", Peer: a.Peer, User: taro, Mechanism: "SCRAM-SHA-256", Failures: 1}
	begin := func() (*account.Exchange, error) {
		x, _ := h.Begin(t.Context(), a, "SCRAM-SHA-256")
		_, _, err := x.Next(t.Context(), []byte("n,,n="+taro+",r=abc"))
		return x, err
	}

	x, _ := h.Begin(t.Context(), a, "SCRAM-SHA-256")
	_, _, err = x.Next(t.Context(), nil)
	x.End(t.Context())
	if err != nil || len(h.failures) != 0 {
		t.Errorf("given up before the name: %v, %+v", err, h.failures)
	}

	c, _ := sasl.NewClient("SCRAM-SHA-256", sasl.ClientCredentials{User: taro, Password: app})
	x, _ = h.Begin(t.Context(), a, "SCRAM-SHA-256")
	var challenge []byte
	for range 2 {
		answer, _, err := c.Next(challenge)
		h.must(err)
		challenge, _, err = x.Next(t.Context(), answer)
		h.must(err)
	}
	x.End(t.Context())
	if len(h.failures) != 0 {
		t.Errorf("given up when it was proven: %+v", h.failures)
	}

	x, err = begin()
	h.must(err)
	x.End(t.Context())
	x.End(t.Context())
	const why = "the challenge of SCRAM got no answer: "
	want.Reason = why + sasl.ErrCancelled.Error()
	h.one("cancelled", account.ErrCredentials, want)

	x, err = begin()
	h.must(err)
	if _, _, err = x.Next(t.Context(), []byte("x")); !errors.Is(err, sasl.ErrSyntax) {
		t.Errorf("nonsense: %v", err)
	}
	x.End(t.Context())
	want.Reason, want.Failures = why+sasl.ErrSyntax.Error(), 2
	h.one("nonsense", account.ErrCredentials, want)

	x, err = begin()
	h.must(err)
	x.End(t.Context())
	h.failures = nil
	_, err = begin()
	if _, banned := errors.AsType[*account.TooManyFailures](err); !banned || len(h.failures) != 0 {
		t.Errorf("the challenge of who is banned: %v, %+v", err, h.failures)
	}
}
