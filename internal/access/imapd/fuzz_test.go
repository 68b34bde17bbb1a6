package imapd_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/access/imapd"
)

// FuzzSession sends anything, to a stranger's session or to one with a mailbox
// selected, and then hangs up. The server must end, in time; it must have said
// whole lines, tag each reply to a line that looks like a command, and must not
// have failed inside.
func FuzzSession(f *testing.F) {
	seed(f)
	w := newWorld(f)
	w.change(func(s *imapd.Settings) { s.MessageSize = 1 << 10 })
	w.keep("INBOX", []byte("Subject: a\r\n\r\nb\r\n"), 0)
	w.keep("INBOX", sample(f, "1_nested"), 0)
	f.Fuzz(func(t *testing.T, inside bool, input []byte) {
		if len(input) > 64<<10 {
			t.Skip("longer than it has to be")
		}
		conn, err := w.dial("")
		if err != nil {
			t.Fatal(err)
		}
		start := ""
		if inside {
			start = "l LOGIN " + login + " \"" + password + "\"\r\ns EXAMINE INBOX\r\n"
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = conn.Write(append([]byte(start), input...)) // the server may have hung up
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		said, err := io.ReadAll(conn)
		_ = conn.Close() // all was read
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the server hangs after %q", tail(said))
		}
		if !bytes.HasPrefix(said, []byte("* OK ")) || !bytes.HasSuffix(said, []byte("\r\n")) {
			t.Fatalf("said %q", tail(said))
		}
		if bytes.Contains(said, []byte("SERVERBUG")) || bytes.Contains(said, []byte("UNAVAILABLE] This")) {
			t.Fatalf("failed inside: %q\n%s", tail(said), w.log.String())
		}
		if line, rest, ok := bytes.Cut(input, []byte("\r\n")); ok && !inside && len(rest) == 0 && plain(line) {
			tag, _, _ := bytes.Cut(line, []byte(" "))
			if !bytes.Contains(said, []byte("\r\n"+string(tag)+" ")) {
				t.Fatalf("%q got no reply: %q", line, said)
			}
		}
	})
}

// plain tells whether a line is surely a command without a literal.
func plain(line []byte) bool {
	tag, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(tag) == 0 || len(tag) > 20 || len(rest) == 0 || bytes.ContainsAny(rest, "{\n\r") {
		return false
	}
	for _, c := range []byte(string(tag) + string(rest[:1])) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	verb := strings.ToUpper(string(rest))
	return !strings.HasPrefix(verb, "IDLE") && !strings.HasPrefix(verb, "AUTHENTICATE") && !strings.HasPrefix(verb, "STARTTLS")
}

func tail(b []byte) []byte { return b[max(0, len(b)-500):] }

// seed adds what clients say in the transcripts.
func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var said strings.Builder
		for line := range strings.Lines(string(text)) {
			if sent, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "C: "); ok {
				said.WriteString(sent + "\r\n")
			}
		}
		f.Add(false, []byte(said.String()))
		f.Add(true, []byte(said.String()))
	}
	f.Add(true, []byte("a IDLE\r\nDO"))
	f.Add(true, []byte("a APPEND INBOX {5}\r\nab"))
	f.Add(true, []byte("a FETCH 1:* (FULL BODY[] BODY[2.HEADER]<1.2>)\r\nb SEARCH OR NOT TEXT a BODY b\r\n"))
	f.Add(false, []byte("a NOOP\r\n"))
}
