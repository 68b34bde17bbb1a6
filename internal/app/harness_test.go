package app_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long what has to happen may take.
const patience = 30 * time.Second

// home is a configuration file and the folder that it names.
type home struct {
	t                     *testing.T
	dir, file, data       string
	smtp, imap, pop, http string // addresses
	storage               string // lines of [storage]
}

func newHome(t *testing.T) *home {
	t.Helper()
	// Not t.TempDir: with a test's name in it the path of the admin socket
	// becomes longer than sockets allow.
	dir, err := os.MkdirTemp("", "hy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	ports := testkit.FreePorts(t, 4)
	h := &home{t: t, dir: dir, file: filepath.Join(dir, "hayauma.toml"), data: filepath.Join(dir, "data"),
		smtp: ports[0], imap: ports[1], pop: ports[2], http: ports[3]}
	h.storage = testkit.StorageKeys(t)
	h.write("")
	return h
}

// newEmbedded is newHome for what only the embedded engines can show.
func newEmbedded(t *testing.T) *home {
	t.Helper()
	h := newHome(t)
	h.storage = ""
	h.write("")
	return h
}

// text is the file with more sections.
func (h *home) text(more string) string {
	return fmt.Sprintf(`hostname = "mx.hayauma.test"
data_dir = %q
[listen]
smtp = [%q]
submission = []
submissions = []
imap = [%q]
imaps = []
pop3 = [%q]
pop3s = []
http = [%q]
[dns]
resolver = "127.0.0.1:9"
%s
`, h.data, h.smtp, h.imap, h.pop, h.http, h.withStorage(more))
}

// withStorage puts the engines of this run of the tests into the sections.
func (h *home) withStorage(more string) string {
	if !strings.Contains(more, "[storage]") {
		more += "\n[storage]"
	}
	return strings.Replace(more, "[storage]", "[storage]\n"+h.storage, 1)
}

func (h *home) write(more string) { h.put(h.text(more)) }

func (h *home) put(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) config() *config.Config {
	h.t.Helper()
	cfg, err := config.Load(h.file)
	if err != nil {
		h.t.Fatal(err)
	}
	return cfg
}

// server is a run in this process.
type server struct {
	*home
	log    *journal
	reload chan struct{}
	cancel context.CancelFunc
	ended  chan error
}

// begin starts a run and does not wait for it.
func (h *home) begin(ready func()) *server {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	s := &server{home: h, log: &journal{}, reload: make(chan struct{}), cancel: cancel, ended: make(chan error, 1)}
	cfg := h.config()
	go func() {
		s.ended <- app.Run(ctx, app.Options{
			Config: cfg, ConfigPath: h.file, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
			Version: "1.2.3-test", Ready: ready, Reload: s.reload,
		})
	}()
	h.t.Cleanup(func() {
		cancel()
		if h.t.Failed() {
			h.t.Log(s.log.String())
		}
	})
	return s
}

// serve starts a run that has to become ready; it ends with the test at last.
func (h *home) serve() *server {
	h.t.Helper()
	ready := make(chan struct{})
	s := h.begin(func() { close(ready) })
	select {
	case <-ready:
	case err := <-s.ended:
		h.t.Fatalf("the run ended before it was ready: %v\n%s", err, s.log)
	case <-time.After(patience):
		h.t.Fatalf("not ready\n%s", s.log)
	}
	h.t.Cleanup(s.stop)
	return s
}

// stop ends a run as SIGTERM does. It may be called twice.
func (s *server) stop() {
	s.t.Helper()
	s.cancel()
	if s.ended == nil {
		return
	}
	if err := s.end(); err != nil {
		s.t.Errorf("the run ended with: %v", err)
	}
	s.ended = nil
}

// end waits for the end of a run and returns its error.
func (s *server) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		s.t.Fatalf("the run does not end\n%s", s.log)
		return nil
	}
}

// reloaded asks for the settings to be read again and waits for the log line
// that tells how that went.
func (s *server) reloaded(line string) {
	s.t.Helper()
	seen := strings.Count(s.log.String(), line)
	s.reload <- struct{}{}
	testkit.Eventually(s.t, patience, line, func() bool { return strings.Count(s.log.String(), line) > seen })
}

const (
	reloadDone   = `msg="settings reloaded"`
	reloadFailed = `msg="settings not reloaded, the old ones stay"`
)

// fails starts a run that must not become ready and returns its error, which
// has to be one sentence.
func (h *home) fails() string {
	h.t.Helper()
	s := h.begin(func() { h.t.Error("it became ready") })
	err := s.end()
	if err == nil {
		h.t.Fatal("the run ended without an error")
	}
	if strings.Contains(err.Error(), "\n") {
		h.t.Errorf("more than a sentence: %q", err)
	}
	return err.Error()
}

// journal is a log that many write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// session is a client's side of a line protocol.
type session struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func (h *home) dial(addr string) *session {
	h.t.Helper()
	d := net.Dialer{Timeout: patience}
	c, err := d.DialContext(h.t.Context(), "tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() }) // the server may have closed it
	return &session{t: h.t, c: c, r: bufio.NewReader(c)}
}

// line reads a line that has to begin like this.
func (s *session) line(prefix string) string {
	s.t.Helper()
	text, err := s.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(text, prefix) {
		s.t.Fatalf("got %q, %v, want %q", text, err, prefix)
	}
	return strings.TrimSpace(text)
}

func (s *session) say(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.c, line+"\r\n"); err != nil {
		s.t.Fatal(err)
	}
}

// over checks that the server closes, having said nothing more.
func (s *session) over() {
	s.t.Helper()
	if text, err := s.r.ReadString('\n'); !errors.Is(err, io.EOF) || text != "" {
		s.t.Errorf("instead of the end: %q, %v", text, err)
	}
}

// ehlo greets and returns the line SIZE of the answer.
func (s *session) ehlo() (size string) {
	s.t.Helper()
	s.line("220 ")
	s.say("EHLO client.test")
	return s.size()
}

func (s *session) size() (size string) {
	s.t.Helper()
	for {
		line := s.line("250")
		if rest, ok := strings.CutPrefix(line[4:], "SIZE "); ok {
			size = rest
		}
		if line[3] == ' ' {
			return size
		}
	}
}

// get asks the HTTP service.
func (h *home) get(path string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+h.http+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// refusing tells whether nobody listens at an address.
func refusing(t *testing.T, addr string) bool {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err == nil {
		_ = c.Close() // only its existence counts
	}
	return err != nil
}
