package smtp_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestReadLine(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("x", smtp.MaxLine-2)
	tests := []struct {
		name, in, line string
		err            error
	}{
		{"a line", "NOOP\r\n", "NOOP", nil},
		{"an empty line", "\r\n", "", nil},
		{"LF alone", "NOOP\n", "NOOP\n", smtp.ErrBareLF},
		{"only a LF", "\n", "\n", smtp.ErrBareLF},
		{"CR within", "NO\rOP\r\n", "NO\rOP\r\n", smtp.ErrBareLF},
		{"two CRs", "NOOP\r\r\n", "NOOP\r\r\n", smtp.ErrBareLF},
		{"NUL within", "NO\x00OP\r\n", "NO\x00OP", nil},
		{"the longest line", fits + "\r\n", fits, nil},
		{"one octet too long", fits + "x\r\n", strings.Repeat("x", 32), smtp.ErrLineTooLong},
		{"far too long", strings.Repeat("x", 1<<20) + "\r\n", strings.Repeat("x", 32), smtp.ErrLineTooLong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, sizes := range [][]int{nil, {1}, {3, 5}, {smtp.MaxLine}} {
				r := smtp.NewReader(&chunks{data: []byte(test.in + "QUIT\r\n"), sizes: sizes})
				line, err := r.ReadLine()
				if !errors.Is(err, test.err) || string(line) != test.line {
					t.Errorf("chunks %v: %.20q, %v", sizes, line, err)
				}
				if line, err := r.ReadLine(); err != nil || string(line) != "QUIT" {
					t.Errorf("chunks %v: the next line: %.20q, %v", sizes, line, err)
				}
			}
		})
	}
}

// The limit of a line is the same for a reader that has just grown to hold
// what came behind a content.
func TestReadLineLimitBehindAContent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", smtp.MaxLine+100) + "\r\n"
	for _, sizes := range [][]int{nil, {100}} {
		_, rest, err := readContent([]byte(".\r\n"+long+"QUIT\r\n"), sizes...)
		if err != nil || string(rest) != "|QUIT|" {
			t.Errorf("chunks %v: %d octets left, %v", sizes, len(rest), err)
		}
	}
}

func TestReadLineAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "NOOP", "NOOP\r", strings.Repeat("x", 1<<20)} {
		if _, err := smtp.NewReader(strings.NewReader(in)).ReadLine(); !errors.Is(err, io.EOF) {
			t.Errorf("%.20q: %v, want EOF", in, err)
		}
	}
}

func TestReaderReset(t *testing.T) {
	t.Parallel()
	r := smtp.NewReader(strings.NewReader("STARTTLS\r\nMAIL FROM:<abc@b.test>\r\n"))
	if _, err := r.ReadLine(); err != nil {
		t.Fatal(err)
	}
	if !r.Pending() {
		t.Error("the line behind STARTTLS is not pending")
	}
	if dropped := r.Reset(strings.NewReader("EHLO a\r\n")); dropped != 24 || r.Pending() || r.Buffered() != 0 {
		t.Errorf("dropped %d octets, %d left", dropped, r.Buffered())
	}
	if line, err := r.ReadLine(); err != nil || string(line) != "EHLO a" {
		t.Errorf("the new source: %q, %v", line, err)
	}
}

func compareLines(t *testing.T, in []byte, sizes ...int) {
	t.Helper()
	r := smtp.NewReader(&chunks{data: in, sizes: sizes})
	rest := in
	for {
		var want []byte
		var wantErr error
		whole := rest
		want, rest, wantErr = refLine(rest, smtp.MaxLine, smtp.ErrLineTooLong, smtp.ErrBareLF)
		got, err := r.ReadLine()
		if errors.Is(wantErr, smtp.ErrLineTooLong) || errors.Is(wantErr, smtp.ErrBareLF) {
			want = whole[:min(32, len(whole)-len(rest))] // its beginning comes along
		}
		if !errors.Is(err, wantErr) || !bytes.Equal(got, want) {
			t.Fatalf("chunks %v: %.40q, %v; want %.40q, %v", sizes, got, err, want, wantErr)
		}
		if errors.Is(wantErr, io.EOF) {
			return
		}
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("EHLO a\r\nNOOP\nQUIT\r\r\n"), uint16(1), uint16(3), uint16(0))
	f.Add([]byte("\r\n\r\n"), uint16(4096), uint16(1), uint16(12286))
	f.Fuzz(func(t *testing.T, in []byte, a, b, pad uint16) {
		in = append(bytes.Repeat([]byte("p"), int(pad)), in...)
		compareLines(t, in, int(a), int(b))
	})
}

// room notes how much was asked for at a time, and always gives as much.
type room struct {
	line  string
	asked []int
}

func (r *room) Read(p []byte) (int, error) {
	r.asked = append(r.asked, len(p))
	return copy(p, strings.Repeat(r.line, len(p)/len(r.line)+1)), nil
}

// Who says little costs little memory; who pipelines gets more room, and less often a
// read for a few lines.
func TestReaderGivesRoomToWhoPipelines(t *testing.T) {
	t.Parallel()
	few := &room{line: "NOOP\r\n"}
	r := smtp.NewReader(few)
	for range 10 * 2048 / len(few.line) {
		if _, err := r.ReadLine(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(few.asked); few.asked[0] != 512 || few.asked[n-1] < 2048-len(few.line) || n > 12 {
		t.Errorf("was asked for %d", few.asked)
	}
}
