package pop3

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want Command
		err  error
	}{
		{"QUIT", Command{"QUIT", ""}, nil},
		{"quit", Command{"QUIT", ""}, nil},
		{"TOP 1 10", Command{"TOP", "1 10"}, nil},
		{"PASS  two spaces ", Command{"PASS", " two spaces "}, nil},
		{"PASS pässwörd", Command{"PASS", "pässwörd"}, nil},
		{"", Command{}, ErrNotCommand},
		{" QUIT", Command{}, ErrNotCommand},
		{"QUITS", Command{}, ErrNotCommand},
		{"QU", Command{}, ErrNotCommand},
		{"QU1T", Command{}, ErrNotCommand},
		{"QUIT\t", Command{}, ErrNotCommand},
		{"USER a\x00b", Command{}, ErrNotCommand},
		{"USER a\x7fb", Command{}, ErrNotCommand},
		{"[{{@", Command{}, ErrNotCommand},
	} {
		if got, err := ParseCommand([]byte(c.in)); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q: %+v, %v", c.in, got, err)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		"1": 1, "007": 7, "4294967296": math.MaxInt32, "99999999999999999999": math.MaxInt32,
		"": 0, "0": 0, "-1": 0, "+1": 0, "1 ": 0, " 1": 0, "1x": 0, "١": 0, "999999999999999999999": 0,
	} {
		if got, err := ParseNumber(in); (err == nil) != (want > 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for in, want := range map[string][2]int{
		"1 0": {1, 0}, "2 10": {2, 10}, "1": {}, "0 1": {}, "1 -1": {}, "1 2 3": {}, "1  2": {}, "": {},
	} {
		m, n, err := ParseTop(in)
		if (err == nil) != (want[0] > 0) || [2]int{m, n} != want {
			t.Errorf("TOP %q: %d %d %v", in, m, n, err)
		}
	}
}

func TestParseAuth(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Auth{
		"":                  {},
		"plain":             {Mechanism: "PLAIN"},
		"PLAIN =":           {Mechanism: "PLAIN", Initial: "="},
		"SCRAM-SHA-256 abc": {Mechanism: "SCRAM-SHA-256", Initial: "abc"},
	} {
		if got, err := ParseAuth(in); got != want || err != nil {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{" ", "PLAIN ", "PLAIN a b", "PL!IN", "PLAIN  a", strings.Repeat("A", 21), " PLAIN"} {
		if got, err := ParseAuth(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	const limit = 1000
	long := strings.Repeat("x", limit-2)
	in := "one\r\ntwo\n\r\n" + long + "\r\n" + long + "x\r\n" + strings.Repeat("y", 5*limit) + "\r\nlast\r\nrest"
	for name, src := range map[string]io.Reader{
		"in one piece":    strings.NewReader(in),
		"octet by octet":  iotest.OneByteReader(strings.NewReader(in)),
		"with late error": iotest.DataErrReader(strings.NewReader(in)),
	} {
		r := NewReader(src)
		for i, want := range []string{"one", "two", "", long, "!", "!", "last"} {
			line, err := r.ReadLine(limit)
			if want == "!" {
				if !errors.Is(err, ErrLineTooLong) {
					t.Errorf("%s: line %d: %q, %v", name, i, line, err)
				}
			} else if err != nil || string(line) != want {
				t.Errorf("%s: line %d: %q, %v", name, i, line, err)
			}
		}
		if line, err := r.ReadLine(limit); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %q, %v", name, line, err)
		}
	}
}

func TestReaderForgetsWhatIsBehindSTLS(t *testing.T) {
	t.Parallel()
	r := NewReader(strings.NewReader("STLS\r\nUSER evil\r\n"))
	if line, err := r.ReadLine(MaxCommand); err != nil || string(line) != "STLS" || !r.Pending() {
		t.Fatalf("%q, %v", line, err)
	}
	if n := r.Reset(strings.NewReader("CAPA\r\n")); n != len("USER evil\r\n") || r.Pending() {
		t.Errorf("dropped %d", n)
	}
	if line, err := r.ReadLine(MaxCommand); err != nil || string(line) != "CAPA" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestReaderShrinksAgain(t *testing.T) {
	t.Parallel()
	r := NewReader(iotest.HalfReader(strings.NewReader(strings.Repeat("x", MaxAnswer-2) + "\r\nQUIT\r\n")))
	for range 2 {
		if _, err := r.ReadLine(MaxAnswer); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.ReadLine(MaxAnswer); !errors.Is(err, io.EOF) || len(r.buf) > lineBuffer {
		t.Errorf("%v with a buffer of %d", err, len(r.buf))
	}
}

func TestStuffing(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      ".\r\n",
		"a\r\n":                 "a\r\n.\r\n",
		"a":                     "a\r\n.\r\n",
		"a\r":                   "a\r\n.\r\n",
		".\r\n..\r\n.a\r\n":     "..\r\n...\r\n..a\r\n.\r\n",
		"a\n.\nb":               "a\r\n..\r\nb\r\n.\r\n",
		"a\r.b\r\n":             "a\r.b\r\n.\r\n",
		"\r\n":                  "\r\n.\r\n",
		"a\r\r\n.":              "a\r\r\n..\r\n.\r\n",
		"Subject: x\r\n\r\n.\n": "Subject: x\r\n\r\n..\r\n.\r\n",
	} {
		for size := 1; size <= len(in)+1; size++ {
			if got := stuff(in, size); got != want {
				t.Errorf("%q in pieces of %d: %q, want %q", in, size, got, want)
			}
		}
	}
}

func stuff(in string, size int) string {
	var s Stuffer
	var out []byte
	for len(in) > 0 {
		n := min(size, len(in))
		out = s.Append(out, []byte(in[:n]))
		in = in[n:]
	}
	return string(s.End(out))
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in           string
		n            int
		octets, left int
	}{
		{"a\r\nb\r\nc", 0, 0, 0},
		{"a\r\nb\r\nc", 1, 3, 0},
		{"a\r\nb\r\nc", 2, 6, 0},
		{"a\r\nb\r\nc", 3, 7, 1},
		{"a\nb\n", 9, 4, 7},
		{"", 3, 0, 3},
	} {
		if octets, left := Lines([]byte(c.in), c.n); octets != c.octets || left != c.left {
			t.Errorf("%q, %d lines: %d octets, %d left", c.in, c.n, octets, left)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"QUIT", "TOP 1 2", "PASS  x ", "AUTH PLAIN =", "LIST 3", "USER ü", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := ParseCommand(line)
		if err != nil {
			return
		}
		again, err := ParseCommand([]byte(strings.TrimSuffix(c.Verb+" "+c.Arg, " ")))
		if c.Arg != "" && !strings.HasSuffix(c.Arg, " ") && (err != nil || again != c) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
		if n, err := ParseNumber(c.Arg); err == nil && (n < 1 || n > math.MaxInt32) {
			t.Errorf("number %d", n)
		}
		if m, n, err := ParseTop(c.Arg); err == nil && (m < 1 || n < 0) {
			t.Errorf("TOP %d %d", m, n)
		}
		if a, err := ParseAuth(c.Arg); err == nil {
			text := strings.TrimSuffix(a.Mechanism+" "+a.Initial, " ")
			if b, err := ParseAuth(text); err != nil || b != a {
				t.Errorf("%+v became %+v, %v", a, b, err)
			}
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\nb\nc\r\n"), 3)
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nb"), 8)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		limit = 2 + (limit&0x7fffffff)%700
		r := NewReader(iotest.HalfReader(bytes.NewReader(in)))
		for _, want := range bytes.SplitAfter(in, []byte("\n")) {
			line, err := r.ReadLine(limit)
			switch {
			case !bytes.HasSuffix(want, []byte("\n")):
				if !errors.Is(err, io.EOF) {
					t.Fatalf("end: %q, %v", line, err)
				}
			case len(want) > limit:
				if !errors.Is(err, ErrLineTooLong) {
					t.Fatalf("%d octets with limit %d: %v", len(want), limit, err)
				}
			case err != nil || !bytes.Equal(line, bytes.TrimSuffix(want[:len(want)-1], []byte("\r"))):
				t.Fatalf("%q: %q, %v", want, line, err)
			}
			if len(r.buf) > max(lineBuffer+1, limit) {
				t.Fatalf("a buffer of %d for a limit of %d", len(r.buf), limit)
			}
		}
	})
}

func FuzzStuffer(f *testing.F) {
	for _, s := range []string{".", "a\r\n.\r\nb", "\n.\n", "\r\r\n.", "..\r"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, in string, size int) {
		out := stuff(in, 1+(size&0xffff))
		if out != stuff(in, len(in)+1) {
			t.Error("the pieces matter")
		}
		if end := strings.Index("\r\n"+out, "\r\n.\r\n"); end+len(".\r\n") != len(out) {
			t.Errorf("%q ends at %d of %d", out, end, len(out))
		}
		if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
			t.Errorf("a LF alone in %q", out)
		}
		// What a client makes of it is the message with CRLF throughout.
		var got strings.Builder
		for line := range strings.SplitAfterSeq(strings.TrimSuffix(out, ".\r\n"), "\r\n") {
			got.WriteString(strings.TrimPrefix(line, "."))
		}
		want := strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\n", "\r\n")
		switch {
		case want == "" || strings.HasSuffix(want, "\n"):
		case strings.HasSuffix(want, "\r"):
			want += "\n"
		default:
			want += "\r\n"
		}
		if got.String() != want {
			t.Errorf("%q became %q, want %q", in, got.String(), want)
		}
	})
}
