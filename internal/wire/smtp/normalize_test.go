package smtp_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// mended is what becomes of a content of an old host, said in another way: end is
// where CRLF.CRLF begins, or -1.
func mended(stream string) (content string, end int) {
	end = strings.Index("\r\n"+stream, "\r\n.\r\n")
	if end < 0 {
		return "", end
	}
	var out strings.Builder
	bare := false // the line before ended so
	for line := range strings.Lines(stream[:end]) {
		if stuffed := strings.HasPrefix(line, "."); stuffed && (!bare || line != ".\n" && line != ".\r\n") {
			line = line[1:]
		}
		bare = strings.HasSuffix(line, "\n") && !strings.HasSuffix(line, "\r\n")
		out.WriteString(line)
	}
	s := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(out.String())
	return s, end
}

// check reads a stream as one of an old host, in pieces of any size.
func check(t *testing.T, stream string, slowly bool) {
	t.Helper()
	src := strings.NewReader(stream)
	from := io.Reader(src)
	if slowly {
		from = iotest.OneByteReader(src)
	}
	want, end := mended(stream)
	r := smtp.NewReader(from)
	r.Normalize(true)
	var got bytes.Buffer
	err := r.ReadContent(&got, smtp.NewBuffers(), unbounded())
	if _, lost := errors.AsType[*smtp.ReadError](err); lost != (end < 0) || !lost && err != nil {
		t.Fatalf("%q: %v, want its end at %d", stream, err, end)
	}
	if end < 0 {
		return
	}
	if got.String() != want {
		t.Fatalf("%q became %q, want %q", stream, got.String(), want)
	}
	if behind := src.Len() + r.Buffered(); behind != len(stream)-end-3 {
		t.Fatalf("%q: %d octets stay behind it", stream, behind)
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\nb\n\r\n.\r\n":       "a\r\nb\r\n\r\n",
		"a\rb\r\r\n.\r\n":       "a\r\nb\r\n\r\n",
		"a\n.\nb\r\n.\r\n":      "a\r\n.\r\nb\r\n",
		"a\n.\r\nb\r\n.\r\n":    "a\r\n.\r\nb\r\n",
		"a\n..\nb\r\n.\r\n":     "a\r\n.\r\nb\r\n",
		"a\r\n.\nb\r\n.\r\n":    "a\r\n\r\nb\r\n",
		"a\r.\r\nb\r\n.\r\n":    "a\r\n.\r\nb\r\n",
		"a\n.x\r\n.\r\n":        "a\r\nx\r\n",
		".\r\n":                 "",
		"\n\r\n.\r\nQUIT\r\n":   "\r\n\r\n",
		"x\r\n..\r\ny\r\n.\r\n": "x\r\n.\r\ny\r\n",
	} {
		if got, _ := mended(in); got != want {
			t.Errorf("%q: the oracle says %q", in, got)
		}
		check(t, in, false)
		check(t, in, true)
	}
	// A line that is longer than the buffer, with what is held back at its border.
	for n := 16<<10 - 4; n < 16<<10+4; n++ {
		for _, end := range []string{"\r", "\n", "\r\n", "\r\r", "\n\r\n", "\r.\r\n", "\n..\r\n", ".\r\n"} {
			in := strings.Repeat("x", n) + end + "y\r\n.\r\n"
			check(t, in, false)
		}
	}
	for range 200_000 {
		b := make([]byte, rand.IntN(14))
		for i := range b {
			b[i] = "\r\n.a"[rand.IntN(4)]
		}
		in := string(b) + "\r\n.\r\n" + string(b)
		check(t, in, false)
	}
}

// TestNormalizeChunks: the octets of chunks, cut anywhere.
func TestNormalizeChunks(t *testing.T) {
	t.Parallel()
	mend := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")
	for range 50_000 {
		b := make([]byte, rand.IntN(14))
		for i := range b {
			b[i] = "\r\n.a"[rand.IntN(4)]
		}
		want := mend.Replace(string(b))
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		r := smtp.NewReader(bytes.NewReader(b))
		r.Normalize(true)
		var got bytes.Buffer
		c := smtp.Chunks{Until: later()}
		for left := len(b); ; {
			n := rand.IntN(left + 1)
			last := n == left
			if err := r.ReadChunk(&c, smtp.Chunk{Size: int64(n), Last: last}, &got, smtp.NewBuffers()); err != nil {
				t.Fatalf("%q: %v", b, err)
			}
			if last {
				break
			}
			left -= n
		}
		if got.String() != want {
			t.Fatalf("%q became %q, want %q", b, got.String(), want)
		}
	}
}

func TestNormalizeCommands(t *testing.T) {
	t.Parallel()
	r := smtp.NewReader(strings.NewReader("NOOP\nRSET\r\nBAD\rX\nBAD\rX\r\n"))
	r.Normalize(true)
	for _, want := range []string{"NOOP", "RSET"} {
		if line, err := r.ReadLine(); err != nil || string(line) != want {
			t.Errorf("%q, %v", line, err)
		}
	}
	for range 2 {
		if line, err := r.ReadLine(); !errors.Is(err, smtp.ErrBareLF) {
			t.Errorf("%q, %v", line, err)
		}
	}
}
