package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/test/stack"
)

// networks relay without a login.
func networks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fe80::/10")}
}

func doors() []mail.Door {
	return []mail.Door{mail.DoorSMTP, mail.DoorSubmission, mail.DoorLMTP, mail.DoorBounce, mail.DoorCommand}
}

var errStore = errors.New("the store is away")

// Who may relay: every door, with and without a login, from a trusted network
// and from elsewhere, to every kind of target.
func TestRcptOfEveryOriginAndTarget(t *testing.T) {
	t.Parallel()
	p := policy.New(policy.Options{RelayNetworks: networks})
	// Without a login: from elsewhere, from a trusted network.
	relays := map[mail.Door][2]bool{
		mail.DoorSMTP:       {false, true},
		mail.DoorSubmission: {false, false}, // there a login is needed, whoever asks
		mail.DoorLMTP:       {false, false},
		mail.DoorBounce:     {true, true},
		mail.DoorCommand:    {true, true},
	}
	check := func(o mail.Origin, trusted int, kind account.Kind) {
		want := "ok"
		switch {
		case kind == account.Unknown:
			want = "550 5.1.1"
		case kind == account.Elsewhere && o.Account == 0 && !relays[o.Door][trusted]:
			want = "550 5.7.1"
		}
		if got := words(p.Rcpt(t.Context(), o, mail.Address{}, account.Target{Kind: kind})); got != want {
			t.Errorf("%v, login %d, from %v, target %d: %s, want %s", o.Door, o.Account, o.Peer, kind, got, want)
		}
	}
	for _, door := range doors() {
		for _, login := range []mail.ID{0, 7} {
			for trusted, peer := range []string{"198.51.100.1:25", "192.0.2.1:25"} {
				o := mail.Origin{Door: door, Account: login, Peer: netip.MustParseAddrPort(peer)}
				for _, kind := range []account.Kind{account.Here, account.Unknown, account.Elsewhere} {
					check(o, trusted, kind)
				}
			}
		}
	}
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	p := policy.New(policy.Options{RelayNetworks: networks})
	for addr, want := range map[string]bool{
		"192.0.2.255": true, "192.0.3.0": false, "::ffff:192.0.2.9": true, "::ffff:198.51.100.1": false,
		"2001:db8::1": true, "2001:db9::1": false, "::1": false, "127.0.0.1": false,
		"fe80::1%eth0": true, "fec0::1%eth0": false,
	} {
		if got := p.Trusted(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if p.Trusted(netip.Addr{}) {
		t.Error("a peer without an address is trusted")
	}
	nobody := policy.New(policy.Options{RelayNetworks: func() []netip.Prefix { return nil }})
	if nobody.Trusted(netip.MustParseAddr("127.0.0.1")) {
		t.Error("trusted without any network")
	}
}

func TestReloadOfTheNetworksTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	var now []netip.Prefix
	p := policy.New(policy.Options{RelayNetworks: func() []netip.Prefix { return now }})
	o := mail.Origin{Door: mail.DoorSMTP, Peer: netip.MustParseAddrPort("192.0.2.1:25")}
	elsewhere := account.Target{Kind: account.Elsewhere}
	if got := words(p.Rcpt(t.Context(), o, mail.Address{}, elsewhere)); got != "550 5.7.1" {
		t.Errorf("before: %s", got)
	}
	now = networks()
	if fault := p.Rcpt(t.Context(), o, mail.Address{}, elsewhere); fault != nil {
		t.Errorf("after: %v", fault)
	}
}

// Who may send as whom, by every door.
func TestMailOfEveryDoor(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	s.Account("zoë@straße.test", 0)
	s.Alias("sales@hayauma.test", "alice@hayauma.test")
	s.Alias("team@hayauma.test", "bob@hayauma.test", "sales@hayauma.test", "x@elsewhere.test")
	s.Alias("bobs@hayauma.test", "bob@hayauma.test")
	s.Alias("away@hayauma.test", "alice@elsewhere.test")
	p := policy.New(policy.Options{Directory: s.Directory, RelayNetworks: networks})

	const may, mayNot = "ok", "550 5.7.1"
	for from, want := range map[string]string{
		"":                        may, // read receipts have no sender
		"alice@hayauma.test":      may,
		"ALICE@Hayauma.TEST":      may,
		"alice+tag@hayauma.test":  may,
		"sales@hayauma.test":      may,
		"team@hayauma.test":       may,
		"postmaster@hayauma.test": may, // the first account looks after it
		"bob@hayauma.test":        mayNot,
		"bob+alice@hayauma.test":  mayNot,
		"bobs@hayauma.test":       mayNot,
		"away@hayauma.test":       mayNot, // it leads away, not to this account
		"nobody@hayauma.test":     mayNot,
		"alice@elsewhere.test":    mayNot,
		"zoë@straße.test":         mayNot,
	} {
		env := mail.Envelope{}
		if from != "" {
			env.From = s.Address(from)
		}
		for _, door := range doors() {
			o := mail.Origin{Door: door, Account: alice.ID, Login: alice.Address}
			if got := words(p.Mail(t.Context(), o, env)); got != want {
				t.Errorf("alice as %q by %v: %s, want %s", from, door, got, want)
			}
			o.Account = 0 // who did not log in may say anything: it is only a claim
			if got := words(p.Mail(t.Context(), o, env)); got != may {
				t.Errorf("a stranger as %q by %v: %s, want %s", from, door, got, may)
			}
		}
	}
}

// What cannot be found out is temporary, never a refusal for good.
func TestMailWithoutADirectory(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	alice := s.Account("alice@hayauma.test", 0)
	p := policy.New(policy.Options{
		Directory:     account.New(account.Options{DB: away{s.DB}, IDs: s.IDs}),
		RelayNetworks: networks,
	})
	o := mail.Origin{Door: mail.DoorSubmission, Account: alice.ID, Login: alice.Address}
	if got := words(p.Mail(t.Context(), o, mail.Envelope{From: s.Address("bob@hayauma.test")})); got != "451 4.3.0" {
		t.Errorf("while the store is away: %s", got)
	}
}

// away is a store that cannot be read.
type away struct{ db.DB }

func (away) Read(context.Context, func(*db.Tx) error) error { return errStore }

// words are a fault's codes.
func words(f *mail.Fault) string {
	if f == nil {
		return "ok"
	}
	return fmt.Sprint(f.Code(), " ", f.Enhanced())
}
