package smtp_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func later() time.Time { return time.Now().Add(time.Hour) }

func unbounded() smtp.Bounds { return smtp.Bounds{Octets: 1 << 40, Until: later()} }

// readContent reads one content and what is left behind it.
func readContent(input []byte, sizes ...int) (out, rest []byte, err error) {
	src := &chunks{data: input, sizes: sizes}
	r := smtp.NewReader(src)
	var b bytes.Buffer
	err = r.ReadContent(&b, smtp.NewBuffers(), unbounded())
	for range len(input) + 1 {
		line, lineErr := r.ReadLine()
		if lineErr != nil && !errors.Is(lineErr, smtp.ErrBareLF) && !errors.Is(lineErr, smtp.ErrLineTooLong) {
			break
		}
		if lineErr != nil {
			line = nil
		}
		rest = append(append(rest, line...), '|')
	}
	return b.Bytes(), rest, err
}

func TestReadContent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	tests := []struct{ name, in, want string }{
		{"an empty message", ".\r\n", ""},
		{"one line", "a\r\n.\r\n", "a\r\n"},
		{"a blank line", "\r\n.\r\n", "\r\n"},
		{"a stuffed dot", "..\r\n.\r\n", ".\r\n"},
		{"a stuffed line", "..a\r\n...\r\n.\r\n", ".a\r\n..\r\n"},
		{"a dot that was not stuffed", ".a\r\n.\r\n", "a\r\n"},
		{"dots within a line", "a.\r\n.\r\n", "a.\r\n"},
		{"NUL and high octets", "\x00\xff\r\n.\r\n", "\x00\xff\r\n"},
		{"a line over the buffer", long + "\r\n.\r\n", long + "\r\n"},
		{"a stuffed line over the buffer", "." + "." + long + "\r\n.\r\n", "." + long + "\r\n"},
		{"a dot where the buffer was full", long + ".\r\n.\r\n", long + ".\r\n"},
		{"many lines", strings.Repeat("abc\r\n..\r\n", 20_000) + ".\r\n", strings.Repeat("abc\r\n.\r\n", 20_000)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, sizes := range [][]int{nil, {1}, {2, 3}, {4095}, {32 << 10}, {32<<10 - 1, 1}} {
				out, rest, err := readContent([]byte(test.in+"QUIT\r\n"), sizes...)
				if err != nil || string(out) != test.want || string(rest) != "QUIT|" {
					t.Errorf("chunks %v: %d octets, rest %q, %v; want %d octets", sizes, len(out), rest, err, len(test.want))
				}
			}
		})
	}
}

// Nothing but CR LF . CR LF ends a content, and what looks like an end to
// some other host is refused, so that both never disagree about it.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	ends := []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r.\r\n", "\n.\r", "\r.\n",
		"\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\r.\r\n", "\n\r.\r\n", "\r\n\n.\r\n", "\r\n.\n\r\n", "\n\n.\n\n", "\r\r.\r\r",
		"\r\n.\r\x00\n", "\r\x00\n.\r\n", "\n\x00.\r\n",
	}
	for _, end := range ends {
		t.Run(strings.Trim(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(end, "\r", "CR "), "\n", "LF "), "\x00", "NUL "), " "), func(t *testing.T) {
			t.Parallel()
			in := "Subject: a\r\n\r\nfirst" + end + "MAIL FROM:<evil@example.test>\r\nsecond\r\n.\r\nNOOP\r\n"
			for _, sizes := range [][]int{nil, {1}, {3}, {7, 1}} {
				_, rest, err := readContent([]byte(in), sizes...)
				if !errors.Is(err, smtp.ErrBareNewline) {
					t.Errorf("chunks %v: error %v, want ErrBareNewline", sizes, err)
				}
				if string(rest) != "NOOP|" {
					t.Errorf("chunks %v: behind the content: %q", sizes, rest)
				}
			}
		})
	}
	for _, fine := range []string{"\r\n.\x00\r\n", "\r\n\x00.\r\n", "\r\n .\r\n", "\r\n. \r\n", "\r\n..\r\n", "\x00\r\n\x00.\r\n"} {
		in := "first" + fine + "second\r\n.\r\nNOOP\r\n"
		want := strings.NewReplacer("\r\n.", "\r\n").Replace("first" + fine + "second\r\n")
		out, rest, err := readContent([]byte(in), 1)
		if err != nil || string(out) != want || string(rest) != "NOOP|" {
			t.Errorf("%q: %q, rest %q, %v", in, out, rest, err)
		}
	}
}

func TestReadContentKeepsPipelinedCommands(t *testing.T) {
	t.Parallel()
	var in, want strings.Builder
	in.WriteString("a\r\n.\r\n")
	for range 5000 { // more than the small buffer holds
		in.WriteString("NOOP\r\n")
		want.WriteString("NOOP|")
	}
	for _, sizes := range [][]int{nil, {1}, {1000}} {
		if _, rest, err := readContent([]byte(in.String()), sizes...); err != nil || string(rest) != want.String() {
			t.Errorf("chunks %v: %d octets left, %v", sizes, len(rest), err)
		}
	}
}

func TestReadContentSeveralInOneSession(t *testing.T) {
	t.Parallel()
	one := "DATA\r\n" + strings.Repeat("line\r\n", 3000) + ".\r\n"
	r := smtp.NewReader(&chunks{data: []byte(strings.Repeat(one, 20)), sizes: []int{1400}})
	pool := smtp.NewBuffers()
	for i := range 20 {
		line, err := r.ReadLine()
		if err != nil || string(line) != "DATA" {
			t.Fatalf("message %d: %q, %v", i, line, err)
		}
		var b bytes.Buffer
		if err := r.ReadContent(&b, pool, unbounded()); err != nil || b.Len() != 3000*6 {
			t.Fatalf("message %d: %d octets, %v", i, b.Len(), err)
		}
	}
}

func TestReadContentEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "a", "a\r\n", "a\r\n.", "a\r\n.\r", strings.Repeat("x", 70_000)} {
		_, _, err := readContent([]byte(in))
		if lost, ok := errors.AsType[*smtp.ReadError](err); !ok || !errors.Is(lost, io.EOF) {
			t.Errorf("%d octets: %v, want a ReadError of EOF", len(in), err)
		}
	}
}

func TestReadContentReadsOnWhenTheSinkFails(t *testing.T) {
	t.Parallel()
	r := smtp.NewReader(strings.NewReader(strings.Repeat("line\r\n", 50_000) + ".\r\nQUIT\r\n"))
	if err := r.ReadContent(&failing{left: 1000}, smtp.NewBuffers(), unbounded()); !errors.Is(err, errSink) {
		t.Errorf("error %v, want that of the sink", err)
	}
	if line, err := r.ReadLine(); err != nil || string(line) != "QUIT" {
		t.Errorf("behind the content: %q, %v", line, err)
	}
}

// TestEndless: however a content was refused, what is read of it has an end, and says
// why it was.
func TestEndless(t *testing.T) {
	t.Parallel()
	const most, buffer = 100_000, 32 << 10
	octets, over := smtp.Bounds{Octets: most, Until: later()}, smtp.Bounds{Octets: 1 << 40}
	for _, test := range []struct {
		name, begins string
		left         int // of the sink
		bounds       smtp.Bounds
		why          error
	}{
		{"the sink fails, octets", "a\r\n", 1000, octets, errSink},
		{"the sink fails, time", "a\r\n", 1000, over, errSink},
		{"a bare newline, octets", "a\nb\r\n", 1 << 40, octets, smtp.ErrBareNewline},
		{"a bare newline, time", "a\nb\r\n", 1 << 40, over, smtp.ErrBareNewline},
		{"nothing is wrong with it", "a\r\n", 1 << 40, octets, nil},
	} {
		for _, line := range []string{"line\r\n", "x"} {
			src := &chunks{data: []byte(test.begins + strings.Repeat(line, 500_000))}
			all := len(src.data)
			err := smtp.NewReader(src).ReadContent(&failing{left: test.left}, smtp.NewBuffers(), test.bounds)
			_, endless := errors.AsType[*smtp.EndlessError](err)
			_, lost := errors.AsType[*smtp.ReadError](err)
			if endless != (test.why != nil) || lost == endless || !errors.Is(err, test.why) && endless {
				t.Errorf("%s: %v, want %v", test.name, err, test.why)
			}
			if read := all - len(src.data); read > most+buffer {
				t.Errorf("%s: %d octets were read", test.name, read)
			}
		}
	}
}

// TestReadContentAgainstReference compares with a byte state machine on inputs
// that are dense in CR, LF and dots.
func TestReadContentAgainstReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5321, 2033))
	words := []string{"\r", "\n", ".", "\r\n", "\r\n.", ".\r\n", "\r\n.\r\n", "a", "\x00", ""}
	for range 20_000 {
		var in bytes.Buffer
		for range random.IntN(14) {
			in.WriteString(words[random.IntN(len(words))])
		}
		compareContent(t, in.Bytes(), 1+random.IntN(5), 1+random.IntN(5))
	}
	// The same around the place where the buffer is full.
	for range 1000 {
		var in bytes.Buffer
		in.WriteString(strings.Repeat("y", 32<<10-random.IntN(12)))
		for range random.IntN(14) {
			in.WriteString(words[random.IntN(len(words))])
		}
		compareContent(t, in.Bytes(), 1+random.IntN(40<<10), 1+random.IntN(5))
	}
}

func compareContent(t *testing.T, in []byte, sizes ...int) {
	t.Helper()
	wantOut, used, bare, ended := refContent(in)
	src := &chunks{data: in, sizes: sizes}
	r := smtp.NewReader(src)
	var out bytes.Buffer
	err := r.ReadContent(&out, smtp.NewBuffers(), unbounded())
	if !ended {
		if _, ok := errors.AsType[*smtp.ReadError](err); !ok {
			t.Fatalf("%q in chunks %v: ended (%v), must not", in, sizes, err)
		}
		return
	}
	if left := len(src.data) + r.Buffered(); len(in)-left != used {
		t.Fatalf("%q in chunks %v: %d octets used, want %d", in, sizes, len(in)-left, used)
	}
	if bare != errors.Is(err, smtp.ErrBareNewline) || !bare && err != nil {
		t.Fatalf("%q in chunks %v: error %v, bare newline %v", in, sizes, err, bare)
	}
	if !bare && !bytes.Equal(out.Bytes(), wantOut) {
		t.Fatalf("%q in chunks %v: content %q, want %q", in, sizes, out.Bytes(), wantOut)
	}
}

func FuzzReadContent(f *testing.F) {
	f.Add([]byte("Subject: a\r\n\r\n..\r\n.\r\nQUIT\r\n"), uint16(1), uint16(7), uint16(0))
	f.Add([]byte("a\n.\r\nb\r\n.\r\n"), uint16(3), uint16(1), uint16(0))
	f.Add([]byte("\r.\r\n\r\n.\r\n"), uint16(2), uint16(2), uint16(32760))
	f.Fuzz(func(t *testing.T, in []byte, a, b, pad uint16) {
		if pad > 0 {
			in = append(bytes.Repeat([]byte("p"), int(pad)), in...)
		}
		compareContent(t, in, int(a), int(b))
	})
}
