package rule_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

// words are rules in short: "accept from=@a.test,@b.test to=@c.test", the
// name being the action with the number of the line.
func words(t *testing.T, lines ...string) []rule.Rule {
	t.Helper()
	var rules []rule.Rule
	for i, line := range lines {
		parts := strings.Fields(line)
		r := rule.Rule{Position: i + 1, Action: rule.Action(parts[0]), Name: fmt.Sprint(parts[0], i+1)}
		for _, part := range parts[1:] {
			key, value, _ := strings.Cut(part, "=")
			switch key {
			case "off":
				r.Off = true
			case "text":
				r.Text = value
			case "tag":
				r.Tag = value
			case "delay":
				if _, err := fmt.Sscan(value, &r.Delay); err != nil {
					t.Fatal(err)
				}
			default:
				for _, k := range rule.Kinds() {
					if k.Name == key {
						*k.Values(&r.Conditions) = strings.Split(value, ",")
					}
				}
			}
		}
		rules = append(rules, r)
	}
	return rules
}

// said is a decision in short.
func said(d rule.Decision, err error) string {
	if err != nil {
		return err.Error()
	}
	s := d.Rule
	if s == "" {
		s = "none"
	}
	if len(d.Tags) > 0 {
		s += " +" + strings.Join(d.Tags, "+")
	}
	if d.Delay > 0 {
		s += " " + d.Delay.String()
	}
	return s
}

func stranger(t *testing.T) rule.Facts {
	t.Helper()
	return rule.Facts{
		Peer: netip.MustParseAddr("192.0.2.7"), Door: mail.DoorSMTP, Helo: "mx.far.test", Sender: addr(t, "a@far.test"),
		Reverse: func(context.Context) (string, error) { return "host.far.test", nil },
	}
}

// What MAIL and then each recipient is told.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		rules []string
		want  string // of MAIL | you@ours.test | me@ours.test
	}{
		{"no rules", nil, "none | none | none"},
		{"none matches", []string{"reject from=@near.test"}, "none | none | none"},
		{"the first that matches decides", []string{"reject from=@near.test", "accept from=@far.test", "reject door=smtp"}, "accept2 | accept2 | accept2"},
		{"a refusal before an acceptance", []string{"reject door=smtp", "accept from=@far.test"}, "reject1 | reject1 | reject1"},
		{"all conditions must hold", []string{"reject from=@far.test helo=mx.near.test", "defer from=@far.test helo=mx.far.test network=192.0.2.0/24"}, "defer2 | defer2 | defer2"},
		{"one value is enough", []string{"reject from=@near.test,@far.test"}, "reject1 | reject1 | reject1"},
		{"a rule that is off", []string{"reject off door=smtp", "quarantine door=smtp"}, "quarantine2 | quarantine2 | quarantine2"},
		{"a recipient's rule waits for it", []string{"reject to=you@*"}, "none | reject1 | none"},
		{"an exception for a recipient keeps its place",
			[]string{"accept to=you@ours.test", "reject door=smtp"}, "none | accept1 | reject2"},
		{"behind a recipient's rule that cannot match MAIL is told",
			[]string{"accept to=you@ours.test from=@near.test", "reject door=smtp"}, "reject2 | reject2 | reject2"},
		{"tags are collected, each once",
			[]string{"tag tag=a door=smtp", "tag tag=b to=you@*", "tag tag=a from=@far.test", "tag tag=c from=@near.test", "accept door=smtp", "tag tag=d door=smtp"},
			"accept5 +a | accept5 +a+b | accept5 +a"},
		{"a delay comes once", []string{"tarpit delay=5 door=smtp", "tarpit delay=7 from=@far.test"}, "none 12s | none | none"},
		{"a recipient's delay comes with each", []string{"tarpit delay=5 to=@ours.test"}, "none | none 5s | none 5s"},
		{"a delay behind a recipient's rule comes once, late",
			[]string{"accept to=x@ours.test", "tarpit delay=5 door=smtp"}, "none | none 5s | none"},
		{"delays have a bound", []string{"tarpit delay=60 door=smtp", "tarpit delay=60 door=smtp", "tarpit delay=60 door=smtp", "reject door=smtp"}, "reject4 2m0s | reject4 | reject4"},
		{"the reverse name", []string{"reject reverse=<>", "accept reverse=.near.test", "quarantine reverse=.far.test"}, "quarantine3 | quarantine3 | quarantine3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c, err := rule.Begin(words(t, row.rules...), stranger(t))
			if err != nil {
				t.Fatal(err)
			}
			got := said(c.Mail(t.Context()))
			for _, to := range []string{"you@ours.test", "me@ours.test"} {
				got += " | " + said(c.Rcpt(t.Context(), addr(t, to)))
			}
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// What the peer is told, and what the log is.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ rule, fault, why string }{
		{"reject from=@near.test,@far.test network=192.0.2.0/24 text=Never!", "550 5.7.1 Never!", "network 192.0.2.7 matches 192.0.2.0/24, from a@far.test matches @far.test"},
		{"reject door=smtp", "550 5.7.1 This mail is not accepted here", "door smtp matches smtp"},
		{"defer login=<> text=Later!", "450 4.7.1 Later!", "login <> matches <>"},
		{"defer door=smtp", "450 4.7.1 This mail is not accepted at the moment, please try again later", "door smtp matches smtp"},
		{"accept door=smtp", "", "door smtp matches smtp"},
		{"quarantine reverse=*", "", "reverse host.far.test matches *"},
	} {
		c, err := rule.Begin(words(t, row.rule), stranger(t))
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Mail(t.Context())
		if err != nil || d.Why != row.why {
			t.Errorf("%s: %q, %v", row.rule, d.Why, err)
		}
		got := ""
		if f := d.Fault(); f != nil {
			got = f.Error()
		}
		if got != row.fault {
			t.Errorf("%s: %q, want %q", row.rule, got, row.fault)
		}
	}
}

// A reverse name is looked up once, and only for a rule that depends on it. What
// cannot be found out puts the mail off, but not for a tag.
func TestReverseNameThatCannotBeFound(t *testing.T) {
	t.Parallel()
	errDNS := errors.New("no name server answers")
	for _, row := range []struct {
		rules []string
		want  string
		asked int
	}{
		{[]string{"reject from=@near.test reverse=*", "accept door=smtp"}, "accept2 | accept2", 0},
		{[]string{"accept reverse=.far.test", "reject door=smtp"}, "access rule accept1: no name server answers | access rule accept1: no name server answers", 1},
		{[]string{"tag tag=dsl reverse=*", "tarpit delay=5 reverse=*", "accept door=smtp"}, "accept3 | accept3", 1},
		{[]string{"accept to=you@ours.test reverse=.far.test", "reject door=smtp"}, "none | access rule accept1: no name server answers", 1},
		{[]string{"accept to=me@ours.test reverse=.far.test", "reject door=smtp"}, "none | reject2", 0},
	} {
		asked := 0
		f := stranger(t)
		f.Reverse = func(context.Context) (string, error) { asked++; return "", errDNS }
		c, err := rule.Begin(words(t, row.rules...), f)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Mail(t.Context())
		if err != nil && (!errors.Is(err, errDNS) || mail.AsFault(err).Code() != 451) {
			t.Errorf("%q: %v", row.rules, err)
		}
		_, _ = c.Rcpt(t.Context(), addr(t, "you@ours.test")) // asked again below
		got := said(c.Mail(t.Context())) + " | " + said(c.Rcpt(t.Context(), addr(t, "you@ours.test")))
		if strings.ReplaceAll(got, " 5s", "") != row.want || asked != row.asked {
			t.Errorf("%q: %s, asked %d times; want %s, %d", row.rules, got, asked, row.want, row.asked)
		}
	}
	f := stranger(t)
	f.Reverse = nil
	c, err := rule.Begin(words(t, "reject reverse=<>"), f)
	if err != nil {
		t.Fatal(err)
	}
	if got := said(c.Mail(t.Context())); got != "reject1" {
		t.Errorf("without a look-up: %s", got)
	}
}

func TestFactsOf(t *testing.T) {
	t.Parallel()
	o := mail.Origin{Door: mail.DoorSubmission, Peer: netip.MustParseAddrPort("[::ffff:192.0.2.7]:25"), Helo: "x", Login: addr(t, "me@ours.test")}
	f := rule.FactsOf(o, mail.Envelope{From: addr(t, "a@far.test")})
	c, err := rule.Begin(words(t, "reject door=submission network=192.0.2.7 helo=x login=me@ours.test from=a@far.test"), f)
	if err != nil {
		t.Fatal(err)
	}
	if got := said(c.Mail(t.Context())); got != "reject1" {
		t.Error(got)
	}
}

// A common name counts only where a CA vouches for it.
func TestCertificateOf(t *testing.T) {
	t.Parallel()
	if !rule.CertificateOf(nil, true).IsZero() || !rule.CertificateOf(&tls.ConnectionState{}, true).IsZero() {
		t.Error("a certificate out of nothing")
	}
	leaf := &x509.Certificate{Raw: []byte("abc"), Subject: pkix.Name{CommonName: "relay"}}
	cs := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4
	if got := rule.CertificateOf(cs, false); got != (rule.Certificate{Fingerprint: sum}) {
		t.Errorf("%+v", got)
	}
	if got := rule.CertificateOf(cs, true); got.Name != "relay" || got.String() != "relay" {
		t.Errorf("%+v", got)
	}
}

// Without rules nothing is computed: this is every message of most servers.
func TestNoRulesCostNothing(t *testing.T) {
	c, err := rule.Begin(nil, stranger(t))
	if err != nil {
		t.Fatal(err)
	}
	to := addr(t, "you@ours.test")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = c.Mail(t.Context())
		_, _ = c.Rcpt(t.Context(), to)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkJudge(b *testing.B) {
	var rules []rule.Rule
	for i := range 100 {
		rules = append(rules, rule.Rule{Name: fmt.Sprint("r", i), Action: rule.Reject,
			Conditions: rule.Conditions{Senders: []string{fmt.Sprintf("@d%d.test", i)}, Networks: []string{"192.0.2.0/24"}}})
	}
	c, err := rule.Begin(rules, rule.Facts{Peer: netip.MustParseAddr("192.0.2.1"), Sender: addr(b, "a@far.test")})
	if err != nil {
		b.Fatal(err)
	}
	to := addr(b, "you@ours.test")
	for b.Loop() {
		if d, err := c.Rcpt(b.Context(), to); err != nil || d.Action != "" {
			b.Fatal(d, err)
		}
	}
}
