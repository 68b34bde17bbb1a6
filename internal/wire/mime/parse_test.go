package mime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/testkit"
)

func FuzzParse(f *testing.F) {
	for _, msg := range testkit.Fixtures(f) {
		f.Add(msg, uint8(7))
	}
	f.Fuzz(func(t *testing.T, msg []byte, step uint8) {
		lim := Limits{Depth: 8, Parts: 20, HeaderBytes: 300, TotalBytes: 2000, Addresses: 20, Params: 20}
		p := ParseBytes(msg, lim)
		checkTree(t, p, int64(len(msg)))
		checkLimits(t, p, lim)
		q := NewParser(lim)
		for rest := msg; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			_, _ = q.Write(rest[:n])
			rest = rest[n:]
		}
		if diff := cmp.Diff(p, q.Finish()); diff != "" {
			t.Fatalf("chunks of %d (-whole +chunks):\n%s", step, diff)
		}
		back, err := Unmarshal(Marshal(p))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Fatalf("stored (-parsed +unmarshalled):\n%s", diff)
		}
	})
}

func checkLimits(t testing.TB, p *Part, lim Limits) {
	t.Helper()
	var c counts
	c.part(p)
	// An empty embedded message may stand in for one that there is no room for.
	if c.parts > 2*lim.Parts || c.addresses > lim.Addresses || c.params+c.languages > lim.Params {
		t.Fatalf("limits %+v, got %+v", lim, c)
	}
	if d := depth(p); d > lim.Depth {
		t.Fatalf("depth %d, limit %d", d, lim.Depth)
	}
}

func depth(p *Part) int {
	d := 0
	for i := range p.Children {
		d = max(d, depth(&p.Children[i]))
	}
	return d + 1
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var deep strings.Builder
	for i := range 300 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	many := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 5000)
	nested := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 300)
	long := "To: " + strings.Repeat("a@b.c, ", 40000) + "\r\nSubject: behind\r\n\r\nbody"
	params := "Content-Type: text/plain" + strings.Repeat("; a=b", 20000) + "\r\n\r\nbody"
	for _, lim := range []Limits{{}, {Depth: 1000, Parts: 3}, {HeaderBytes: 100, Addresses: 7, Params: 7}} {
		for _, msg := range []string{deep.String(), many, nested, long, params} {
			p := ParseBytes([]byte(msg), lim)
			checkTree(t, p, int64(len(msg)))
			checkLimits(t, p, lim.withDefaults())
			if _, err := Unmarshal(Marshal(p)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	p, err := Parse(io.MultiReader(strings.NewReader("Subject: x\r\n"), iotest.ErrReader(broken)), Limits{})
	if p != nil || !errors.Is(err, broken) {
		t.Errorf("got %v, %v", p, err)
	}
}

// TestMemory parses 64 MiB and looks at what was allocated on the way.
func TestMemory(t *testing.T) {
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
	for _, line := range []string{"an ordinary line\r\n", "--not a boundary\r\n", "no end of line "} {
		const size = 64 << 20
		r := io.MultiReader(strings.NewReader(head), io.LimitReader(&repeater{line: line}, size))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Parse(r, Limits{})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, p, int64(len(head))+size)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%q: %d bytes allocated", line, n)
		}
	}
}

// repeater reads a line again and again.
type repeater struct {
	line string
	at   int
}

func (r *repeater) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m := copy(b[n:], r.line[r.at:])
		n += m
		r.at = (r.at + m) % len(r.line)
	}
	return n, nil
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	// Lines around the size up to which a line may be a delimiter, cut at
	// every place.
	for _, n := range []int{maxDelimiter - 12, maxDelimiter - 1, maxDelimiter, maxDelimiter + 1, 3 * maxDelimiter} {
		msg := "Subject: " + strings.Repeat("x", n) + "\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
			"--b\r\nX: " + strings.Repeat("y", n) + "\r\n\r\n--" + strings.Repeat("z", n) + "\r\n" +
			"--b" + strings.Repeat(" ", n) + "\r\n\r\nlast\r\n--b--\r\n"
		want := ParseBytes([]byte(msg), Limits{})
		checkTree(t, want, int64(len(msg)))
		for cut := 0; cut < len(msg); cut += 3 {
			p := NewParser(Limits{})
			_, _ = p.Write([]byte(msg[:cut]))
			_, _ = p.Write([]byte(msg[cut:]))
			if diff := cmp.Diff(want, p.Finish()); diff != "" {
				t.Fatalf("n %d cut %d:\n%s", n, cut, diff)
			}
		}
	}
}

// TestGenerated builds messages of which the structure is known.
func TestGenerated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		eol := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol")
		serial := 0
		var build func(depth int) (string, string)
		build = func(depth int) (text, shape string) {
			serial++
			kind := rapid.SampledFrom([]string{"leaf", "multi", "message"}).Draw(t, "kind")
			if depth > 4 {
				kind = "leaf"
			}
			switch kind {
			case "multi":
				b := fmt.Sprintf("b%d", serial)
				text = "Content-Type: multipart/mixed; boundary=" + b + eol + eol
				shape = "("
				for range rapid.IntRange(1, 3).Draw(t, "children") {
					inner, s := build(depth + 1)
					text += "--" + b + eol + inner + eol
					shape += s
				}
				return text + "--" + b + "--" + eol, shape + ")"
			case "message":
				inner, s := build(depth + 1)
				return "Content-Type: message/rfc822" + eol + eol + inner, "<" + s + ">"
			}
			return "X: y" + eol + eol + rapid.SampledFrom([]string{"", "text", "--" + eol, "--b0" + eol}).Draw(t, "body"), "."
		}
		text, want := build(0)
		p := ParseBytes([]byte(text), Limits{})
		if got := shape(p); got != want {
			t.Fatalf("got %s want %s of\n%s", got, want, text)
		}
	})
}

func shape(p *Part) string {
	var b strings.Builder
	for i := range p.Children {
		b.WriteString(shape(&p.Children[i]))
	}
	switch {
	case p.IsMultipart():
		return "(" + b.String() + ")"
	case isMessage(p):
		return "<" + b.String() + ">"
	}
	return "."
}

func TestSection(t *testing.T) {
	t.Parallel()
	msgs := testkit.Fixtures(t)
	tests := []struct {
		msg  string
		path []int
		want string // the body's beginning; "-" for no such part
	}{
		{"plain", nil, "Hello"},
		{"plain", []int{1}, "Hello"},
		{"plain", []int{1, 1}, "-"},
		{"plain", []int{2}, "-"},
		{"plain", []int{0}, "-"},
		{"nested", []int{1, 2}, "<p>html"},
		{"nested", []int{2}, "AAEC"},
		{"nested", []int{2, 1}, "-"},
		{"nested", []int{3}, "-"},
		{"nested", []int{-1}, "-"},
		{"rfc822", []int{1}, "forwarded:"},
		{"rfc822", []int{2}, "From: inner"},
		{"rfc822", []int{2, 1}, "one"},
		{"rfc822", []int{2, 2}, "Subject: innermost"},
		{"rfc822", []int{2, 2, 1}, "deep"},
		{"rfc822", []int{2, 2, 2}, "-"},
		{"rfc822", []int{2, 2, 1, 1}, "-"},
		{"rfc822-root", []int{1}, "Subject: inner"},
		{"rfc822-root", []int{1, 1}, "text"},
		{"rfc822-root", []int{1, 2}, "-"},
	}
	for _, tt := range tests {
		msg := msgs["testdata/"+tt.msg]
		p, ok := ParseBytes(msg, Limits{}).Section(tt.path)
		if !ok {
			if tt.want != "-" {
				t.Errorf("%s %v: not found", tt.msg, tt.path)
			}
			continue
		}
		if body := msg[p.BodyOffset():p.End()]; !bytes.HasPrefix(body, []byte(tt.want)) {
			t.Errorf("%s %v: %q, want %q", tt.msg, tt.path, body, tt.want)
		}
	}
}

func benchMessage() []byte {
	head := "Return-Path: <alice@example.org>\r\nReceived: from mail.example.org (mail.example.org [192.0.2.1])\r\n" +
		"\tby mx.example.net with ESMTPS id abc; Mon, 2 Jan 2006 15:04:05 +0900\r\n" +
		"Date: Mon, 2 Jan 2006 15:04:05 +0900\r\nFrom: Alice Example <alice@example.org>\r\n" +
		"To: Bob <bob@example.net>\r\nSubject: =?utf-8?B?5pel5pys6Kqe?= subject\r\n" +
		"Message-ID: <20060102150405.1@example.org>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	return []byte(head + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 60))
}

func BenchmarkParse(b *testing.B) {
	msg := benchMessage()
	multi := []byte("Content-Type: multipart/mixed; boundary=abc\r\n\r\n--abc\r\n\r\nhello\r\n--abc\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 76)+"\r\n", 64<<10) + "--abc--\r\n")
	b.Run("plain5k", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		r := bytes.NewReader(msg)
		for b.Loop() {
			r.Reset(msg)
			if _, err := Parse(r, Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bytes5k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ParseBytes(msg, Limits{})
		}
	})
	b.Run("reused5k", func(b *testing.B) {
		b.ReportAllocs()
		p := NewParser(Limits{})
		for b.Loop() {
			p.Reset(Limits{})
			_, _ = p.Write(msg)
			p.Finish()
		}
	})
	b.Run("multipart5M", func(b *testing.B) {
		b.SetBytes(int64(len(multi)))
		for b.Loop() {
			ParseBytes(multi, Limits{})
		}
	})
}
