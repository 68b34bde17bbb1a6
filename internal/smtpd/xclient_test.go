package smtpd_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/test/stack"
)

// TestTLSOfAFront: what a front's certificate and channel prove is not proven of those
// that it speaks for.
func TestTLSOfAFront(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{SCRAM: true})
	r.secure.ClientAuth = tls.RequestClientCert
	r.options.Gate = account.NewGate(account.GateOptions{
		Directory: r.Directory, Bans: r.Bans, SCRAM: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
		ClientCAs: func() *x509.CertPool { return r.ca.Pool() },
	})
	srv := smtpd.New(r.options)
	shown := r.ca.Certificate(t, "alice@hayauma.test")
	sum := sha256.Sum256(shown.Certificate[0])
	_, err := r.Rules.Add(t.Context(), rule.Rule{
		Name: "front", Action: rule.Reject, Text: "The front itself",
		Conditions: rule.Conditions{Certificates: []string{hex.EncodeToString(sum[:])}},
	}, rule.Place{})
	if err != nil {
		t.Fatal(err)
	}
	open := func(door mail.Door) *client {
		conn, err := r.dial(srv, door, front, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		c := newClient(t, conn)
		c.expect("220")
		c.say("STARTTLS", "220")
		config := r.ca.ClientConfig(stack.Hostname)
		config.Certificates = []tls.Certificate{shown}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return newClient(t, secured)
	}
	user := open(mail.DoorSubmission)
	if got := user.say("EHLO front.test", "250"); !strings.Contains(got, "EXTERNAL") || !strings.Contains(got, "-PLUS") {
		t.Errorf("the front itself is offered %q", got)
	}
	user.say("XCLIENT ADDR=203.0.113.5", "220")
	if got := user.say("EHLO client.test", "250"); strings.Contains(got, "EXTERNAL") || strings.Contains(got, "-PLUS") || !strings.Contains(got, "SCRAM-SHA-256") {
		t.Errorf("its client is offered %q", got)
	}
	user.say("AUTH EXTERNAL =", "504")

	relay := open(mail.DoorSMTP)
	relay.say("EHLO front.test", "250")
	relay.say("MAIL FROM:<a@b.test>", "550 5.7.1 The front itself")
	relay.say("XCLIENT ADDR=203.0.113.5", "220")
	relay.say("EHLO client.test", "250")
	relay.say("MAIL FROM:<a@b.test>", "250")
}

// TestClientsOfAFront: each is judged, told of and logged by what was said of it, and
// by nothing that was said of the one before.
func TestClientsOfAFront(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	var lines bytes.Buffer
	r.options.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	srv := smtpd.New(r.options)
	for _, name := range []string{"one.test", "two.test"} {
		_, err := r.Rules.Add(t.Context(), rule.Rule{Name: name, Action: rule.Reject, Text: "This is " + name, Conditions: rule.Conditions{Helo: []string{name}}}, rule.Place{})
		if err != nil {
			t.Fatal(err)
		}
	}
	conn, err := r.dial(srv, mail.DoorSMTP, front, false)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	c.expect("220")
	for _, client := range []struct{ xclient, want string }{
		{"ADDR=203.0.113.1 NAME=one.test HELO=one.test", "550 5.7.1 This is one.test"},
		{"PORT=77", "550 5.7.1 This is one.test"}, // more of the same client
		{"ADDR=203.0.113.2 NAME=new.test", "250"},
		{"HELO=two.test ADDR=203.0.113.3", "550 5.7.1 This is two.test"},
		{"ADDR=203.0.113.3", "250"},
	} {
		c.say("XCLIENT "+client.xclient, "220")
		c.say("EHLO new.test", "250")
		c.say("MAIL FROM:<a@b.test>", client.want)
		c.say("RSET", "250")
	}
	id := c.deliver("a@b.test", "Subject: one\r\n\r\nHello\r\n", "bob@hayauma.test")
	if first := r.Timeline(id)[0].Detail; first.Helo != "new.test" {
		t.Errorf("the history names %q", first.Helo)
	}
	c.say("QUIT", "221")
	r.served.Wait()
	for line := range strings.Lines(lines.String()) {
		if strings.Count(line, "client=") != 1 || !strings.Contains(line, "peer="+front.String()) {
			t.Errorf("log: %s", line)
		}
	}
	if !strings.Contains(lines.String(), "message accepted") {
		t.Errorf("log: %s", lines.String())
	}
}
