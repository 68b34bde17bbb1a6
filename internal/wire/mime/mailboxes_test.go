package mime

import (
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
)

func TestParseMailboxes(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		" a@b.test\r\n":                                 "a@b.test",
		"<a@b.test>":                                    "a@b.test",
		"Alice A. <a@b.test>":                           "a@b.test",
		"Alice\r\n\t<a@b.test>\r\n":                     "a@b.test",
		"\r\n a@b.test\r\n":                             "a@b.test",
		"<\r\n a@b.test >":                              "a@b.test",
		"a@B.Test (Alice)":                              "a@b.test",
		"(x) a@b.test (Alice (A.))":                     "a@b.test",
		"(x) <a@b.test> (y)":                            "a@b.test",
		"Alice (x) A (y) <a@b.test>":                    "a@b.test",
		`"Alice, A" <a@b.test>`:                         "a@b.test",
		`"x@y.test" <a@b.test>`:                         "a@b.test", // a name, though a bad one
		`"x <x@y.test>" <a@b.test>`:                     "a@b.test",
		`"A \"Al\" B"<a@b.test>`:                        "a@b.test",
		`"a"b <a@b.test>`:                               "a@b.test",
		`"a.b"@b.test`:                                  "a.b@b.test",
		`"a b"@b.test`:                                  `"a b"@b.test`,
		`<"a b"@b.test>`:                                `"a b"@b.test`,
		"a@[192.0.2.1]":                                 "a@[192.0.2.1]",
		"a@[IPv6:2001:db8::1]":                          "a@[IPv6:2001:db8::1]",
		"a@b.test, Bob <c@d.test>":                      "a@b.test c@d.test",
		"a@b.test,\r\n c@d.test (x,)":                   "a@b.test c@d.test",
		"早馬 <ü@bücher.test>":                            "ü@bücher.test",
		"=?utf-8?q?B=C3=B6b_=40?= <a@b.test>":           "a@b.test",
		"=?utf-8?b?eCA8eEB5LnRlc3Q+LA==?= <a@b.test>":   "a@b.test",
		"=?iso-2022-jp?B?GyRCQWFHTxsoQg==?= <a@b.test>": "a@b.test",
	} {
		list, err := ParseMailboxes([]byte(value), 3)
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v, want %s", value, got, err, want)
		}
	}
}

// What readers take in different ways.
func TestMailboxesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", " \r\n", "a", "Alice", "()", "(a@b.test)", "<>", "<a>", "@b.test", "a@", "<@b.test>", `""@b.test`, "a@b..test", "a@-b.test",
		"a@b.test,", ",a@b.test", "a@b.test,,c@d.test", "a@b.test;", "a@b.test c@d.test", "a@b.test <c@d.test>", "x a@b.test <c@d.test>",
		"a@b..test <c@d.test>", "a@b.test(x) <c@d.test>", "<a@b.test> <c@d.test>", "<a@b.test> c", "<a@b.test", "a@b.test>", "<<a@b.test>>",
		"undisclosed:;", "All: a@b.test;", "All: a@b.test, c@d.test;", ":;a@b.test", "a@b.test, All:;",
		"<@r.test:a@b.test>", "<@r.test,@s.test:a@b.test>", "a @b.test", "a@ b.test", "a@b .test", "a@b. test", "a(x)@b.test", "a@(x)b.test",
		"a@b.te\r\n st", "a\r\n @b.test", "a.@b.test", "a..b@b.test", `a."b".c@b.test`, `"a"b@b.test`, `a\@b.test`, `a\ b@b.test`, "[x] <a@b.test>",
		`"Alice <a@b.test>`, `Alice" <a@b.test>`, "(x <a@b.test>", "x) <a@b.test>", `(\) x@y.test (\() a@b.test`, `(") x@y.test (") a@b.test`, "(x@y.test) a@b.test",
		`"a@b"@c.test`, `"a<b"@c.test`, `"a\"b"@c.test`, `"a,b"@c.test`, "a\u00a0b@c.test", "a\u200bb@c.test", "a\u202eb@c.test",
		"=?utf-8?q?a=40b.test?=", "=?utf-8?q?x?=@b.test", "a@=?utf-8?q?x?=.test", "<=?utf-8?b?eEB5LnRlc3Q=?=@b.test>", `"=?utf-8?q?x?="@b.test`,
		"=?utf-8?q?x=00y?= <a@b.test>", "=?utf-8?q?x=0d=0a?= <a@b.test>", `"=?utf-8?b?AA==?=" <a@b.test>`, "=?utf-8?q?=E2=80=A8?= <a@b.test>",
		"a@b.test\x00", "\x00a@b.test", "a\x00@b.test", "a@b.test\r", "a@b.test\n c@d.test", "a@b.test\rFrom: c@d.test", "Al\x0bice <a@b.test>",
		"\x1b$BAa\x1b(B <a@b.test>", "Al\xefce <a@b.test>", "a\xff@b.test", "Al\u0085ice <a@b.test>", "Al\u2028ice <a@b.test>",
		"a@b.test, c@d.test, e@f.test, g@h.test", "a@[192.0.2.1", "a@[]", "a@[x]", "a@[192.0.2.1]x", "a@b.test[x]",
	} {
		if list, err := ParseMailboxes([]byte(value), 3); err == nil {
			t.Errorf("%q: %v", value, list)
		}
	}
}

// Whatever another reader finds in a value that we take, we have found as well:
// net/mail, and what our own IMAP shows.
func FuzzParseMailboxes(f *testing.F) {
	for _, value := range []string{
		"a@b.test", "A. B <a@b.test>, \"x@y\" <c@d.test> (e)", `"a b"@b.test`, "(x) a@[192.0.2.1]", "早馬 <ü@bücher.test>",
		"=?utf-8?q?x=3Cy?= <a@b.test>", "G: a@b.test;", "<@r:a@b.test>", `"\"" <a@b.test>`, "a@b.test\r\n\t,c@d.test",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := ParseMailboxes([]byte(value), 5)
		if err != nil {
			return
		}
		if len(list) == 0 || len(list) > 5 {
			t.Fatalf("%q: %d addresses", value, len(list))
		}
		text := Unfold([]byte(value))
		if others, err := netmail.ParseAddressList(text); err == nil {
			var seen []mail.Address
			for _, o := range others {
				at := strings.LastIndexByte(o.Address, '@')
				seen = append(seen, found(t, o.Address[:at], o.Address[at+1:]))
			}
			if !slices.Equal(list, seen) {
				t.Fatalf("%q: %v, net/mail sees %v", value, list, seen)
			}
		}
		var seen []mail.Address
		for _, o := range ParseAddresses(text, 10) {
			seen = append(seen, found(t, o.Mailbox, o.Host))
		}
		if !slices.Equal(list, seen) {
			t.Fatalf("%q: %v, ParseAddresses sees %v", value, list, seen)
		}
	})
}

func found(t *testing.T, local, domain string) mail.Address {
	t.Helper()
	d, err := mail.ParseDomain(domain)
	if err != nil {
		t.Errorf("domain %q: %v", domain, err)
	}
	return mail.Address{Local: local, Domain: d}
}
