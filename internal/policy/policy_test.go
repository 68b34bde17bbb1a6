package policy_test

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/test/stack"
)

func TestSenders(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	bob := s.Account("bob@hayauma.test", 0)
	s.Alias("team@hayauma.test", "alice@hayauma.test", "bob@hayauma.test")
	s.Account("owner@catch.hayauma.test", 0)
	s.Alias("*@catch.hayauma.test", "bob@hayauma.test")
	nobody := account.Account{}
	tests := []struct {
		who  account.Account
		from string
		want int // 0 = accepted
	}{
		{nobody, "", 0}, {nobody, "alice@hayauma.test", 0}, {nobody, "x@elsewhere.test", 0},
		{alice, "", 0}, {alice, "alice@hayauma.test", 0}, {alice, "ALICE@Hayauma.Test", 0}, {alice, "alice+tag@hayauma.test", 0},
		{alice, "team@hayauma.test", 0}, {bob, "team@hayauma.test", 0}, {bob, "anything@catch.hayauma.test", 0},
		{alice, "bob@hayauma.test", 550}, {alice, "anything@catch.hayauma.test", 550}, {alice, "alice@elsewhere.test", 550},
		{alice, "nobody@hayauma.test", 550},
	}
	for _, test := range tests {
		env := mail.Envelope{}
		if test.from != "" {
			env.From = s.Address(test.from)
		}
		code := 0
		if fault := s.Policy.Mail(t.Context(), mail.Origin{Door: mail.DoorSubmission, Account: test.who.ID, Login: test.who.Address}, env); fault != nil {
			code = fault.Code()
		}
		if code != test.want {
			t.Errorf("%q as <%s>: %d, want %d", test.who.Address, test.from, code, test.want)
		}
	}
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	p := policy.New(policy.Options{Directory: s.Directory, RelayNetworks: func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	}})
	from := func(door mail.Door, peer string) mail.Origin {
		o := mail.Origin{Door: door}
		if peer != "" {
			o.Peer = netip.AddrPortFrom(netip.MustParseAddr(peer), 1)
		}
		return o
	}
	login := mail.Origin{Door: mail.DoorSubmission, Account: 1}
	tests := []struct {
		name   string
		origin mail.Origin
		kind   account.Kind
		want   string
	}{
		{"a stranger to one of ours", from(mail.DoorSMTP, "192.0.2.1"), account.Here, ""},
		{"a stranger to nobody here", from(mail.DoorSMTP, "192.0.2.1"), account.Unknown, "550 5.1.1"},
		{"a stranger to a relay domain", from(mail.DoorSMTP, "192.0.2.1"), account.Onward, ""},
		{"a stranger over LMTP to a relay domain", from(mail.DoorLMTP, "192.0.2.1"), account.Onward, ""},
		{"a stranger to elsewhere", from(mail.DoorSMTP, "192.0.2.1"), account.Elsewhere, "550 5.7.1"},
		{"a stranger without an address", from(mail.DoorSMTP, ""), account.Elsewhere, "550 5.7.1"},
		{"a trusted host to elsewhere", from(mail.DoorSMTP, "10.9.8.7"), account.Elsewhere, ""},
		{"a trusted host in IPv6 form", from(mail.DoorSMTP, "::ffff:10.9.8.7"), account.Elsewhere, ""},
		{"a trusted IPv6 host", from(mail.DoorSMTP, "2001:db8::1"), account.Elsewhere, ""},
		{"a trusted host to nobody here", from(mail.DoorSMTP, "10.9.8.7"), account.Unknown, "550 5.1.1"},
		{"a trusted host on a submission port without login", from(mail.DoorSubmission, "10.9.8.7"), account.Elsewhere, "550 5.7.1"},
		{"a trusted host over LMTP", from(mail.DoorLMTP, "10.9.8.7"), account.Elsewhere, "550 5.7.1"},
		{"a login to elsewhere", login, account.Elsewhere, ""},
		{"a login to nobody here", login, account.Unknown, "550 5.1.1"},
		{"the command line", from(mail.DoorCommand, ""), account.Elsewhere, ""},
		{"a report of ours", from(mail.DoorBounce, ""), account.Elsewhere, ""},
	}
	for _, test := range tests {
		got := ""
		if fault := p.Rcpt(t.Context(), test.origin, mail.Address{}, account.Target{Kind: test.kind}); fault != nil {
			got = strconv.Itoa(fault.Code()) + " " + fault.Enhanced()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
