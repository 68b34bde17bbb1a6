package outbound_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestChunking: a host that takes chunks gets the message in one, octet for octet,
// with lines that end in CRLF and in nothing else (RFC 3030 §2).
func TestChunking(t *testing.T) {
	t.Parallel()
	const prefix = "X-Prefix: yes\r\n"
	line := strings.Repeat("x", 70) + "\r\n"
	long := strings.Repeat(line, 64<<10/len(line)+2)
	cases := map[string][2]string{ // what is stored, and what is sent behind the prefix
		"small":                 {text, text},
		"dots":                  {".\r\n..\r\n.a\r\n", ".\r\n..\r\n.a\r\n"},
		"empty":                 {"", ""},
		"without a line end":    {"a\r\n\r\nb", "a\r\n\r\nb\r\n"},
		"a CR at the end":       {"a\r\n\r\nb\r", "a\r\n\r\nb\r\n"},
		"bare CR and LF":        {"a\n\rb\r\rc\n.\n", "a\r\n\r\nb\r\n\r\nc\r\n.\r\n"},
		"8-bit":                 {"A: b\r\n\r\n\xe9\r\n", "A: b\r\n\r\n\xe9\r\n"},
		"more than one buffer":  {long, long},
		"a large one, bare LFs": {strings.ReplaceAll(long+long+long, "\r\n", "\n"), long + long + long},
	}
	for range 40 { // around the buffer's size
		n := 64<<10 - len(prefix) - 80 + rand.IntN(100)
		s := strings.Repeat("y", n) + "\r\n"
		cases["random"+s[:rand.IntN(30)+1]] = [2]string{s, s}
	}
	for name, c := range cases {
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{Keywords: []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"}})
		w.bodies[1] = c[0]
		got := w.deliver(t.Context(), w.job("a@x.test"), w.job("b@x.test", "c@x.test"))
		w.want(got[0], good)
		w.want(got[1], good, good)
		for _, sent := range m.Messages() {
			if !sent.Chunked || !bytes.Equal(sent.Data, []byte(prefix+c[1])) {
				t.Errorf("%s: by BDAT %v, %d octets of %d", name, sent.Chunked, len(sent.Data), len(prefix)+len(c[1]))
			}
		}
		for _, line := range m.Commands() {
			if strings.HasPrefix(line.Line, "DATA") || strings.HasPrefix(line.Line, "RSET") {
				t.Errorf("%s: %s", name, line.Line)
			}
		}
	}
}

// TestByData: where the settings want it, CHUNKING is not used.
func TestByData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set.ByData = true
	m := w.mx(testkit.MXOptions{Keywords: []string{"PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"}})
	w.want(w.send("a@x.test"), good)
	if m.Messages()[0].Chunked {
		t.Error("it came by BDAT")
	}
}

// TestChunkingRefused: each reply is taken as it is behind DATA.
func TestChunkingRefused(t *testing.T) {
	t.Parallel()
	keywords := []string{"PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"}
	for name, c := range map[string]struct {
		rules []testkit.MXRule
		want  []string
	}{
		"for good":        {[]testkit.MXRule{{Command: "END", Reply: "550 5.7.1 Spam", Times: 1}}, []string{"failed 550 5.7.1 theirs", good}},
		"for now":         {[]testkit.MXRule{{Command: "END", Reply: "451 4.3.0 Later", Times: 1}}, []string{"deferred 451 4.3.0 theirs", good}},
		"MAIL":            {[]testkit.MXRule{{Command: "MAIL", Reply: "550 5.7.1 Not you", Times: 1}}, []string{"failed 550 5.7.1 theirs", good}},
		"RCPT":            {[]testkit.MXRule{{Command: "RCPT", Reply: "550 5.1.1 Who?", Times: 1}}, []string{"failed 550 5.1.1 theirs", good}},
		"hung up instead": {[]testkit.MXRule{{Command: "END", Drop: true, Times: 1}}, []string{"deferred 421 4.4.2 ours", good}},
		"hung up behind":  {[]testkit.MXRule{{Command: "END", Reply: "421 4.3.2 Down", Hangup: true, Times: 1}}, []string{"deferred 421 4.3.2 theirs", good}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mx(testkit.MXOptions{Keywords: keywords}, c.rules...)
			got := w.deliver(t.Context(), w.job("a@x.test"), w.job("b@x.test"))
			w.want([]queue.Outcome{got[0][0], got[1][0]}, c.want...)
		})
	}
}

// TestChunkingOfWhatIsConverted: its size is that of what is sent.
func TestChunkingOfWhatIsConverted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{Keywords: []string{"ENHANCEDSTATUSCODES", "CHUNKING"}})
	w.bodies[1] = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + strings.Repeat("gr\xc3\xbc\xc3\x9fe und mehr\r\n", 6000)
	w.want(w.send("a@x.test"), good)
	sent := m.Messages()[0]
	if !sent.Chunked || !bytes.Contains(sent.Data, []byte("base64")) || len(sent.Data) < len(w.bodies[1]) || !bytes.HasSuffix(sent.Data, []byte("\r\n")) {
		t.Errorf("%d octets: %.200q", len(sent.Data), sent.Data)
	}
}
