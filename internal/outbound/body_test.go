package outbound

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// stuffed is what leaves us for a message that arrives in parts.
func stuffed(t testing.TB, parts [][]byte, room int) []byte {
	var out bytes.Buffer
	d := &stuffer{buf: make([]byte, 0, room), start: true, dots: true, flush: func(b []byte) error {
		_, err := out.Write(b)
		return err
	}}
	for _, p := range parts {
		if err := d.write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.finish(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestStuffing(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                   ".\r\n",
		"a\r\n":              "a\r\n.\r\n",
		"a":                  "a\r\n.\r\n",
		".\r\n":              "..\r\n.\r\n",
		"a\r\n.b\r\n..c\r\n": "a\r\n..b\r\n...c\r\n.\r\n",
		"a\n.\nb":            "a\r\n..\r\nb\r\n.\r\n",
		"a\rb":               "a\r\nb\r\n.\r\n",
		"a\r":                "a\r\n.\r\n",
		"a\r\r\nb":           "a\r\n\r\nb\r\n.\r\n",
		"a\r.\r\n":           "a\r\n..\r\n.\r\n",
		"\r\n\r\n":           "\r\n\r\n.\r\n",
	} {
		if got := string(stuffed(t, [][]byte{[]byte(in)}, 64)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzStuffing cuts a message anywhere and reads it back as a server does: no
// content can end DATA early, and lines end in CRLF alone.
func FuzzStuffing(f *testing.F) {
	for _, s := range []string{"", "a\r\n.\r\nb", "\r\n.\r\n", "a\n.\nb\r", ".", "\r\r\n.."} {
		f.Add(s, 1, 3)
	}
	f.Fuzz(func(t *testing.T, s string, cut, room int) {
		cut = min(max(cut, 0), len(s))
		wire := stuffed(t, [][]byte{[]byte(s[:cut]), []byte(s[cut:])}, min(max(room, 2), 100))
		var got bytes.Buffer
		r := smtp.NewReader(io.MultiReader(bytes.NewReader(wire), strings.NewReader("NEXT\r\n")))
		if err := r.ReadContent(&got, smtp.NewBuffers(), smtp.Bounds{Octets: 1 << 40}); err != nil {
			t.Fatalf("%q: %v", wire, err)
		}
		line, err := r.ReadLine()
		if err != nil || string(line) != "NEXT" {
			t.Fatalf("%q ends early: %q, %v", wire, line, err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"), "\n", "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got.String() != want {
			t.Fatalf("%q became %q", s, got.String())
		}
	})
}
