package mail_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, local, domain, text string }{
		{"taro@example.test", "taro", "example.test", "taro@example.test"},
		{"Taro@EXAMPLE.Test.", "Taro", "example.test", "Taro@example.test"},
		{"a.b+c@example.test", "a.b+c", "example.test", "a.b+c@example.test"},
		{`"a b"@example.test`, "a b", "example.test", `"a b"@example.test`},
		{`"plain"@example.test`, "plain", "example.test", "plain@example.test"},
		{`"a@b"@example.test`, "a@b", "example.test", `"a@b"@example.test`},
		{`"a\"\\b"@example.test`, `a"\b`, "example.test", `"a\"\\b"@example.test`},
		{`"a..b"@example.test`, "a..b", "example.test", `"a..b"@example.test`},
		{"太郎@例え.テスト", "太郎", "xn--r8jz45g.xn--zckzah", "太郎@例え.テスト"},
		{"taro@xn--r8jz45g.xn--zckzah", "taro", "xn--r8jz45g.xn--zckzah", "taro@例え.テスト"},
		{"taro@[192.0.2.1]", "taro", "[192.0.2.1]", "taro@[192.0.2.1]"},
		{"taro@[ipv6:2001:DB8::1]", "taro", "[IPv6:2001:db8::1]", "taro@[IPv6:2001:db8::1]"},
	} {
		a, err := mail.ParseAddress(c.in)
		if err != nil || a.Local != c.local || a.Domain.ASCII != c.domain || a.String() != c.text {
			t.Errorf("%q: %q at %q, text %q, %v", c.in, a.Local, a.Domain.ASCII, a.String(), err)
		}
	}
	for _, in := range []string{
		"", "taro", "@example.test", "taro@", "a b@example.test", ".a@example.test", "a.@example.test", "a..b@example.test",
		`""@example.test`, `"a"b"@example.test`, `"a\"@example.test`, "\"a\rb\"@example.test", "<a@example.test>", "a,b@example.test",
		"a@b@example.test", strings.Repeat("x", 129) + "@example.test", "a\xff@example.test", "a@exa\xffmple.test", "a\x00@example.test",
	} {
		if a, err := mail.ParseAddress(in); err == nil {
			t.Errorf("%q was taken as %+v", in, a)
		}
	}
}

func TestParseDomain(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"localhost", "a-b.example", "_dmarc.example.test", "123.example", strings.Repeat("x", 63) + ".example"} {
		if d, err := mail.ParseDomain(in); err != nil || d.ASCII != in {
			t.Errorf("%q: %+v, %v", in, d, err)
		}
	}
	for _, in := range []string{
		"", ".", "..", ".a", "a..b", "-a.example", "a-.example", "a b", "a/b", strings.Repeat("x", 64) + ".example",
		strings.Repeat("abcdefg.", 32) + "x", "[", "[]", "[192.0.2.1", "[192.0.2.256]", "[2001:db8::1]", "[IPv6:192.0.2.1]",
		"[IPv6:fe80::1%eth0]", "[IPv6:]", "a\x00b", "a_b..c", "exa\u00admple..test",
	} {
		if d, err := mail.ParseDomain(in); err == nil {
			t.Errorf("%q was taken as %+v", in, d)
		}
	}
	upper, _ := mail.ParseDomain("例え.テスト")
	lower, _ := mail.ParseDomain("XN--R8JZ45G.xn--zckzah")
	if upper != lower {
		t.Errorf("%+v and %+v are one domain", upper, lower)
	}
	literal, _ := mail.ParseDomain("[IPv6:::1]")
	if ip, ok := literal.Literal(); !ok || ip.String() != "::1" {
		t.Errorf("literal: %v, %v", ip, ok)
	}
	if _, ok := lower.Literal(); ok {
		t.Error("a name is no literal")
	}
}

func TestKeysIgnoreCase(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"Taro@Example.Test":        "taro@example.test",
		"TÄRO@example.test":        "täro@example.test",
		"ta\u0308ro@example.test":  "t\u00e4ro@example.test", // two ways to write one letter
		`"taro"@example.test`:      "TARO@example.test",
		"taro@例え.テスト":              "taro@xn--r8jz45g.xn--zckzah",
		"postmaster@EXAMPLE.TEST.": "PostMaster@example.test",
	} {
		x, errX := mail.ParseAddress(a)
		y, errY := mail.ParseAddress(b)
		if errX != nil || errY != nil || x.Key() != y.Key() {
			t.Errorf("%q has the key %q, %q has %q (%v, %v)", a, x.Key(), b, y.Key(), errX, errY)
		}
	}
}

func TestWithoutTag(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"taro+list@e.test": "taro@e.test", "taro+a+b@e.test": "taro@e.test", "taro+@e.test": "taro@e.test",
		"taro@e.test": "", "+list@e.test": "",
	} {
		a, err := mail.ParseAddress(in)
		if err != nil {
			t.Fatal(err)
		}
		base, tagged := a.WithoutTag()
		if tagged != (want != "") || tagged && base.String() != want {
			t.Errorf("%q: %q, %v", in, base, tagged)
		}
	}
}

func TestNullPathAndPostmaster(t *testing.T) {
	t.Parallel()
	if null := (mail.Address{}); !null.IsNull() || null.String() != "" || !null.IsASCII() {
		t.Errorf("null path: %q", null)
	}
	if p := (mail.Address{Local: "postmaster"}); p.IsNull() || p.String() != "postmaster" {
		t.Errorf("bare postmaster: %q", p)
	}
}

// What is read can be written and read again, in both forms, and its key is
// the key of its key.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{
		"taro@example.test", `"a\"b"@e.test`, "太郎@例え.テスト", "a@[IPv6:::1]", "a@xn--a.test", "a@xn--fa-hia.test", "İ@ß.test", "K@K.test", "a@xn--.test",
		"a@xn--0.pt", "a@faß.de", "a@xn--zca.xn--zca",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := mail.ParseAddress(in)
		if err != nil {
			return
		}
		if appended := string(a.AppendASCII([]byte("<"))); appended != "<"+a.ASCII() {
			t.Errorf("AppendASCII appends %q to <, ASCII returns %q", appended, a.ASCII())
		}
		for _, text := range []string{a.String(), a.ASCII()} {
			if b, err := mail.ParseAddress(text); err != nil || b != a {
				t.Errorf("%q gave %+v, its text %q gives %+v, %v", in, a, text, b, err)
			}
		}
		k, err := mail.ParseAddress(a.Key())
		if len(a.Key()) < 128 && (err != nil || k.Key() != a.Key()) {
			t.Errorf("the key of the key %q is %q, %v", a.Key(), k.Key(), err)
		}
		if len(a.Local) > 128 || len(a.Domain.ASCII) > 255 {
			t.Errorf("too long: %+v", a)
		}
		if base, tagged := a.WithoutTag(); tagged && strings.Contains(base.Local, "+") {
			t.Errorf("%q has a tag", base)
		}
	})
}

func FuzzParseDomain(f *testing.F) {
	for _, s := range []string{"example.test", "例え.テスト", "xn--r8jz45g.xn--zckzah", "[192.0.2.1]", "XN--A", "xn--a", "faß.de", "xn--fa-hia.de", "a。b", "xn--a-ecp.ru", "xn--www-hia.xn--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := mail.ParseDomain(in)
		if err != nil {
			if !d.IsZero() {
				t.Errorf("%q: %+v with %v", in, d, err)
			}
			return
		}
		for _, text := range []string{d.ASCII, d.String()} {
			if again, err := mail.ParseDomain(text); err != nil || again != d {
				t.Errorf("%q gave %+v, %q gives %+v, %v", in, d, text, again, err)
			}
		}
	})
}
