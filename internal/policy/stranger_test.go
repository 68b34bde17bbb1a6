package policy_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// A sender to whom nobody could answer is refused where the settings say so, and
// only from those who answer for nobody.
func TestSenderDomain(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	s.Account("alice@hayauma.test", 0)
	dns := testkit.StartDNS(t, "mx.test. 60 MX 10 a.mx.test.", "a.test. 60 A 192.0.2.1", "six.test. 60 AAAA 2001:db8::1",
		"null.test. 60 MX 0 .", "text.test. 60 TXT x", "xn--bcher-kva.test. 60 A 192.0.2.1")
	dns.Fail("broken.test", testkit.DNSServFail)
	on := true
	p := policy.New(policy.Options{
		Directory: s.Directory, RelayNetworks: networks, CheckSender: func() bool { return on },
		Resolver: dnsx.New(dnsx.Options{Server: dns.Addr, Timeout: time.Second}),
	})
	ask := func(from string, door mail.Door, peer string) string {
		env := mail.Envelope{}
		if from != "" {
			env.From = s.Address(from)
		}
		return words(p.Mail(t.Context(), mail.Origin{Door: door, Peer: netip.MustParseAddrPort(peer)}, env))
	}
	const stranger, trusted = "198.51.100.1:25", "192.0.2.1:25"
	for from, want := range map[string]string{
		"": "ok", "x@mx.test": "ok", "x@a.test": "ok", "x@six.test": "ok", "x@bücher.test": "ok", "x@[192.0.2.9]": "ok",
		"x@null.test": "550 5.7.27", "x@text.test": "550 5.1.8", "x@nowhere.test": "550 5.1.8", "x@broken.test": "451 4.1.8",
		"alice@hayauma.test": "ok", "nobody@hayauma.test": "ok",
	} {
		if got := ask(from, mail.DoorSMTP, stranger); got != want {
			t.Errorf("<%s>: %s, want %s", from, got, want)
		}
		for _, door := range []mail.Door{mail.DoorLMTP, mail.DoorBounce, mail.DoorCommand} {
			if got := ask(from, door, stranger); got != "ok" {
				t.Errorf("<%s> by %v: %s", from, door, got)
			}
		}
		if got := ask(from, mail.DoorSMTP, trusted); got != "ok" {
			t.Errorf("<%s> from a host that may relay: %s", from, got)
		}
	}
	if on = false; ask("x@nowhere.test", mail.DoorSMTP, stranger) != "ok" {
		t.Error("refused without the setting")
	}
}
