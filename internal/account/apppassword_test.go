package account_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

const taro = "taro@e.test"

// scramGate is a gate that offers SCRAM over an account with some app passwords.
func scramGate(t *testing.T) (*world, *account.Gate, func(name string, p account.AppPassword) string) {
	t.Helper()
	w := newWorld(t, "e.test")
	w.account(taro)
	gate := account.NewGate(account.GateOptions{
		Directory: w.Directory, Bans: w.bans(0), SCRAM: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
	return w, gate, func(name string, p account.AppPassword) string {
		t.Helper()
		p.Name = name
		if p.Scopes == nil {
			p.Scopes = account.Scopes()
		}
		password, err := w.AddAppPassword(t.Context(), addr(t, taro), p)
		if err != nil {
			t.Fatal(err)
		}
		return password
	}
}

// scram logs in by SCRAM.
func scram(t *testing.T, gate *account.Gate, a account.Attempt, b sasl.Binding) error {
	t.Helper()
	mechanism := "SCRAM-SHA-256"
	if b.Exporter != nil {
		mechanism = "SCRAM-SHA-256-PLUS"
	}
	c, _ := sasl.NewClient(mechanism, sasl.ClientCredentials{User: a.User, Password: a.Password, Binding: b})
	password := a.Password
	a.Password = ""
	x, offered := gate.Begin(t.Context(), a, mechanism)
	if !offered {
		t.Fatalf("%s is not offered to %q", mechanism, password)
	}
	var challenge []byte
	for {
		answer, _, err := c.Next(challenge)
		if err != nil {
			return err
		}
		if answer == nil {
			answer = []byte{}
		}
		var done bool
		if challenge, done, err = x.Next(t.Context(), answer); err != nil {
			return err
		}
		if done {
			if x.Login().Address.String() != taro {
				t.Errorf("logged in as %v", x.Login())
			}
			return nil
		}
	}
}

func TestAppPasswords(t *testing.T) {
	t.Parallel()
	_, gate, add := scramGate(t)
	hour := time.Now().Add(time.Hour)
	phone := add("phone", account.AppPassword{Scopes: []account.Scope{account.ScopeIMAP, account.ScopeSMTP}, Expires: mail.Micros(hour)})
	office := add("office", account.AppPassword{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fe80::/10")}})
	old := add("old", account.AppPassword{Expires: mail.Micros(hour.Add(-2 * time.Hour))})
	for _, c := range []struct {
		name, user, password, door, peer string
		ok                               bool
	}{
		{"its door", taro, phone, "imap", "203.0.113.9", true},
		{"its other door", "TARO@e.test", phone, "submission", "203.0.113.9", true},
		{"another door", taro, phone, "pop3", "203.0.113.9", false},
		{"its network", taro, office, "pop3", "192.0.2.77", true},
		{"its network over IPv6", taro, office, "imap", "2001:db8::1", true},
		{"its network, in IPv6 form", taro, office, "imap", "::ffff:192.0.2.77", true},
		{"its network, by an interface", taro, office, "imap", "fe80::1%eth0", true},
		{"another network", taro, office, "imap", "203.0.113.9", false},
		{"over its time", taro, old, "imap", "192.0.2.77", false},
		{"another user", "hanako@e.test", phone, "imap", "203.0.113.9", false},
		{"no password of ours", taro, "abcdefghijklmnopqrstuvwxyz", "imap", "203.0.113.9", false},
	} {
		a := account.Attempt{Door: c.door, Peer: netip.MustParseAddr(c.peer), User: c.user, Password: c.password}
		for range 2 { // the second time from memory
			acc, err := gate.Login(t.Context(), a)
			if c.ok && (err != nil || acc.Address.String() != taro) || !c.ok && !errors.Is(err, account.ErrCredentials) {
				t.Errorf("%s: %v, %v", c.name, acc, err)
			}
		}
		if err := scram(t, gate, a, sasl.Binding{}); c.ok != (err == nil) || !c.ok && !errors.Is(err, account.ErrCredentials) {
			t.Errorf("%s, by SCRAM: %v", c.name, err)
		}
	}
}

func TestAppPasswordsAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	w, gate, add := scramGate(t)
	phone, pad := add("phone", account.AppPassword{}), add("pad", account.AppPassword{})
	for _, p := range []account.AppPassword{{Name: "phone", Scopes: account.Scopes()}} {
		if _, err := w.AddAppPassword(t.Context(), addr(t, taro), p); !errors.Is(err, account.ErrExists) {
			t.Errorf("a second one of the name: %v", err)
		}
	}
	for _, p := range []account.AppPassword{{Scopes: account.Scopes()}, {Name: "x"}, {Name: "x", Scopes: []account.Scope{"ftp"}}, {Name: "x\n", Scopes: account.Scopes()}} {
		if _, err := w.AddAppPassword(t.Context(), addr(t, taro), p); !errors.Is(err, account.ErrAppPassword) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	login := func(password string) error {
		_, err := gate.Login(t.Context(), account.Attempt{Door: "imap", Peer: netip.MustParseAddr("192.0.2.1"), User: taro, Password: password})
		return err
	}
	if err := errors.Join(login(phone), login(pad)); err != nil {
		t.Fatal(err)
	}
	list, err := w.AppPasswords(t.Context(), addr(t, taro))
	if err != nil || len(list) != 2 || list[0].Name != "phone" || list[1].Name != "pad" || list[1].UsedFrom != "192.0.2.1" || list[0].Used == 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := w.RevokeAppPassword(t.Context(), addr(t, taro), "phone"); err != nil {
		t.Fatal(err)
	}
	if err := w.RevokeAppPassword(t.Context(), addr(t, taro), "phone"); !errors.Is(err, account.ErrNoAppPassword) {
		t.Errorf("revoked again: %v", err)
	}
	if err := login(phone); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("a revoked password: %v", err)
	}
	if err := login(pad); err != nil {
		t.Errorf("the other one: %v", err)
	}
	if err := w.RemoveAccount(t.Context(), addr(t, taro)); err != nil {
		t.Fatal(err)
	}
	if err := login(pad); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("of an account that is gone: %v", err)
	}
}

// TestMainPasswordBySCRAM: only where it was asked for, and until it is changed.
func TestMainPasswordBySCRAM(t *testing.T) {
	t.Parallel()
	w, gate, _ := scramGate(t)
	a := account.Attempt{Door: "imap", Peer: netip.MustParseAddr("192.0.2.1"), User: taro, Password: password}
	if err := scram(t, gate, a, sasl.Binding{}); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("without a verifier: %v", err)
	}
	if err := w.SetVerifier(t.Context(), addr(t, taro), password); err != nil {
		t.Fatal(err)
	}
	if err := scram(t, gate, a, sasl.Binding{}); err != nil {
		t.Errorf("with one: %v", err)
	}
	if err := w.SetPassword(t.Context(), addr(t, taro), "a new password"); err != nil {
		t.Fatal(err)
	}
	if err := scram(t, gate, a, sasl.Binding{}); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("the old one: %v", err)
	}
}

// The cost that SCRAM tells of a name is that of as many who are not there, or have
// nothing to prove, as of those who do.
func TestSCRAMTellsNobodyApart(t *testing.T) {
	t.Parallel()
	const main = 600_000
	w, gate, add := scramGate(t)
	cost := func(name string) (int, string) {
		t.Helper()
		x, _ := gate.Begin(t.Context(), account.Attempt{Door: "imap"}, "SCRAM-SHA-256")
		defer x.End(t.Context())
		challenge, _, err := x.Next(t.Context(), []byte("n,,n="+name+",r=abc"))
		w.must(err)
		fields := strings.Split(string(challenge), ",")
		n, err := strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
		w.must(err)
		return n, fields[1]
	}
	dear := func() (n int) {
		for i := range 200 {
			name := fmt.Sprintf("nobody%d@e.test", i)
			got, salt := cost(name)
			if again, same := cost("N" + name[1:]); again != got || same != salt {
				t.Errorf("%s: %d, %s, then %d, %s", name, got, salt, again, same)
			}
			if got == main {
				n++
			} else if got != sasl.Iterations {
				t.Errorf("%s: %d", name, got)
			}
		}
		return n
	}
	if n := dear(); n != 0 {
		t.Errorf("%d of 200 where nobody has one", n)
	}
	add("phone", account.AppPassword{})
	w.account("hana@e.test")
	w.must(w.SetVerifier(t.Context(), addr(t, "hana@e.test"), password))
	if n := dear(); n < 60 || n > 140 {
		t.Errorf("%d of 200 where one of two has one", n)
	}
	w.must(w.SetVerifier(t.Context(), addr(t, taro), password))
	if n := dear(); n != 200 {
		t.Errorf("%d of 200 where all have one", n)
	}
}

// TestBinding: a proof made on another connection is worth nothing.
func TestBinding(t *testing.T) {
	t.Parallel()
	_, gate, add := scramGate(t)
	a := account.Attempt{Door: "imap", Peer: netip.MustParseAddr("192.0.2.1"), User: taro, Password: add("phone", account.AppPassword{})}
	ours := sasl.Binding{Exporter: []byte("this connection, as it is known!")}
	a.Binding = ours
	if err := scram(t, gate, a, ours); err != nil {
		t.Error(err)
	}
	if err := scram(t, gate, a, sasl.Binding{Exporter: []byte("another one, of whoever listens.")}); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("a proof of another connection: %v", err)
	}
}

func TestNoMoreThanFiftyAppPasswords(t *testing.T) {
	t.Parallel()
	w, _, add := scramGate(t)
	for i := range 50 {
		add(string(rune('a'+i/26))+string(rune('a'+i%26)), account.AppPassword{})
	}
	if _, err := w.AddAppPassword(t.Context(), addr(t, taro), account.AppPassword{Name: "one more", Scopes: account.Scopes()}); !errors.Is(err, account.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}
