package rule_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

const print40 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	if !strings.Contains(s, "@") {
		return mail.Address{Local: s}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

// condition sets the values of one kind.
func condition(kind string, values ...string) rule.Conditions {
	var c rule.Conditions
	for _, k := range rule.Kinds() {
		if k.Name == kind {
			*k.Values(&c) = values
		}
	}
	return c
}

// factsWith are facts of which one is set.
func factsWith(t testing.TB, kind, fact string) (f rule.Facts, rcpt mail.Address) {
	t.Helper()
	rcpt = addr(t, "you@hayauma.test")
	switch kind {
	case "door":
		f.Door, _ = rule.ParseDoor(fact)
	case "network":
		f.Peer, _ = netip.ParseAddr(fact)
	case "login":
		f.Login = addr(t, fact)
	case "certificate":
		if f.Certificate.Name = fact; len(fact) == 64 {
			f.Certificate = rule.Certificate{Fingerprint: fact}
		}
	case "helo":
		f.Helo = fact
	case "from":
		f.Sender = addr(t, fact)
	case "to":
		rcpt = addr(t, fact)
	case "reverse":
		f.Reverse = func(context.Context) (string, error) { return fact, nil }
	}
	return f, rcpt
}

// Every kind of condition with every form of its values.
func TestConditions(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ kind, value, yes, no string }{
		{"door", "smtp", "smtp", "submission lmtp command -"},
		{"door", "lmtp", "lmtp", "smtp"},
		{"network", "192.0.2.0/24", "192.0.2.0 192.0.2.255 ::ffff:192.0.2.7", "192.0.3.0 2001:db8::1 -"},
		{"network", "192.0.2.9/24", "192.0.2.1", "192.0.3.0"},
		{"network", "192.0.2.7", "192.0.2.7", "192.0.2.8"},
		{"network", "2001:db8::/32", "2001:db8::1", "2001:db9::1 192.0.2.1"},
		{"network", "fe80::/10", "fe80::1%eth0", "192.0.2.1"},
		{"network", "0.0.0.0/0", "192.0.2.1", "2001:db8::1 -"},
		{"helo", "mx.example.org", "mx.example.org MX.Example.Org mx.example.org.", "x.mx.example.org example.org -"},
		{"helo", ".example.org", "example.org a.example.org a.b.Example.org", "badexample.org example.org.evil.test"},
		{"helo", "*.example.org", "a.example.org a.b.example.org", "example.org"},
		{"helo", "*dsl*", "dsl adsl-7.pool.test", "mx.test -"},
		{"helo", "*", "x [192.0.2.1] under_score", "-"},
		{"helo", "[*]", "[192.0.2.1] [IPv6:2001:DB8::1]", "192.0.2.1"},
		{"helo", "[ipv6:2001:db8::1]", "[IPv6:2001:DB8::1]", "[192.0.2.1]"},
		{"helo", "straße.test", "straße.test xn--strae-oqa.test Straße.test.", "strasse.test"},
		{"helo", "<>", "-", "x"},
		{"reverse", ".example.org", "a.example.org", "-"},
		{"reverse", "<>", "-", "mx.example.org"},
		{"from", "a@b.test", "a@b.test A@B.TEST", "aa@b.test a@x.b.test a+x@b.test -"},
		{"from", "@b.test", "a@b.test a+x@B.test", "a@x.b.test -"},
		{"from", "@.b.test", "a@b.test a@x.b.test", "a@bb.test"},
		{"from", "@*.b.test", "a@x.b.test", "a@b.test"},
		{"from", "news-*@*", "news-@b.test NEWS-1@x.test", "anews-1@b.test"},
		{"from", "*", "a@b.test postmaster", "-"},
		{"from", "*@*", "a@b.test", "-"},
		{"from", "<>", "-", "a@b.test"},
		{"from", `"a b"@b.test`, `"a b"@b.test "A B"@b.test`, "ab@b.test"},
		{"from", `"a*"@b.test`, `a*@b.test`, "ab@b.test"},
		{"from", "ZOË@b.test", "zoë@b.test zoe\u0308@b.test", "zoe@b.test"},
		{"from", "@straße.test", "a@xn--strae-oqa.test", "a@strasse2.test"},
		{"from", "@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.2]"},
		{"from", "@[*]", "a@[192.0.2.1] a@[IPv6:::1]", "a@b.test"},
		{"to", "@b.test", "a@b.test", "a@c.test postmaster"},
		{"to", "postmaster@*", "postmaster Postmaster@b.test", "a@b.test"},
		{"login", "@b.test", "a@b.test", "-"},
		{"login", "<>", "-", "a@b.test"},
		{"login", "root@*", "root", "bob"},
		{"certificate", print40, print40, "x -"},
		{"certificate", "SHA256:" + strings.ToUpper(print40), print40, "x"},
		{"certificate", "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef", print40, "x"},
		{"certificate", "Relay*", "relay relay-7", "x " + print40 + " -"},
		{"certificate", "*", "x", "- " + print40},
		{"certificate", "<>", "-", "x " + print40},
	} {
		check := func(facts string, want rule.Action) {
			for fact := range strings.SplitSeq(facts, " ") {
				if fact == `"a` || fact == `"A` { // the one address with a blank
					fact += ` b"@b.test`
				} else if fact == `b"@b.test` || fact == `B"@b.test` {
					continue
				}
				if fact == "-" {
					fact = ""
				}
				f, rcpt := factsWith(t, row.kind, fact)
				c, err := rule.Begin([]rule.Rule{{Name: "x", Action: rule.Accept, Conditions: condition(row.kind, row.value)}}, f)
				if err != nil {
					t.Errorf("%s %q: %v", row.kind, row.value, err)
					return
				}
				if d, err := c.Rcpt(t.Context(), rcpt); err != nil || d.Action != want {
					t.Errorf("%s %q against %q: %q, %v", row.kind, row.value, fact, d.Action, err)
				}
			}
		}
		check(row.yes, rule.Accept)
		check(row.no, "")
	}
}

// Values that are no values: each is refused with the flag that it stands at.
func TestValuesThatAreWrong(t *testing.T) {
	t.Parallel()
	for kind, values := range map[string][]string{
		"door":        {"", "imap", "bounce", "unknown", "SMTP"},
		"network":     {"", "x", "192.0.2.0/33", "192.0.2", "fe80::1%eth0", "::ffff:192.0.2.0/120"},
		"helo":        {"", ".", "..", "a b", "a..b", "a@b", ".*.test", "é*.test", ".[192.0.2.1]", "[a *", "*.a b.test", "*.[192.0.2.1]", "*@x"},
		"reverse":     {"", "-a.test"},
		"from":        {"", "@", "example.org", ".example.org", "a", "a@", "a@<>", "@b@c", "a b@c.test", "a@b c", "<a@b.test>", strings.Repeat("a", 129) + "@b.test"},
		"to":          {"", "a@.*.b"},
		"login":       {"", "root"},
		"certificate": {"", " x", "x\n", "sha256:abc", print40[:62], "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef", strings.Repeat("x", 400)},
	} {
		for _, value := range values {
			err := rule.Rule{Name: "x", Action: rule.Accept, Conditions: condition(kind, "*", value)}.Check()
			if kind == "door" || kind == "network" { // * is no value there
				err = rule.Rule{Name: "x", Action: rule.Accept, Conditions: condition(kind, value)}.Check()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "--"+kind+" ") {
				t.Errorf("%s %q: %v", kind, value, err)
			}
		}
	}
	err := rule.Rule{Name: "x", Action: rule.Accept, Conditions: condition("from", "example.org")}.Check()
	if err == nil || !strings.Contains(err.Error(), "write @example.org for its addresses") {
		t.Errorf("%v", err)
	}
}

func TestRulesThatAreWrong(t *testing.T) {
	t.Parallel()
	door := condition("door", "smtp")
	many := make([]string, 1001)
	for i := range many {
		many[i] = "smtp"
	}
	for _, row := range []struct {
		rule rule.Rule
		want string // empty: fine
	}{
		{rule.Rule{Name: "a.b-c_9", Action: rule.Reject, Conditions: door, Text: "Go away."}, ""},
		{rule.Rule{Name: "x", Action: rule.Defer, Conditions: door, Text: "Later"}, ""},
		{rule.Rule{Name: "x", Action: rule.Tarpit, Conditions: door, Delay: 60}, ""},
		{rule.Rule{Name: "x", Action: rule.Tag, Conditions: door, Tag: "bulk"}, ""},
		{rule.Rule{Name: "x", Action: rule.Quarantine, Conditions: door}, ""},
		{rule.Rule{Name: "", Action: rule.Accept, Conditions: door}, "is no name"},
		{rule.Rule{Name: "a b", Action: rule.Accept, Conditions: door}, "is no name"},
		{rule.Rule{Name: "é", Action: rule.Accept, Conditions: door}, "is no name"},
		{rule.Rule{Name: strings.Repeat("a", 65), Action: rule.Accept, Conditions: door}, "is no name"},
		{rule.Rule{Name: "x", Conditions: door}, "use accept, reject, defer, quarantine, tarpit or tag"},
		{rule.Rule{Name: "x", Action: "drop", Conditions: door}, `--action "drop"`},
		{rule.Rule{Name: "x", Action: rule.Accept}, "no condition"},
		{rule.Rule{Name: "x", Action: rule.Accept, Conditions: door, Text: "x"}, "--text is for"},
		{rule.Rule{Name: "x", Action: rule.Reject, Conditions: door, Text: "a\r\nb"}, "one line"},
		{rule.Rule{Name: "x", Action: rule.Reject, Conditions: door, Text: "é"}, "ASCII"},
		{rule.Rule{Name: "x", Action: rule.Reject, Conditions: door, Text: strings.Repeat("a", 401)}, "at most 400"},
		{rule.Rule{Name: "x", Action: rule.Tag, Conditions: door}, "--tag WORD"},
		{rule.Rule{Name: "x", Action: rule.Tag, Conditions: door, Tag: "a\nb"}, "--tag: "},
		{rule.Rule{Name: "x", Action: rule.Accept, Conditions: door, Tag: "a"}, "--tag is for"},
		{rule.Rule{Name: "x", Action: rule.Tarpit, Conditions: door}, "--delay with 1s to 60s"},
		{rule.Rule{Name: "x", Action: rule.Tarpit, Conditions: door, Delay: 61}, "--delay with 1s to 60s"},
		{rule.Rule{Name: "x", Action: rule.Reject, Conditions: door, Delay: 1}, "--delay is for"},
		{rule.Rule{Name: "x", Action: rule.Accept, Conditions: condition("door", many...)}, "at most 1000"},
	} {
		err := row.rule.Check()
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+.60v: %v, want %q", row.rule, err, row.want)
		}
	}
}
