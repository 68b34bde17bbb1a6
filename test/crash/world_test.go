package crash

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
)

// world is one server for the tests of full disks and damaged stores.
type world struct {
	*testkit.Server
	dir        string
	smtp, imap string
	sent       []string // Message-IDs that got 250, for user0
	tried      int      // messages begun, refused or not
}

// newWorld makes a stopped server in dir with its accounts.
func newWorld(t *testing.T, dir, minFree string) *world {
	t.Helper()
	ports := testkit.FreePorts(t, 3)
	w := &world{dir: dir, smtp: ports[0], imap: ports[2]}
	write(t, w.configFile(), fmt.Sprintf(config, ports[0], ports[1], ports[2], "info", minFree))
	addAccounts(t, w.configFile())
	return w
}

func (w *world) configFile() string { return filepath.Join(w.dir, "hayauma.toml") }

func (w *world) data(parts ...string) string {
	return filepath.Join(append([]string{w.dir, "data"}, parts...)...)
}

func (w *world) serve(t *testing.T) {
	t.Helper()
	if err := w.tryServe(t); err != nil {
		t.Fatal(err)
	}
}

func (w *world) tryServe(t *testing.T) (err error) {
	t.Helper()
	w.Server, err = testkit.LaunchServer(t, testkit.ServerOptions{Dir: w.dir, ConfigFile: w.configFile()})
	return err
}

func (w *world) stop(t *testing.T) {
	t.Helper()
	if err := w.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// send gives a message for user0 to the server over a session of its own.
func (w *world) send(t *testing.T, size int) (reply string, err error) {
	t.Helper()
	s, err := readback.DialSMTP(t.Context(), w.smtp)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	id := fmt.Sprintf("<w%d@proof.test>", w.tried)
	w.tried++
	reply, err = s.Send("somebody@elsewhere.test", []string{account(0)}, readback.Compose(id, "somebody@elsewhere.test", size))
	if err == nil {
		w.sent = append(w.sent, id)
	}
	return reply, err
}

func (w *world) mustSend(t *testing.T, size int) string {
	t.Helper()
	reply, err := w.send(t, size)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return reply
}

func (w *world) login(t *testing.T) *readback.IMAP {
	t.Helper()
	s, err := readback.DialIMAP(t.Context(), w.imap, "w", account(0), password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the server may have ended
	return s
}

// holds fails the test unless the INBOX of user0 holds exactly these messages,
// whole.
func (w *world) holds(t *testing.T, want []string) {
	t.Helper()
	messages, err := w.login(t).Read("INBOX")
	if err != nil {
		t.Fatalf("read INBOX: %v", err)
	}
	there := map[string]int{}
	for _, m := range messages {
		id, err := readback.Verify(m.Body)
		if err != nil {
			t.Errorf("uid %d: %v", m.UID, err)
		}
		there[id]++
	}
	for _, id := range want {
		if there[id] != 1 {
			t.Errorf("%s is there %d times", id, there[id])
		}
	}
	if len(messages) != len(want) {
		t.Errorf("%d messages, want %d", len(messages), len(want))
	}
}

// checkDeep runs the deep check and returns its exit code and what it said.
func (w *world) checkDeep(t *testing.T) (int, string) {
	t.Helper()
	r := testkit.Hayauma(t, "", "check", "--deep", "--config", w.configFile())
	return r.Code, r.Stdout + r.Stderr
}
