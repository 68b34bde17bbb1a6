package app_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// way is a client's way to TLS and to SCRAM at one door.
type way struct {
	addr, greeting  string
	ehlo            bool
	starttls, ready string
	auth            string
	on, yes         string // the beginnings of lines that ask on, and that say yes
	quit            string
}

func ways(h *home, submission string) map[string]way {
	return map[string]way{
		"smtp": {submission, "220 ", true, "STARTTLS", "220 ", "AUTH", "334 ", "235 ", "QUIT"},
		"imap": {h.imap, "* OK ", false, "a STARTTLS", "a OK ", "b AUTHENTICATE", "+ ", "b OK ", "c LOGOUT"},
		"pop3": {h.pop, "+OK ", false, "STLS", "+OK ", "AUTH", "+ ", "+OK ", "QUIT"},
	}
}

// secure opens a session with TLS.
func (w way) secure(h *home, config *tls.Config) (*session, tls.ConnectionState) {
	h.t.Helper()
	c := h.dial(w.addr)
	c.line(w.greeting)
	greet := func() {
		if w.ehlo {
			c.say("EHLO client.test")
			c.size()
		}
	}
	greet()
	c.say(w.starttls)
	c.line(w.ready)
	secured := tls.Client(c.c, config)
	if err := secured.HandshakeContext(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	c.c, c.r = secured, bufio.NewReader(secured)
	greet()
	return c, secured.ConnectionState()
}

// logIn binds SCRAM to the certificate that the session has shown, and ends it.
func (w way) logIn(c *session, state tls.ConnectionState) error {
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	x, _ := sasl.NewClient("SCRAM-SHA-256-PLUS", sasl.ClientCredentials{
		User: "alice@hayauma.test", Password: password, Binding: sasl.Binding{EndPoint: sum[:]},
	})
	answer, done, err := x.Next(nil)
	c.say(w.auth + " SCRAM-SHA-256-PLUS " + sasl.Encode(answer))
	for err == nil && !done {
		var line string
		var challenge []byte
		if line, err = c.r.ReadString('\n'); err != nil {
			return err
		}
		text, on := strings.CutPrefix(strings.TrimSpace(line), w.on)
		if !on {
			return errors.New(line)
		}
		if challenge, err = sasl.Decode(text); err == nil {
			answer, done, err = x.Next(challenge)
			c.say(sasl.Encode(answer))
		}
	}
	if err != nil {
		return err
	}
	c.line(w.yes)
	c.say(w.quit)
	_, err = io.Copy(io.Discard, c.r)
	return err
}

// TestBindingIsToTheCertificateShown: SCRAM is tied to the certificate that a connection
// has shown (RFC 5929 §4), whatever is shown since; no session is resumed across them.
func TestBindingIsToTheCertificateShown(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	submission := testkit.FreePorts(t, 1)[0]
	h.put(strings.Replace(h.text("[auth]\nscram = true"), "submission = []", "submission = [\""+submission+"\"]", 1))
	s := h.serve()
	domain(t, h)
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	_, err = control.Ask(t.Context(), client, control.AccountPasswd, control.AccountLogin{Address: "alice@hayauma.test", Password: password, SCRAM: true})
	if err = errors.Join(err, done()); err != nil {
		t.Fatal(err)
	}
	var clients []*bound
	for door, w := range ways(h, submission) {
		clients = append(clients, newBound(door, w, tls.VersionTLS13))
		if door == "smtp" {
			clients = append(clients, newBound(door, w, tls.VersionTLS12))
		}
	}
	for _, c := range clients {
		c.opens(h, "the first", false)
		c.idle, c.shown = c.secure(h, c.config)
	}
	s.reloaded(reloadDone) // the same certificate
	for _, c := range clients {
		c.opens(h, "behind a reload", true)
	}
	if err := os.Remove(filepath.Join(h.data, "tls", "server.pem")); err != nil {
		t.Fatal(err)
	}
	s.reloaded(reloadDone)
	for _, c := range clients {
		c.logsIn(h, "from before the change", c.idle, c.shown, true)
		if now := c.opens(h, "behind the change", false); bytes.Equal(now.PeerCertificates[0].Raw, c.shown.PeerCertificates[0].Raw) {
			t.Error("the certificate has not changed")
		}
	}
}

// bound is a client that remembers sessions of TLS, and has one open.
type bound struct {
	way
	name   string
	config *tls.Config
	idle   *session
	shown  tls.ConnectionState // of idle
}

func newBound(door string, w way, version uint16) *bound {
	return &bound{way: w, name: door + ", " + tls.VersionName(version), config: &tls.Config{
		InsecureSkipVerify: true, MinVersion: version, MaxVersion: version,
		ServerName: "mx.hayauma.test", ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}
}

// opens opens a session and logs in.
func (b *bound) opens(h *home, which string, resumed bool) tls.ConnectionState {
	h.t.Helper()
	c, state := b.secure(h, b.config)
	b.logsIn(h, which, c, state, resumed)
	return state
}

func (b *bound) logsIn(h *home, which string, c *session, state tls.ConnectionState, resumed bool) {
	h.t.Helper()
	if state.DidResume != resumed {
		h.t.Errorf("%s, %s: resumed %v", b.name, which, state.DidResume)
	}
	if err := c.c.SetDeadline(time.Now().Add(patience)); err != nil {
		h.t.Fatal(err)
	}
	if err := b.logIn(c, state); err != nil {
		h.t.Errorf("%s, %s: %v", b.name, which, err)
	}
}
