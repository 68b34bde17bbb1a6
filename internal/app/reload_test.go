package app_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

func TestReloadOfALimit(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.write("[limits]\nmessage_size = \"1MB\"")
	s := h.serve()
	before := h.dial(h.smtp)
	if size := before.ehlo(); size != "1000000" {
		t.Errorf("SIZE %s", size)
	}
	h.write("[limits]\nmessage_size = \"2MB\"")
	s.reloaded(reloadDone)
	if size := h.dial(h.smtp).ehlo(); size != "2000000" {
		t.Errorf("the next session sees SIZE %s", size)
	}
	before.say("EHLO again.test") // it lives on
	if size := before.size(); size != "2000000" {
		t.Errorf("the running session sees SIZE %s at its next greeting", size)
	}
	if !strings.Contains(s.log.String(), "changed=[limits.message_size]") {
		t.Errorf("the log does not name what changed:\n%s", s.log)
	}
}

func TestReloadOfTheConnectionLimit(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.serve()
	h.dial(h.smtp).ehlo()
	h.write("[limits]\nconnections_per_address = 1")
	s.reloaded(reloadDone)
	h.dial(h.smtp).line("421 4.7.0 ")
	h.write("")
	s.reloaded(reloadDone)
	h.dial(h.smtp).ehlo()
}

// Rates count per client, at every door and whoever is trusted aside, and a reload
// changes them.
func TestReloadOfTheConnectionRates(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	const proxy = "[proxy]\nnetworks = [\"127.0.0.1\"]\n[relay]\nnetworks = [\"192.0.2.9\"]\n"
	h.write(proxy + "[limits]\nconnection_rate_per_address = 2\nconnection_rate_per_network = 5\nconnection_rate = 9")
	s := h.serve()
	from := func(door, peer, want string) {
		t.Helper()
		c := h.dial(door)
		c.say("PROXY TCP4 " + peer + " 192.0.2.254 1 25")
		c.line(want)
	}
	const smtpBusy = "421 4.7.0 Too many connections"
	from(h.smtp, "192.0.2.1", "220 ")
	from(h.imap, "192.0.2.1", "* OK ")
	from(h.smtp, "192.0.2.1", smtpBusy)
	from(h.imap, "192.0.2.1", "* BYE [UNAVAILABLE] Too many connections")
	from(h.pop, "192.0.2.1", "-ERR [SYS/TEMP] Too many connections")
	from(h.smtp, "192.0.2.2", "220 ")
	from(h.smtp, "192.0.2.3", "220 ")
	from(h.smtp, "192.0.2.4", "220 ")
	from(h.smtp, "192.0.2.5", smtpBusy)
	for _, neighbour := range []string{"192.0.3.1", "198.51.100.1", "203.0.113.1", "203.0.113.2"} {
		from(h.smtp, neighbour, "220 ")
	}
	from(h.smtp, "203.0.113.3", smtpBusy)
	for _, trusted := range []string{"192.0.2.9", "127.0.0.2"} {
		for range 10 {
			from(h.smtp, trusted, "220 ")
		}
	}
	h.write(proxy)
	s.reloaded(reloadDone)
	from(h.smtp, "192.0.2.1", "220 ")
	from(h.pop, "203.0.113.3", "+OK ")
}

// A file that cannot be used changes nothing, whatever else it says.
func TestReloadOfABadFile(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.write("[limits]\nmessage_size = \"1MB\"")
	s := h.serve()
	taken := testkit.FreePort(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // nothing was written to it
	good := h.text("[limits]\nmessage_size = \"2MB\"")
	for name, text := range map[string]string{
		"not TOML":         "hostname = ",
		"an unknown key":   good + "reciepients = 5\n",
		"a bad value":      good + "recipients = 0\n",
		"another data_dir": strings.Replace(good, h.data, h.data+"2", 1),
		"a taken port":     strings.Replace(good, h.imap, taken, 1),
		"no certificate":   good + "[tls]\ncert_file = \"none.pem\"\nkey_file = \"none.pem\"\n",
		"no proxy login":   good + "[outbound]\nproxy = \"socks5://u@127.0.0.1:1080\"\nproxy_password_file = \"none\"\n",
		"no password":      good + "[outbound]\nsmart_host = \"mx.test:25\"\nsmart_host_user = \"u\"\nsmart_host_password_file = \"none\"\n",
	} {
		h.put(text)
		s.reloaded(reloadFailed)
		if size := h.dial(h.smtp).ehlo(); size != "1000000" {
			t.Errorf("%s: SIZE is now %s", name, size)
		}
		h.dial(h.imap).line("* OK ")
	}
	if !strings.Contains(s.log.String(), "these settings need a restart: [data_dir]") {
		t.Errorf("the log does not say that data_dir needs a restart:\n%s", s.log)
	}
	if !strings.Contains(s.log.String(), taken) {
		t.Errorf("the log does not name the taken address:\n%s", s.log)
	}
	h.put(good)
	s.reloaded(reloadDone)
	if size := h.dial(h.smtp).ehlo(); size != "2000000" {
		t.Errorf("after all: SIZE %s", size)
	}
}

func TestReloadOfTheAddresses(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.serve()
	old := h.smtp
	session := h.dial(old)
	session.ehlo()
	h.smtp = testkit.FreePort(t)
	h.write("")
	s.reloaded(reloadDone)
	h.dial(h.smtp).ehlo()
	h.dial(h.imap).line("* OK ")
	if !refusing(t, old) {
		t.Error("the old address still accepts")
	}
	session.say("NOOP") // who was there stays
	session.line("250 ")

	h.put(strings.Replace(h.text(""), fmt.Sprintf("[%q]", h.pop), "[]", 1))
	s.reloaded(reloadDone)
	if !refusing(t, h.pop) {
		t.Error("a service that is off still accepts")
	}
}

// The certificate changes with the rest, or not at all.
func TestReloadOfTheCertificate(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.serve()
	ca := testkit.NewCA(t)
	certFile, keyFile := ca.Files(t, "mx.hayauma.test")
	files := fmt.Sprintf("[tls]\ncert_file = %q\nkey_file = %q", certFile, keyFile)

	taken := testkit.FreePort(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	h.put(strings.Replace(h.text(files), h.pop, taken, 1))
	s.reloaded(reloadFailed)
	if h.shows(ca) {
		t.Error("the new certificate is shown though the settings were not taken")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h.write(files)
	s.reloaded(reloadDone)
	if !h.shows(ca) {
		t.Error("the old certificate is still shown")
	}
}

// shows tells whether STARTTLS shows a certificate of an authority.
func (h *home) shows(ca *testkit.CA) bool {
	h.t.Helper()
	s := h.dial(h.smtp)
	s.ehlo()
	s.say("STARTTLS")
	s.line("220 ")
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	return tls.Client(s.c, ca.ClientConfig("mx.hayauma.test")).HandshakeContext(ctx) == nil
}
