package account_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// scramLogin logs in by SCRAM.
func (w *world) scramLogin(gate *account.Gate, password string) account.Login {
	w.t.Helper()
	c, _ := sasl.NewClient("SCRAM-SHA-256", sasl.ClientCredentials{User: taro, Password: password})
	x, _ := gate.Begin(w.t.Context(), account.Attempt{Door: "imap"}, "SCRAM-SHA-256")
	var challenge []byte
	for done := false; !done; {
		answer, _, err := c.Next(challenge)
		w.must(err)
		challenge, done, err = x.Next(w.t.Context(), append([]byte{}, answer...))
		w.must(err)
	}
	return x.Login()
}

// TestLoginsEndWithTheirPassword: each way to log in, and what ends it.
func TestLoginsEndWithTheirPassword(t *testing.T) {
	t.Parallel()
	w, gate, add := scramGate(t)
	a := account.Attempt{Door: "imap", Peer: netip.MustParseAddr("192.0.2.1"), User: taro}
	login := func(password string) account.Login {
		t.Helper()
		a := a
		a.Password = password
		l, err := gate.Login(t.Context(), a)
		w.must(err)
		return l
	}
	phone, pad := add("phone", account.AppPassword{}), add("pad", account.AppPassword{})
	named, _, err := gate.Named(t.Context(), taro)
	w.must(err)
	logins := map[string]account.Login{
		"own": login(password), "phone": login(phone), "phone by SCRAM": w.scramLogin(gate, phone), "pad": login(pad),
		"token": {Account: named},
	}
	ended := map[string]bool{}
	check := func(after string, names ...string) {
		t.Helper()
		for _, name := range names {
			ended[name] = true
		}
		for name, l := range logins {
			for range 2 { // the second time from memory
				if err := gate.Stands(t.Context(), l); ended[name] != errors.Is(err, account.ErrEnded) || !ended[name] && err != nil {
					t.Errorf("%s, after %s: %v", name, after, err)
				}
			}
		}
	}
	check("the logins")
	w.must(w.SetQuota(t.Context(), addr(t, taro), 1))
	check("a quota")
	w.must(w.RevokeAppPassword(t.Context(), addr(t, taro), "phone"))
	check("phone was revoked", "phone", "phone by SCRAM")
	add("phone", account.AppPassword{})
	check("another phone was added")
	w.must(w.SetPassword(t.Context(), addr(t, taro), password))
	check("the password was set, to the same", "own")
	w.must(w.RemoveAccount(t.Context(), addr(t, taro)))
	for name, l := range logins {
		if err := gate.Stands(t.Context(), l); !errors.Is(err, account.ErrNoAccount) {
			t.Errorf("%s, without an account: %v", name, err)
		}
	}
}

// TestOwnPasswordBySCRAMEnds: it is the account's own, though SCRAM knows it by a verifier.
func TestOwnPasswordBySCRAMEnds(t *testing.T) {
	t.Parallel()
	w, gate, _ := scramGate(t)
	w.must(w.SetVerifier(t.Context(), addr(t, taro), password))
	l := w.scramLogin(gate, password)
	w.must(gate.Stands(t.Context(), l))
	w.must(w.SetVerifier(t.Context(), addr(t, taro), password)) // the same password
	w.must(gate.Stands(t.Context(), l))
	w.must(w.SetPassword(t.Context(), addr(t, taro), "a new password"))
	if err := gate.Stands(t.Context(), l); !errors.Is(err, account.ErrEnded) {
		t.Errorf("after another was set: %v", err)
	}
}
