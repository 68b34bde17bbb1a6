package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/testkit"
)

const config = `hostname = "mx.local.test"
data_dir = "data"
[listen]
smtp = [%q]
lmtp = [%q]
imap = [%q]
submission = []
submissions = []
imaps = []
pop3 = []
pop3s = []
http = []
[auth]
allow_cleartext = true
[relay]
networks = ["127.0.0.0/8"]
[limits]
connections_per_address = 0
login_failures_per_address = 0
[queue]
hold = true
[log]
level = %q
[storage]
min_free = %q
`

// defaultKills is for `make test`; `make crash KILLS=50` sets HAYAUMA_KILLS.
const defaultKills = 10

// TestCrash kills the real server at random moments under load. Every message that
// was confirmed is in its mailboxes or in the queue exactly once afterwards, and
// no message is torn or there twice.
func TestCrash(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, "HAYAUMA_KILLS", defaultKills), uint64(number(t, "HAYAUMA_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d (HAYAUMA_SEED repeats the moments of the kills)", seed)
	rng := rand.New(rand.NewPCG(seed, 1))

	ports := testkit.FreePorts(t, 3)
	dir := t.TempDir()
	text := fmt.Sprintf(config, ports[0], ports[1], ports[2], "info", "1MB")
	options := testkit.ServerOptions{Dir: dir, ConfigFile: filepath.Join(dir, "hayauma.toml")}
	write(t, options.ConfigFile, text)
	addAccounts(t, options.ConfigFile)

	s, err := testkit.LaunchServer(t, options)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{smtp: ports[0], lmtp: ports[1], imap: ports[2]}
	g.start(t)
	for range kills {
		moment := time.NewTimer(time.Duration(150+rng.IntN(1100)) * time.Millisecond)
		select {
		case <-moment.C:
		case <-s.Ended():
			t.Fatal("the server ended by itself")
		}
		s.Kill()
		if s = s.Again(); t.Failed() {
			break
		}
	}
	got := g.end(t)
	recovered := strings.Contains(s.Log(), "body store recovered")
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if !recovered {
		t.Error("the log has no line about the recovery")
	}
	if r := s.Hayauma("", "check", "--deep"); r.Code != 0 {
		t.Errorf("check --deep: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	s = s.Again()
	f := look(t, s, control.Dial(control.SocketPath(filepath.Join(dir, "data"))), ports[2], got.sizes)
	f.compare(t, got)
	t.Logf("crash: %d kills, %d messages confirmed, %d appended, %d copies and %d queued recipients found",
		kills, len(got.messages), len(got.appended), f.copies, f.queued)
}

func number(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// addAccounts works on the stopped server.
func addAccounts(t *testing.T, configFile string) {
	t.Helper()
	run := func(stdin string, args ...string) {
		t.Helper()
		if r := testkit.Hayauma(t, stdin, append(args, "--config", configFile)...); r.Code != 0 {
			t.Fatalf("%v: %s", args, r.Stderr)
		}
	}
	run("", "domain", "add", localDomain)
	for n := range accounts {
		run(password+"\n", "account", "add", account(n), "--password-stdin")
	}
	run("", "alias", "add", group, account(0), account(1), outside)
}
