package smtp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, verb, arg string
		err           error
	}{
		{"NOOP", "NOOP", "", nil},
		{"noop", "NOOP", "", nil},
		{"Mail FROM:<a@b.test>", "MAIL", "FROM:<a@b.test>", nil},
		{"EHLO   a b  ", "EHLO", "a b", nil},
		{"NOOP \t x", "NOOP", "x", nil},
		{"RCPT TO:<ü@b.test>", "RCPT", "TO:<ü@b.test>", nil},
		{"ABCDEFGHIJKL", "ABCDEFGHIJKL", "", nil},
		{"ABCDEFGHIJKLM", "", "", smtp.ErrNotCommand},
		{"", "", "", smtp.ErrNotCommand},
		{" NOOP", "", "", smtp.ErrNotCommand},
		{"250 OK", "", "", smtp.ErrNotCommand},
		{"NOOP\tx", "", "", smtp.ErrNotCommand},
		{"NO\x00OP", "", "", smtp.ErrNotCommand},
		{"NOOP a\x00b", "", "", smtp.ErrNotCommand},
		{"NOOP a\x7fb", "", "", smtp.ErrNotCommand},
		{"NÖOP", "", "", smtp.ErrNotCommand},
		{"vrfy ü", "VRFY", "ü", nil},
		{"EHLO ü.test", "", "", smtp.ErrEightBit},
		{"NOOP \xff", "", "", smtp.ErrEightBit},
		{"MAIL:", "", "", smtp.ErrNotCommand},
		{"\x16\x03\x01\x02\x00\x01", "", "", smtp.ErrNotCommand}, // the first octets of TLS
	}
	for _, test := range tests {
		cmd, err := smtp.ParseCommand([]byte(test.in))
		if cmd.Verb != test.verb || cmd.Arg != test.arg || !errors.Is(err, test.err) {
			t.Errorf("%q: %+v, %v", test.in, cmd, err)
		}
	}
}

func TestParseMail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, address string
		params      []smtp.Param
		err         error
	}{
		{"FROM:<>", "", nil, nil},
		{"from:<a@b.test>", "a@b.test", nil, nil},
		{"FROM: <a@b.test>", "a@b.test", nil, nil},
		{"FROM:<A.b@B.Test>", "A.b@b.test", nil, nil},
		{"FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", nil, nil},
		{`FROM:<"a b"@b.test>`, `"a b"@b.test`, nil, nil},
		{`FROM:<"a>b"@b.test> SIZE=1`, `"a>b"@b.test`, []smtp.Param{{"SIZE", "1"}}, nil},
		{`FROM:<"a\"> SIZE=2"@b.test>`, `"a\"> SIZE=2"@b.test`, nil, nil},
		{"FROM:<@one.test,@two.test:a@b.test>", "a@b.test", nil, nil},
		{"FROM:<ü@b.test> SMTPUTF8", "ü@b.test", []smtp.Param{{"SMTPUTF8", ""}}, nil},
		{"FROM:<a@b.test> size=10 Body=8BITMIME", "a@b.test", []smtp.Param{{"SIZE", "10"}, {"BODY", "8BITMIME"}}, nil},
		{"FROM:<a@b.test>   SIZE=10  ", "a@b.test", []smtp.Param{{"SIZE", "10"}}, nil},
		{"FROM:<a@b.test> X-Y=a+3Db", "a@b.test", []smtp.Param{{"X-Y", "a+3Db"}}, nil},
		{"", "", nil, smtp.ErrArgument},
		{"FROM:", "", nil, smtp.ErrArgument},
		{"FROM:a@b.test", "", nil, smtp.ErrArgument},
		{"FROM <a@b.test>", "", nil, smtp.ErrArgument},
		{"TO:<a@b.test>", "", nil, smtp.ErrArgument},
		{"FROM:<a@b.test", "", nil, smtp.ErrArgument},
		{`FROM:<"a@b.test>`, "", nil, smtp.ErrArgument},
		{"FROM:<a@b.test>SIZE=1", "", nil, smtp.ErrArgument},
		{"FROM:<a@b.test>> SIZE=1", "", nil, smtp.ErrArgument},
		{"FROM:<a@b.test> =1", "", nil, smtp.ErrParam},
		{"FROM:<a@b.test> SIZE=", "", nil, smtp.ErrParam},
		{"FROM:<a@b.test> SIZE=1=2", "", nil, smtp.ErrParam},
		{"FROM:<a@b.test> -X=1", "", nil, smtp.ErrParam},
		{"FROM:<a@b.test> X_Y=1", "", nil, smtp.ErrParam},
		{"FROM:<a@b.test> BODY=8B\u0131TMIME", "", nil, smtp.ErrParam}, // a letter that folds to I
		{"FROM:<@" + strings.Repeat("b.", 121) + "test:a@b.test>", "", nil, mail.ErrAddress},
		{"FROM:<a@b.test>" + strings.Repeat(" X", 21), "", nil, smtp.ErrParam},
		{"FROM:<postmaster>", "", nil, mail.ErrAddress},
		{"FROM:<a@>", "", nil, mail.ErrAddress},
		{"FROM:<@b.test>", "", nil, mail.ErrAddress},
		{"FROM:<a..b@b.test>", "", nil, mail.ErrAddress},
		{"FROM:<a b@b.test>", "", nil, mail.ErrAddress},
		{"FROM:<" + strings.Repeat("a", 120) + "@" + strings.Repeat("b.", 80) + "test>", "", nil, mail.ErrAddress},
	}
	for _, test := range tests {
		p, err := smtp.ParseMail(test.in)
		switch {
		case test.err != nil && !errors.Is(err, test.err):
			// A domain that is none has an error of its own.
			if !errors.Is(test.err, mail.ErrAddress) || !errors.Is(err, mail.ErrDomain) {
				t.Errorf("%q: error %v, want %v", test.in, err, test.err)
			}
		case test.err == nil && (err != nil || p.Address.String() != test.address || !slices.Equal(p.Params, test.params)):
			t.Errorf("%q: %q %v, %v", test.in, p.Address, p.Params, err)
		}
	}
}

func TestParseRcpt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, address string
		ok          bool
	}{
		{"TO:<a@b.test>", "a@b.test", true},
		{"To:<a@b.test> NOTIFY=NEVER", "a@b.test", true},
		{"TO:<postmaster>", "postmaster", true},
		{"TO:<PostMaster>", "PostMaster", true},
		{"TO:<postmaster@b.test>", "postmaster@b.test", true},
		{"TO:<@hop.test:a@b.test>", "a@b.test", true},
		{"TO:<po\u017ftmaster>", "", false},
		{"TO:<user>", "", false},
		{"TO:<>", "", false},
		{"FROM:<a@b.test>", "", false},
		{"TO:a@b.test", "", false},
	}
	for _, test := range tests {
		p, err := smtp.ParseRcpt(test.in)
		if (err == nil) != test.ok || p.Address.String() != test.address {
			t.Errorf("%q: %q, %v", test.in, p.Address, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"50000000", 50_000_000, true}, {"9223372036854775807", 1<<63 - 1, true},
		{"99999999999999999999", 1<<63 - 1, true}, {"000000000000000000000", 0, false},
		{"", 0, false}, {"-1", 0, false}, {"+1", 0, false}, {"1k", 0, false}, {"0x10", 0, false},
	}
	for _, test := range tests {
		if n, err := smtp.ParseSize(test.in); n != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %d, %v", test.in, n, err)
		}
	}
}

func TestXtext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"", "", true}, {"abc", "abc", true}, {"a+2Bb", "a+b", true}, {"+3D", "=", true}, {"+00", "\x00", true},
		{"+", "", false}, {"a+4", "", false}, {"+2b", "", false}, {"+G0", "", false},
	}
	for _, test := range tests {
		if got, err := smtp.DecodeXtext(test.in); got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %q, %v", test.in, got, err)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte("MAIL FROM:<a@b.test> SIZE=1"))
	f.Add([]byte("noop\t"))
	f.Fuzz(func(t *testing.T, line []byte) {
		cmd, err := smtp.ParseCommand(line)
		if err != nil {
			return
		}
		printed := cmd.Verb
		if cmd.Arg != "" {
			printed += " " + cmd.Arg
		}
		if again, err := smtp.ParseCommand([]byte(printed)); err != nil || again != cmd {
			t.Errorf("%q: %+v, printed and read again: %+v, %v", line, cmd, again, err)
		}
	})
}

// fuzzPath checks that what was taken can be written down and read again as
// the same, with nothing of one part in another.
func fuzzPath(t *testing.T, keyword, arg string, parse func(string) (smtp.Path, error)) {
	p, err := parse(arg)
	if err != nil {
		return
	}
	if len(p.Params) > 20 || strings.ContainsAny(p.Address.String(), "\r\n\x00") {
		t.Fatalf("%q: %+v", arg, p)
	}
	printed := keyword + "<" + p.Address.String() + ">"
	for _, param := range p.Params {
		printed += " " + param.Key
		if param.Value != "" {
			printed += "=" + param.Value
		}
	}
	again, err := parse(printed)
	if err != nil || again.Address != p.Address || !slices.Equal(again.Params, p.Params) {
		t.Errorf("%q: %+v, printed %q, read again: %+v, %v", arg, p, printed, again, err)
	}
}

func FuzzParseMail(f *testing.F) {
	f.Add("FROM:<> SIZE=1")
	f.Add(`FROM:<"a\">"@b.test> BODY=8BITMIME SMTPUTF8`)
	f.Add("FROM:<@a.test:b@c.test>")
	f.Add("FROM:<ü@bücher.test> SMTPUTF8")
	f.Fuzz(func(t *testing.T, arg string) { fuzzPath(t, "FROM:", arg, smtp.ParseMail) })
}

func FuzzParseRcpt(f *testing.F) {
	f.Add("TO:<Postmaster>")
	f.Add("TO:<a@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+40b.test")
	f.Fuzz(func(t *testing.T, arg string) { fuzzPath(t, "TO:", arg, smtp.ParseRcpt) })
}

func FuzzXtext(f *testing.F) {
	f.Add("a+b=c d\x00ü")
	f.Fuzz(func(t *testing.T, s string) {
		coded := smtp.EncodeXtext(s)
		if strings.ContainsFunc(coded, func(r rune) bool { return r < '!' || r > '~' || r == '=' }) {
			t.Errorf("%q: not xtext: %q", s, coded)
		}
		if plain, err := smtp.DecodeXtext(coded); err != nil || plain != s {
			t.Errorf("%q: coded %q, decoded %q, %v", s, coded, plain, err)
		}
	})
}
