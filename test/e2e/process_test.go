package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// talk is one raw connection, line by line.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial connects, in TLS if ca is given, and reads the greeting.
func dial(t *testing.T, addr, ca string) *talk {
	t.Helper()
	dialer := &net.Dialer{Timeout: node.Patience}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if ca != "" {
		conn = secured(t, conn, ca)
	}
	t.Cleanup(func() { _ = conn.Close() }) // closed already by most tests
	c := &talk{t: t, conn: conn, in: bufio.NewReader(conn)}
	c.line()
	return c
}

func secured(t *testing.T, conn net.Conn, ca string) net.Conn {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
}

func (c *talk) line() string {
	c.t.Helper()
	text, err := c.read()
	if err != nil {
		c.t.Fatalf("after %q: %v", text, err)
	}
	return text
}

func (c *talk) read() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(node.Patience)); err != nil {
		return "", err
	}
	text, err := c.in.ReadString('\n')
	return strings.TrimRight(text, "\r\n"), err
}

func (c *talk) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// say sends a line and reads until a line begins with want, which it returns.
func (c *talk) say(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.until(want)
}

func (c *talk) until(want string) string {
	c.t.Helper()
	for {
		if got := c.line(); strings.HasPrefix(got, want) {
			return got
		}
	}
}

func (c *talk) expectEnd() {
	c.t.Helper()
	if got, err := c.read(); !errors.Is(err, io.EOF) || got != "" {
		c.t.Errorf("got %q, %v; want the end", got, err)
	}
}

func TestIdleClientsSeeADeliveryAtOnce(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	var clients []*talk
	for range 2 {
		c := dial(t, n.IMAPS, n.CA)
		c.say(`a login bob@a.test "`+node.Password+`"`, "a OK")
		c.say("b select INBOX", "b OK")
		c.say("c idle", "+ ")
		clients = append(clients, c)
	}
	n.Submit("news", "bob@a.test")
	for _, c := range clients {
		c.until("* 1 EXISTS")
		c.say("DONE", "c OK")
		c.say("d fetch 1 (envelope)", "d OK")
	}
	clients[0].say(`e store 1 +flags (\Seen \Deleted)`, "e OK")
	clients[1].say("e idle", "+ ")
	clients[0].say("f expunge", "f OK")
	clients[1].until("* 1 EXPUNGE")
}

// rewrite changes the server's settings file.
func rewrite(t *testing.T, n *node.Node, old, fresh string) {
	t.Helper()
	text, err := os.ReadFile(n.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("settings lack %q", old)
	}
	if err := os.WriteFile(n.ConfigFile, []byte(strings.Replace(string(text), old, fresh, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload sends SIGHUP and waits for a new line in the log.
func reload(t *testing.T, n *node.Node, line string) {
	t.Helper()
	before := strings.Count(n.Log(), line)
	if err := n.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, node.Patience, fmt.Sprintf("%q in the log", line), func() bool { return strings.Count(n.Log(), line) > before })
}

func TestReload(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	session := dial(t, n.SMTP, "")
	session.say("EHLO client.test", "250 ")
	reader := dial(t, n.IMAPS, n.CA)
	reader.say(`a login bob@a.test "`+node.Password+`"`, "a OK")
	reader.say("b select INBOX", "b OK")

	more := testkit.FreePort(t)
	rewrite(t, n, "connections_per_address = 0", "connections_per_address = 0\nmessage_size = \"1MB\"")
	rewrite(t, n, fmt.Sprintf("smtp = [%q]", n.SMTP), fmt.Sprintf("smtp = [%q]", more))
	reload(t, n, "settings reloaded")

	// A new listener accepts, the old one is gone, its session lives on with
	// the new settings.
	if fresh := dial(t, more, ""); fresh.say("EHLO client.test", "250-SIZE") != "250-SIZE 1000000" {
		t.Error("the new listener does not have the new settings")
	}
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.SMTP); err == nil {
		t.Error("the old listener still accepts", conn.Close())
	}
	if got := session.say("EHLO client.test", "250-SIZE"); got != "250-SIZE 1000000" {
		t.Errorf("the old session: %s", got)
	}
	session.until("250 ")
	session.say("MAIL FROM:<x@elsewhere.test>", "250 ")
	session.say("RCPT TO:<bob@a.test>", "250 ")
	session.say("DATA", "354 ")
	session.say("Subject: after\r\n\r\nx\r\n.", "250 2.0.0 Accepted")
	reader.say("c noop", "* 1 EXISTS")

	// Settings that are wrong change nothing.
	rewrite(t, n, "[queue]", "[queue]\nlifetyme = \"1d\"")
	reload(t, n, "settings not reloaded")
	if !strings.Contains(n.Log(), "lifetime") {
		t.Error("the log does not name the nearest key")
	}
	session.say("NOOP", "250 ")
	dial(t, more, "").say("QUIT", "221 ")
}

func TestReloadOfACertificate(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	serial := func() string {
		conn := dial(t, n.IMAPS, n.CA)
		state, ok := conn.conn.(*tls.Conn)
		if !ok {
			t.Fatal("not TLS")
		}
		return state.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	certificate, key := testkit.NewCA(t).Files(t, n.Host, "127.0.0.1")
	dir := filepath.Dir(n.CA)
	for from, to := range map[string]string{certificate: "cert.pem", key: "key.pem", filepath.Join(filepath.Dir(certificate), "ca.pem"): "ca.pem"} {
		if err := os.Rename(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	reload(t, n, "settings reloaded")
	if serial() == before {
		t.Error("the certificate is still the old one")
	}
}

func TestSigterm(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	idle, busy := dial(t, n.SMTP, ""), dial(t, n.SMTP, "")
	imap, pop := dial(t, n.IMAPS, n.CA), dial(t, n.POP3S, n.CA)
	imap.say(`a login bob@a.test "`+node.Password+`"`, "a OK")
	busy.say("EHLO client.test", "250 ")
	busy.say("MAIL FROM:<x@elsewhere.test>", "250 ")
	busy.say("RCPT TO:<bob@a.test>", "250 ")
	busy.say("DATA", "354 ")
	busy.send("Subject: the last one\r\n\r\nhalf\r\n")
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- n.Stop() }()
	idle.until("421 4.3.2")
	idle.expectEnd()
	imap.until("* BYE")
	_ = pop.conn.Close() // POP3 has no word for the end
	busy.send("the rest\r\n.\r\n")
	busy.until("250 2.0.0 Accepted")
	busy.until("421 4.3.2")
	busy.expectEnd()
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	n.Server = n.Again()
	n.WaitInbox("bob", 1)
}

// A peer that holds its session open does not hold up the end for longer than
// the grace.
func TestSigtermWithAPeerThatStays(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{Extra: "[timeouts]\nshutdown_grace = \"1s\""})
	busy := dial(t, n.SMTP, "")
	busy.say("EHLO client.test", "250 ")
	busy.say("MAIL FROM:<x@elsewhere.test>", "250 ")
	busy.say("RCPT TO:<bob@a.test>", "250 ")
	busy.say("DATA", "354 ")
	busy.send("Subject: never ends\r\n")
	begun := time.Now()
	if err := n.Stop(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	n.Server = n.Again()
	if got := n.Inbox("bob"); len(got) != 0 {
		t.Errorf("filed: %q", got)
	}
}

// refusal runs `hayauma serve`, which must end by itself, and returns its one
// sentence.
func refusal(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() < 1 {
		t.Fatalf("exit %v\n%s", err, out)
	}
	var said []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		if !strings.HasPrefix(line, "time=") {
			said = append(said, line)
		}
	}
	if len(said) != 1 {
		t.Errorf("not one sentence: %q", said)
	}
	return strings.Join(said, "\n")
}

func serve(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), node.Patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "serve", "--config", config)
	cmd.Dir = filepath.Dir(config)
	return cmd
}

func TestRefusalsToStart(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{NoUsers: true})
	write := func(t *testing.T, text string) string {
		path := filepath.Join(t.TempDir(), "hayauma.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const quiet = "hostname = \"mx.c.test\"\ndata_dir = %q\n[listen]\nsmtp = [%s]\nsubmission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\n"
	file := write(t, "a file")
	tests := []struct{ name, config, want string }{
		{"a taken port", fmt.Sprintf(quiet, "data", fmt.Sprintf("%q", n.SMTP)), n.SMTP},
		{"a folder in use", fmt.Sprintf(quiet, filepath.Join(n.Dir, "data"), ""), "data"},
		{"a folder that cannot be made", fmt.Sprintf(quiet, filepath.Join(file, "data"), ""), "data_dir"},
		{"an unknown key", "hostname = \"mx.c.test\"\nhostnam = 1\n", "hostname"},
		{"an unknown key in a table", "hostname = \"mx.c.test\"\n[limits]\nmessage_sise = \"1MB\"\n", "message_size"},
		{"a value of the wrong kind", "hostname = 5\n", "hostname"},
		{"a bad duration", "hostname = \"mx.c.test\"\n[queue]\nlifetime = \"5 days\"\n", "lifetime"},
		{"no hostname", "data_dir = \"data\"\n", "hostname"},
		{"no TOML at all", "hostname = \n", "hayauma.toml:1"},
		{"a certificate that is not there", fmt.Sprintf(quiet, "data", "") + "[tls]\ncert_file = \"none.pem\"\nkey_file = \"none.pem\"\n", "none.pem"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := refusal(t, serve(t, write(t, test.config))); !strings.Contains(got, test.want) {
				t.Errorf("%q does not tell of %s", got, test.want)
			}
		})
	}
	t.Run("no settings at all", func(t *testing.T) {
		if got := refusal(t, serve(t, filepath.Join(t.TempDir(), "none.toml"))); !strings.Contains(got, "none.toml") {
			t.Error(got)
		}
	})
	t.Run("a damaged database", func(t *testing.T) {
		config := write(t, fmt.Sprintf(quiet, "data", ""))
		data := filepath.Join(filepath.Dir(config), "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		garbage := []byte(strings.Repeat("this is no database ", 1000))
		if err := os.WriteFile(filepath.Join(data, "hayauma.db"), garbage, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := refusal(t, serve(t, config)); !strings.Contains(got, "hayauma.db") {
			t.Error(got)
		}
		kept, err := os.ReadFile(filepath.Join(data, "hayauma.db"))
		if err != nil || string(kept) != string(garbage) {
			t.Error("the damaged file was changed")
		}
	})
	t.Run("a folder that somebody else owns", func(t *testing.T) {
		testkit.RequireRoot(t) // to run as somebody else
		dir := openFolder(t)
		config := filepath.Join(dir, "hayauma.toml")
		if err := os.WriteFile(config, []byte(fmt.Sprintf(quiet, "data", "")), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := serve(t, config)
		cmd.Path = copyOf(t, cmd.Path, dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if got := refusal(t, cmd); !strings.Contains(got, "data") || !strings.Contains(got, "permission denied") {
			t.Error(got)
		}
	})
	t.Run("check says the same without starting", func(t *testing.T) {
		if r := testkit.Hayauma(t, "", "check", "--config", write(t, "hostname = \"mx.c.test\"\nhostnam = 1\n")); r.Code != 1 || !strings.Contains(r.Stderr, "hostname") {
			t.Errorf("exit %d: %s", r.Code, r.Stderr)
		}
		if r := testkit.Hayauma(t, "", "check", "--config", n.ConfigFile); r.Code != 0 {
			t.Errorf("exit %d: %s", r.Code, r.Stderr)
		}
	})
}

// openFolder is a temporary folder that everybody may enter; t.TempDir is not.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hayauma")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the test is over either way
	return dir
}

// copyOf puts the binary into a folder where everybody may run it.
func copyOf(t *testing.T, path, dir string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "hayauma")
	if err := os.WriteFile(to, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestHealth(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	n.Submit("counted", "bob@a.test")
	curl := testkit.Require(t, "curl")
	for path, want := range map[string]string{"healthz": "", "readyz": "", "metrics": "hayauma_messages_accepted_total 1"} {
		if got := node.Program(t, node.Job{}, curl, "--silent", "--show-error", "--fail", "http://"+n.HTTP+"/"+path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
}
