package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/move"
	"github.com/hayauma/hayauma/internal/testkit"
)

// config keeps what is in the queue where it is: mail for others is held, and
// what was tried once is not tried again while the test runs.
const config = `hostname = "mx.local.test"
data_dir = %q
[listen]
smtp = [%q]
imap = [%q]
pop3 = [%q]
submission = []
submissions = []
lmtp = []
imaps = []
pop3s = []
http = []
https = []
[dns]
resolver = %q
[auth]
allow_cleartext = true
[relay]
networks = ["127.0.0.0/8"]
[limits]
connections_per_address = 0
login_failures_per_address = 0
[outbound]
port = %s
[queue]
hold = true
retry = ["8h"]
delay_notice = "0s"
[log]
level = "warn"
[storage]
min_free = "1MB"
%s`

// longest is for one command that reads or copies everything.
const longest = time.Hour

// ports are those of one server. Installations share them: no two run at the
// same time.
type ports struct {
	smtp, imap, pop3 string

	dns, mx string // the resolver, and the port of the host for lateDomain, whose mailboxes are full
}

func newPorts(t *testing.T) ports {
	t.Helper()
	p := testkit.FreePorts(t, 3)
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Reply: "452 4.2.2 The mailbox is full"})
	_, port, err := net.SplitHostPort(mx.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return ports{p[0], p[1], p[2], testkit.StartDNS(t, lateDomain+". 60 A 127.0.0.1").Addr, port}
}

// installation is a data folder with its settings, served or not.
type installation struct {
	ports
	name, dir string
	server    *testkit.Server
}

// install writes the settings of an installation. engines are lines of [storage].
func install(t *testing.T, p ports, name, engines string) *installation {
	t.Helper()
	in := &installation{ports: p, name: name, dir: filepath.Join(t.TempDir(), name)}
	text := fmt.Sprintf(config, filepath.Join(in.dir, "data"), p.smtp, p.imap, p.pop3, p.dns, p.mx, engines)
	if err := os.Mkdir(in.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.configFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *installation) configFile() string { return filepath.Join(in.dir, "hayauma.toml") }

func (in *installation) serve(t *testing.T) {
	t.Helper()
	s, err := testkit.LaunchServer(t, testkit.ServerOptions{Dir: in.dir, ConfigFile: in.configFile()})
	if err != nil {
		t.Fatalf("serve %s: %v", in.name, err)
	}
	in.server = s
}

func (in *installation) stop(t *testing.T) {
	t.Helper()
	if err := in.server.Stop(); err != nil {
		t.Errorf("stop %s: %v", in.name, err)
	}
}

// run runs a command that must succeed and returns what it printed.
func (in *installation) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), append(args, "--config", in.configFile())...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: hayauma %s: %v\n%s%s", in.name, strings.Join(args, " "), errors.Join(err, ctx.Err()), out.String(), errs.String())
	}
	return out.String()
}

// refuses fails the test unless neither a server starts here nor a command
// changes anything, because the copy into it has not finished.
func (in *installation) refuses(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{{"serve"}, {"domain", "add", "early.test"}} {
		r := testkit.Hayauma(t, "", append(args, "--config", in.configFile())...)
		if r.Code == 0 || r.Stdout != "" || !strings.Contains(r.Stderr, move.ErrIncomplete.Error()) {
			t.Errorf("%s on half a copy: code %d, want the sentence %q\n%s%s", args[0], r.Code, move.ErrIncomplete, r.Stdout, r.Stderr)
		}
	}
}

// checkDeep reads everything that is stored and finds nothing wrong.
func (in *installation) checkDeep(t *testing.T) {
	t.Helper()
	began := time.Now()
	said := in.run(t, "", "check", "--deep")
	if strings.Contains(said, "fault:") || !strings.Contains(said, "every checksum and reference is right") {
		t.Errorf("%s: check --deep:\n%s", in.name, said)
	}
	t.Logf("%s: check --deep is clean, %v", in.name, since(began))
}

func since(began time.Time) time.Duration { return time.Since(began).Round(10 * time.Millisecond) }
