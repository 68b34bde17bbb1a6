package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/control"
)

// letterTo puts a message to some recipients into the queue and returns its id.
func (s *shell) letterTo(to ...string) string {
	s.t.Helper()
	out := s.do("Subject: a\n\n.\n..\nFrom\n", append([]string{"send", "-i", "-v", "-f", "alice@one.test"}, to...)...)
	return strings.Fields(out)[1]
}

// files are the names in a folder.
func files(t *testing.T, folder string) string {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestExport(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	first, second := s.letterTo("x@a.test", "y@b.test"), s.letterTo("x@a.test")
	folder := filepath.Join(t.TempDir(), "out")
	if got := s.do("", "queue", "export", "--domain", "a.test", "--dry-run"); !strings.HasPrefix(got, "2 messages for 2 recipients, ") || !strings.HasSuffix(got, "would be exported; nothing was written\n") {
		t.Errorf("dry run: %q", got)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("a dry run made the folder")
	}
	if got := s.do("", "queue", "export", "--domain", "a.test", "--to", folder); !strings.HasPrefix(got, "2 messages for 2 recipients, ") || !strings.HasSuffix(got, ", exported to "+folder+"\n") {
		t.Errorf("export: %q", got)
	}
	if got, want := files(t, folder), first+".eml "+first+".json "+second+".eml "+second+".json"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
	for name := range strings.FieldsSeq(files(t, folder)) {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
	}
	// What is there stays as it is, and nothing is added beside it.
	eml := filepath.Join(folder, first+".eml")
	if err := os.WriteFile(eml, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails("is there already, and is left as it is", "", "queue", "export", "--all", "--to", folder)
	if err := os.Remove(filepath.Join(folder, first+".json")); err != nil {
		t.Fatal(err)
	}
	s.fails("is there already, and is left as it is", "", "queue", "export", first, "--to", folder)
	if text, err := os.ReadFile(eml); string(text) != "mine" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if got, want := files(t, folder), first+".eml "+second+".eml "+second+".json"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	// One to standard output.
	if got := s.do("", "queue", "export", second, "--to", "-"); !strings.HasPrefix(got, "Received: ") || !strings.HasSuffix(got, "Subject: a\r\n\r\n.\r\n..\r\nFrom\r\n") {
		t.Errorf("message %q", got)
	}
	s.fails("these are several messages", "", "queue", "export", "--all", "--to", "-")
	s.fails("no such message", "", "queue", "export", "--domain", "c.test", "--to", "-")
	s.fails("no such message", "", "queue", "export", "0000000000001", "--to", folder)
	s.fails("no such file", "", "queue", "export", "--all", "--to", filepath.Join(folder, "not", "there"))
	for _, args := range [][]string{{"--to", folder}, {"--all"}, {"--all", "--domain", "a.test", "--to", folder}} {
		if got := s.try("", append([]string{"queue", "export"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

// TestExportedIsSentAgain: export, delete, send: the same envelope and message.
func TestExportedIsSentAgain(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	folder := t.TempDir()
	id := s.letterTo("x@a.test", "y@b.test")
	s.do("", "queue", "export", id, "--to", folder)
	s.do("", "queue", "delete", id)
	read := func(id, end string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(folder, id+end))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	eml, envelope := read(id, ".eml"), filepath.Join(folder, id+".json")
	out := s.do(string(eml), "send", "-v", "--envelope", envelope)
	if !strings.HasSuffix(out, " taken for 2 recipients\n") {
		t.Errorf("send: %q", out)
	}
	again := strings.Fields(out)[1]
	s.do("", "queue", "export", "--all", "--to", folder)
	if text := string(read(again, ".eml")); !strings.HasSuffix(text, string(eml)) || strings.Count(text, "Received: ") != 2 {
		t.Errorf("%q became %q", eml, text)
	}
	var was, is control.Exported
	for id, into := range map[string]*control.Exported{id: &was, again: &is} {
		if err := json.Unmarshal(read(id, ".json"), into); err != nil {
			t.Fatal(err)
		}
	}
	if is.From != "alice@one.test" || is.From != was.From || len(is.Recipients) != 2 || is.Recipients[1].Address != was.Recipients[1].Address {
		t.Errorf("%+v became %+v", was, is)
	}
	for _, args := range [][]string{{"-t"}, {"x@a.test"}, {"-f", "a@b.test"}} {
		if got := s.try("", append([]string{"send", "--envelope", envelope}, args...)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
	s.fails("is no envelope", "", "send", "--envelope", filepath.Join(folder, id+".eml"))
	s.fails("no such file", "", "send", "--envelope=nowhere")
}

// TestExportOfWhatCannotBeRead: the others are written, and the command fails.
func TestExportOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	lost, kept := s.letterTo("x@a.test"), s.letterTo("y@b.test")
	damage(t, s, lost)
	folder := t.TempDir()
	got := s.try("", "queue", "export", "--all", "--to", folder)
	if got.code != exitFailed || !strings.Contains(got.stderr, "hayauma: "+lost+": ") || !strings.Contains(got.stderr, "1 message could not be read") {
		t.Errorf("%+v", got)
	}
	if got, want := files(t, folder), kept+".eml "+kept+".json"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}

// TestExportEndsWithItsServer: that nobody answers is no fault of each message that is left.
func TestExportEndsWithItsServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/queue/export", func(w http.ResponseWriter, _ *http.Request) {
		for _, id := range []string{"0000000000001", "0000000000002"} {
			fmt.Fprintf(w, `{"message":{"message":%q}}`, id)
		}
		_, _ = w.Write([]byte(`{"end":true}`))
	})
	mux.HandleFunc("POST /v1/queue/content", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = srv.Close() })
	folder, out := t.TempDir(), new(strings.Builder)
	x := export{cli: &cli{stdout: out, stderr: out}, client: control.Dial(path), folder: folder}
	err = x.write(t.Context(), control.QueueFilter{All: true})
	if err == nil || !strings.HasPrefix(err.Error(), "exported only 0 messages for 0 recipients, ") || x.failed != 0 {
		t.Errorf("%v, and %d messages are said to be damaged", err, x.failed)
	}
	if got := files(t, folder); got != "" || out.Len() > 0 {
		t.Errorf("files %s, and it said %q", got, out)
	}
}

// damage changes an octet of a message where it is stored.
func damage(t *testing.T, s *shell, id string) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(filepath.Dir(s.config), "data", "bodies", "packs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range packs {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if at := strings.Index(string(text), "id "+id); at >= 0 {
			text[at] = 'I'
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s is in none of %v", id, packs)
}
