package smtp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestParseBdat(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]smtp.Chunk{
		"0": {}, "0 LAST": {Last: true}, "86 last": {Size: 86, Last: true}, "007": {Size: 7},
		"9223372036854775807": {Size: 1<<63 - 1}, "5  LAST": {Size: 5, Last: true},
	} {
		if got, err := smtp.ParseBdat(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", " ", "LAST", "-1", "+1", "1x", "1 2", "1 LAST LAST", "0x10", "1,5", "9223372036854775808", "1 LASTS", "1 LA\u017fT", "99999999999999999999"} {
		if got, err := smtp.ParseBdat(in); !errors.Is(err, smtp.ErrArgument) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}

// inChunks sends a content in chunks that are cut at random, in segments of some
// sizes, and returns what was read and the line behind it.
func inChunks(t *testing.T, content string, r *rand.Rand, sizes ...int) (string, error) {
	t.Helper()
	var cuts []smtp.Chunk
	for left := len(content); ; {
		n := r.IntN(left + 1)
		if r.IntN(4) == 0 {
			n = left
		}
		left -= n
		cuts = append(cuts, smtp.Chunk{Size: int64(n), Last: left == 0 && r.IntN(2) == 0})
		if cuts[len(cuts)-1].Last {
			break
		}
	}
	in := smtp.NewReader(&chunks{data: []byte(content + "NOOP\r\n"), sizes: sizes})
	c := smtp.Chunks{Until: later()}
	var out bytes.Buffer
	var first error
	for _, cut := range cuts {
		if err := in.ReadChunk(&c, cut, &out, smtp.NewBuffers()); first == nil {
			first = err
		}
	}
	if line, err := in.ReadLine(); err != nil || string(line) != "NOOP" {
		t.Errorf("behind %q: %q, %v", content, line, err)
	}
	if c.Size() != int64(len(content)) {
		t.Errorf("size %d of %q", c.Size(), content)
	}
	return out.String(), first
}

// TestReadChunk: wherever a content is cut, what counts is the whole.
func TestReadChunk(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "bc", "\r\n", "\r\n", "\r\n.\r\n", ".", "\x00", "\xff", strings.Repeat("x", 40_000)}
	for range 2000 {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		content := b.String()
		want := content
		if content != "" && !strings.HasSuffix(content, "\r\n") {
			want += "\r\n"
		}
		got, err := inChunks(t, content, r, [][]int{nil, {1}, {3, 1}, {4096}}[r.IntN(4)]...)
		if err != nil || got != want {
			t.Fatalf("%.80q: %.80q, %v", content, got, err)
		}
	}
}

// TestBareNewlinesInChunks: a CR or LF alone is refused, also where chunks or
// segments are cut beside it.
func TestBareNewlinesInChunks(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, bad := range []string{"\n", "\r", "\n.\n", "\r.\r\n", "\r\r\n", "\n\r", "\r\n\r", "\r\n\n", "\r\x00\n", "\n.\r\n"} {
		for _, around := range []string{"%s", "a%s", "a%sb", "a\r\n%sb\r\n", "a%sb\r\n"} {
			content := fmt.Sprintf(around, bad)
			for range 50 {
				if _, err := inChunks(t, content, r, [][]int{nil, {1}, {2, 1}}[r.IntN(3)]...); !errors.Is(err, smtp.ErrBareNewline) {
					t.Fatalf("%q: %v", content, err)
				}
			}
		}
	}
}

type sadWriter struct{ err error }

func (f sadWriter) Write([]byte) (int, error) { return 0, f.err }

func TestChunkFailures(t *testing.T) {
	t.Parallel()
	sad := errors.New("sad")
	in := smtp.NewReader(&chunks{data: []byte("abcdefNOOP\r\nx\n")})
	c := smtp.Chunks{Until: later()}
	if err := in.ReadChunk(&c, smtp.Chunk{Size: 6, Last: true}, sadWriter{sad}, smtp.NewBuffers()); !errors.Is(err, sad) {
		t.Errorf("an error of the store gives %v", err)
	}
	if line, err := in.ReadLine(); err != nil || string(line) != "NOOP" {
		t.Errorf("behind it: %q, %v", line, err)
	}
	if err := in.Skip(2, later(), smtp.NewBuffers()); err != nil {
		t.Error(err)
	}
	for name, dst := range map[string]io.Writer{"the store": sadWriter{sad}, "a bare newline": io.Discard} {
		in := smtp.NewReader(&chunks{data: []byte("a\n" + strings.Repeat("x", 100_000))})
		err := in.ReadChunk(&smtp.Chunks{}, smtp.Chunk{Size: 100_000}, dst, smtp.NewBuffers())
		if _, endless := errors.AsType[*smtp.EndlessError](err); !endless {
			t.Errorf("%s refuses a chunk, whose time is over: %v", name, err)
		}
		in = smtp.NewReader(&chunks{data: []byte("a\n" + strings.Repeat("x", 100_000))})
		err = in.Skip(100_000, time.Now(), smtp.NewBuffers())
		if _, endless := errors.AsType[*smtp.EndlessError](err); !endless {
			t.Errorf("one of a refused command, whose time is over: %v", err)
		}
	}
	_, lost := errors.AsType[*smtp.ReadError](in.Skip(1, later(), smtp.NewBuffers()))
	if !lost {
		t.Error("the end of the connection is no ReadError")
	}
}
