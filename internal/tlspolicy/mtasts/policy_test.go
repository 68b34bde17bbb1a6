package mtasts_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

const good = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"

func TestParse(t *testing.T) {
	t.Parallel()
	const rest = "mode: enforce\nmx: a.test\nmax_age: 1\n"
	for name, c := range map[string]struct{ text, want string }{
		"as in the RFC":        {good, "enforce mail.example.com *.example.net 168h0m0s"},
		"LF alone":             {strings.ReplaceAll(good, "\r", ""), "enforce mail.example.com *.example.net 168h0m0s"},
		"no line end":          {strings.TrimSpace(good), "enforce mail.example.com *.example.net 168h0m0s"},
		"another order":        {"max_age:60\nmx:a.test\nmode:testing\nversion:STSv1", "testing a.test 1m0s"},
		"unknown fields":       {"x-y.z_: h\u00e9 : llo\nversion: STSv1\nmx2: b\n" + rest, "enforce a.test 1s"},
		"space at the end":     {"version: STSv1 \t\r\n" + rest, "enforce a.test 1s"},
		"space before a value": {"version: \t STSv1\n" + rest, "enforce a.test 1s"},
		"empty lines":          {"\r\nversion: STSv1\n\n" + rest + "\r\n\r\n", "enforce a.test 1s"},
		"twice":                {"version: STSv1\nversion: 2\nmode: testing\nmax_age: 2\n" + rest, "testing a.test 2s"},
		"none without mx":      {"version: STSv1\nmode: none\nmax_age: 86400\n", "none 24h0m0s"},
		"upper case hosts":     {"version: STSv1\nmode: testing\nmx: *.Mail.TEST\nmax_age: 0\n", "testing *.mail.test 0s"},
		"an A-label":           {"version: STSv1\nmode: testing\nmx: xn--bcher-kva.test\nmax_age: 0\n", "testing xn--bcher-kva.test 0s"},
		"a year":               {"version: STSv1\nmode: none\nmax_age: 31557600\n", "none 8766h0m0s"},
		"more than a year":     {"version: STSv1\nmode: none\nmax_age: 9999999999\n", "none 8766h0m0s"},
		"nothing":              {"", ""},
		"no version":           {rest, ""},
		"no mode":              {"version: STSv1\nmx: a.test\nmax_age: 1\n", ""},
		"no max_age":           {"version: STSv1\nmode: enforce\nmx: a.test\n", ""},
		"no mx":                {"version: STSv1\nmode: enforce\nmax_age: 1\n", ""},
		"another version":      {"version: STSv2\n" + rest, ""},
		"a first bad one":      {"version: STSv2\nversion: STSv1\n" + rest, ""},
		"a capital Version":    {"Version: STSv1\n" + rest, ""},
		"a capital mode":       {"version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 1\n", ""},
		"max_age of 11 digits": {"version: STSv1\nmode: none\nmax_age: 00000000001\n", ""},
		"max_age signed":       {"version: STSv1\nmode: none\nmax_age: +1\n", ""},
		"max_age negative":     {"version: STSv1\nmode: none\nmax_age: -1\n", ""},
		"max_age with a unit":  {"version: STSv1\nmode: none\nmax_age: 1d\n", ""},
		"a U-label":            {"version: STSv1\nmode: testing\nmx: b\u00fccher.test\nmax_age: 0\n", ""},
		"a literal":            {"version: STSv1\nmode: testing\nmx: [192.0.2.1]\nmax_age: 0\n", ""},
		"a star alone":         {"version: STSv1\nmode: testing\nmx: *\nmax_age: 0\n", ""},
		"a star in a label":    {"version: STSv1\nmode: testing\nmx: a*.test\nmax_age: 0\n", ""},
		"a star in the middle": {"version: STSv1\nmode: testing\nmx: a.*.test\nmax_age: 0\n", ""},
		"two stars":            {"version: STSv1\nmode: testing\nmx: *.*.test\nmax_age: 0\n", ""},
		"two in one field":     {"version: STSv1\nmode: testing\nmx: a.test, b.test\nmax_age: 0\n", ""},
		"no colon":             {"version: STSv1\nhello\n" + rest, ""},
		"space before colon":   {"version : STSv1\n" + rest, ""},
		"space before a name":  {" version: STSv1\n" + rest, ""},
		"an empty value":       {"version: STSv1\nx:\n" + rest, ""},
		"a control character":  {"version: STSv1\nx: a\x00b\n" + rest, ""},
		"CR alone":             {"version: STSv1\rmode: enforce\r" + rest, ""},
		"no UTF-8":             {"version: STSv1\nx: \xff\n" + rest, ""},
		"a byte order mark":    {"\ufeffversion: STSv1\n" + rest, ""},
		"HTML":                 {"<!DOCTYPE html><html></html>", ""},
		"too long":             {good + strings.Repeat("x: y\r\n", mtasts.MaxSize/6), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := mtasts.Parse(c.text)
			got := ""
			if err == nil {
				got = strings.Join(append(append([]string{string(p.Mode)}, p.MX...), p.MaxAge.String()), " ")
			} else if !errors.As(err, new(mtasts.Error)) {
				t.Errorf("an error of type %T", err)
			}
			if got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	p := mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mail.example.com", "*.example.net"}, MaxAge: 604800 * time.Second}
	if p.Text() != strings.ReplaceAll(good, "\r", "") {
		t.Errorf("%q", p.Text())
	}
}

// TestNames: RFC 8461 §4.1.
func TestNames(t *testing.T) {
	t.Parallel()
	p := mtasts.Policy{MX: []string{"mail.example.com", "*.example.net", "xn--bcher-kva.test"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.Example.COM.": true, "xn--bcher-kva.test": true, "a.example.net": true, "xn--a.example.net": true,
		"example.com": false, "x.mail.example.com": false, "mail.example.com.evil.test": false, "example.net": false, "a.b.example.net": false,
		"*.example.net": true, "aexample.net": false, ".example.net": true, "": false, "net": false, "b\u00fccher.test": false,
	} {
		if p.Names(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

// FuzzParse: what is read can be written and read again, and stays in bounds.
func FuzzParse(f *testing.F) {
	for _, s := range []string{good, "version: STSv1\nmode: none\nmax_age: 9999999999", "mx:a\nmx:*.b\nmax_age:0\nmode:testing\nversion:STSv1 \n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := mtasts.Parse(s)
		if err != nil {
			return
		}
		if p.MaxAge < 0 || p.MaxAge > 8766*time.Hour || len(p.MX) == 0 && p.Mode != mtasts.None {
			t.Fatalf("%+v", p)
		}
		again, err := mtasts.Parse(p.Text())
		if len(p.Text()) <= mtasts.MaxSize && (err != nil || !reflect.DeepEqual(p, again)) {
			t.Fatalf("%+v\nagain %+v, %v", p, again, err)
		}
		for _, mx := range p.MX {
			if !p.Names(strings.Replace(mx, "*", "a", 1)) {
				t.Fatalf("%q is not named", mx)
			}
		}
	})
}
