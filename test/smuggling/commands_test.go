package smuggling

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/test/node"
)

// longest is how many octets a command line may have (RFC 4954 §4).
const longest = 12288

// command is something that is no command, or has more behind it than it should.
// What could do harm in it is a transaction of evil@x.test.
type command struct {
	name, text string
	replies    []string
	closed     bool // the server hangs up behind them
}

// wholeEvil is all that a message needs.
const wholeEvil = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@a.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"

func commands() []command {
	const (
		syntax   = "500 5.5.2 "
		path     = "501 5.5.4 "
		order    = "503 5.5.1 "
		evil     = "MAIL FROM:<evil@x.test>"
		victim   = "RCPT TO:<victim@a.test>\r\n"
		envelope = "MAIL FROM:<a@c.test>\r\nRCPT TO:<alice@a.test>\r\n"
	)
	noop := func(octets int) string { return "NOOP " + strings.Repeat("x", octets-len("NOOP \r\n")) + "\r\n" }
	return []command{
		// One line end is the line's, whatever else is taken for one.
		{"LF in a command", evil + "\n" + victim, []string{syntax, order}, false},
		{"CR in a command", evil + "\r" + victim, []string{syntax}, false},
		{"CR CR LF", evil + "\r\r\n" + victim, []string{syntax, order}, false},
		{"LF CR", evil + "\n\r" + victim, []string{syntax, syntax}, false},
		{"CR NUL LF", evil + "\r\x00\n" + victim, []string{syntax, order}, false},
		{"NUL CR LF", evil + "\x00\r\n" + victim, []string{syntax, order}, false},
		{"space CR LF", "NOOP \r\n", []string{inStep}, false},
		{"vertical tab and form feed", evil + "\x0b\x0c" + victim, []string{syntax}, false},
		{"NEL", "NOOP\xc2\x85" + evil + "\r\n" + victim, []string{syntax, order}, false},
		{"a quoted line end", "MAIL FROM:<\"a\\\r\n" + victim, []string{"50", order}, false},
		{"a quoted line end in quotes", "MAIL FROM:<\"a\r\nRCPT TO:\"@c.test>\r\n", []string{"50", order}, false},
		{"only line ends", "\r\n\n\r\r\n", []string{syntax, syntax, syntax}, false},

		{"NUL in a verb", "NO\x00OP\r\n", []string{syntax}, false},
		{"NUL before a verb", "\x00NOOP\r\n", []string{syntax}, false},
		{"NUL in an address", "MAIL FROM:<evil\x00@x.test>\r\n" + victim, []string{syntax, order}, false},
		{"8 bits in a verb", "NO\xcfP\r\n", []string{syntax}, false},
		{"a verb with its high bit set", "\xceOOP\r\n", []string{syntax}, false},
		{"8 bits that are no UTF-8", "MAIL FROM:<evil\xff@x.test> SMTPUTF8\r\n" + victim, []string{"5", order}, false},
		{"UTF-8 without SMTPUTF8", "MAIL FROM:<\u00e9vil@x.test>\r\n" + victim, []string{"5", order}, false},
		{"delete", "MAIL FROM:<evil\x7f@x.test>\r\n" + victim, []string{syntax, order}, false},

		{"the longest line", noop(longest), []string{inStep}, false},
		{"one octet more", noop(longest + 1), []string{syntax}, false},
		{"far more", noop(50 * longest), []string{syntax}, false},
		{"a command where the line is cut", strings.TrimSuffix(noop(longest), "\r\n") + wholeEvil, []string{syntax, order, order, syntax, syntax, syntax, syntax}, false},
		{"a long line that ends in LF", strings.TrimSuffix(noop(2*longest), "\r\n") + "\n" + victim, []string{syntax, order}, false},
		{"a long line of CRs", "NOOP " + strings.Repeat("\r", 2*longest) + evil + "\r\n" + victim, []string{syntax, order}, false},
		{"a long line of NULs", strings.Repeat("\x00", 2*longest) + evil + "\r\n" + victim, []string{syntax, order}, false},
		{"a long address", "MAIL FROM:<" + strings.Repeat("x", 300) + "@x.test>\r\n" + victim, []string{"5", order}, false},

		// Nobody knows how many octets follow such a BDAT.
		{"BDAT without a size", envelope + "BDAT\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT -1", envelope + "BDAT -1 LAST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT +5", envelope + "BDAT +5 LAST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT 0x10", envelope + "BDAT 0x10 LAST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT beyond 64 bits", envelope + "BDAT 18446744073709551621 LAST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT 5LAST", envelope + "BDAT 5LAST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT 5 FIRST", envelope + "BDAT 5 FIRST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT with tabs", envelope + "BDAT 5\tLAST\r\n" + wholeEvil, []string{"250 ", "250 ", path}, true},
		{"BDAT too large", envelope + "BDAT 9223372036854775807 LAST\r\n" + wholeEvil, []string{"250 ", "250 ", "552 "}, true},
		{"BDAT too large without MAIL", "BDAT 9223372036854775807 LAST\r\n" + wholeEvil, []string{order}, true},
		// The octets of a refused BDAT are no commands.
		{"BDAT without MAIL", bdat(wholeEvil, true), []string{order}, false},
		{"BDAT without RCPT", evil + "\r\n" + bdat(victim, true) + "RSET\r\n", []string{"250 ", order, "250 "}, false},
		{"BDAT behind a refused RCPT", "MAIL FROM:<a@c.test>\r\nRCPT TO:<nobody@a.test>\r\n" + bdat(wholeEvil, true) + "RSET\r\n",
			[]string{"250 ", "550 ", order, "250 "}, false},
		{"BDAT behind a refused BDAT", envelope + bdat("x\n", false) + bdat(wholeEvil, false) + bdat(wholeEvil, true), []string{"250 ", "250 ", refused, order, order}, false},
		{"BDAT behind RSET", envelope + bdat("x\r\n", false) + "RSET\r\n" + bdat(wholeEvil, true), []string{"250 ", "250 ", "250 ", "250 ", order}, false},
		{"BDAT 0", bdat("", false) + bdat("", true), []string{order, order}, false},
		{"DATA between chunks", envelope + bdat("x\r\n", false) + "DATA\r\n" + evil + "\r\n.\r\nRSET\r\n",
			[]string{"250 ", "250 ", "250 ", order, order, syntax, "250 "}, false},
		{"RCPT between chunks", envelope + bdat("x\r\n", false) + victim + "RSET\r\n", []string{"250 ", "250 ", "250 ", order, "250 "}, false},
		{"DATA with an argument", envelope + "DATA x\r\n" + evil + "\r\nRSET\r\n", []string{"250 ", "250 ", path, order, "250 "}, false},
	}
}

// requests are what web clients say, of their own will or made to.
func requests() []command {
	return []command{
		{"GET", "GET / HTTP/1.1\r\nHost: mx.a.test\r\n\r\n" + wholeEvil, []string{"421 4.7.0 "}, true},
		{"POST", "POST / HTTP/1.1\r\nHost: mx.a.test\r\nContent-Type: text/plain\r\n\r\n" + wholeEvil, []string{"421 4.7.0 "}, true},
		{"POST with LF", "POST / HTTP/1.1\nHost: mx.a.test\n\n" + wholeEvil, nil, true},
		{"CONNECT", "CONNECT mx.a.test:25 HTTP/1.1\r\n\r\n" + wholeEvil, []string{"421 4.7.0 "}, true},
		{"CR in a path", "GET /\rMAIL HTTP/1.1\r\n" + wholeEvil, nil, true},
		{"a space in a path", "POST /a b HTTP/1.1\r\nHost: mx.a.test\r\n\r\n" + wholeEvil, nil, true},
		{"a long path", "POST /" + strings.Repeat("x", longest) + " HTTP/1.1\r\nHost: mx.a.test\r\n\r\n" + wholeEvil, nil, true},
		{"commands in a path", "GET /\r\n" + wholeEvil + " HTTP/1.1\r\nHost: mx.a.test\r\n\r\n", nil, true},
	}
}

// spoiled are chunks whose command is refused for how it is written. Their octets
// are still on their way.
func spoiled() []command {
	var out []command
	for _, line := range []string{"BDAT 150 LAST\n", "BDAT 150 LAST\r\r\n", "BDAT\r150 LAST\r\n", "BDAT\t150 LAST\r\n", "BDAT 150 LAST\x00\r\n"} {
		text := "MAIL FROM:<a@c.test>\r\nRCPT TO:<alice@a.test>\r\n" + line + "RSET\r\n" + wholeEvil
		out = append(out, command{fmt.Sprintf("%q", line), text, []string{"250 ", "250 ", "5"}, true})
	}
	return out
}

// bdat is a chunk.
func bdat(text string, last bool) string {
	end := ""
	if last {
		end = " LAST"
	}
	return fmt.Sprintf("BDAT %d%s\r\n%s", len(text), end, text)
}

// mustDial connects for a test, and greets.
func mustDial(t *testing.T, addr string, secure *tls.Config) *talk {
	t.Helper()
	c, err := dial(t.Context(), addr, secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	must(t, c.say("EHLO c.test\r\n", "250 "))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// untouched shows that nobody got anything.
func untouched(t *testing.T, n *node.Node, r *recorder) {
	t.Helper()
	for _, user := range []string{"alice", "bob", "victim"} {
		compare(t, "the inbox of "+user, nil, kept(t, n, user))
	}
	n.WaitQueue("")
	if raw := r.raw(); len(raw) > 0 {
		t.Errorf("the next host was told %q", raw)
	}
}

// Commands are never read where something else was sent.
func TestCommands(t *testing.T) {
	t.Parallel()
	tryCommands(t, commands())
}

// A BDAT that cannot be read ends the session, as one with a wrong size does.
func TestSpoiledChunks(t *testing.T) {
	t.Parallel()
	tryCommands(t, spoiled())
}

// A web client that is made to ask a mail server for something brings no mail,
// whatever stands in its request.
func TestRequests(t *testing.T) {
	t.Parallel()
	tryCommands(t, requests())
}

func tryCommands(t *testing.T, all []command) {
	t.Helper()
	n, r := start(t)
	secure := trusting(t, n)
	for _, row := range all {
		t.Run(row.name, func(t *testing.T) {
			tryCommand(t, mustDial(t, n.SMTP, nil), row, []string{row.text})
			c := mustDial(t, n.SMTP, nil)
			must(t, c.say("STARTTLS\r\n", "220 "))
			c.secure(secure)
			must(t, c.say("EHLO c.test\r\n", "250 "))
			tryCommand(t, c, row, octetByOctet(row.text))
		})
	}
	untouched(t, n, r)
}

// octetByOctet cuts a text; of a long one the rest is left whole.
func octetByOctet(text string) []string {
	n := min(200, len(text))
	return append(strings.Split(text[:n], ""), text[n:])
}

// tryCommand writes a command in pieces. A server that hangs up may do so before
// all were sent, and its last words may be lost then; one that does not ends at
// QUIT.
func tryCommand(t *testing.T, c *talk, row command, pieces []string) {
	t.Helper()
	if row.closed {
		go func() {
			for _, p := range append(slices.Clone(pieces), "QUIT\r\n") {
				_, _ = io.WriteString(c.conn, p) // the server may have hung up
			}
		}()
		heard, _ := io.ReadAll(c.in) // a reset is an end as well
		if lines := strings.SplitAfter(strings.TrimSuffix(string(heard), "\r\n"), "\r\n"); len(lines) > max(1, len(row.replies)) {
			t.Errorf("more than a goodbye: %q", heard)
		}
		return
	}
	for _, p := range pieces {
		must(t, c.say(p))
	}
	must(t, c.expect(row.replies...))
	must(t, c.say("NOOP\r\n", inStep))
	must(t, c.leave())
}

// What is said in clear behind STARTTLS counts for nothing, in one segment with
// it or in the next (RFC 3207 §4.2, CVE-2011-0411).
func TestBehindSTARTTLS(t *testing.T) {
	t.Parallel()
	n, r := start(t)
	secure := trusting(t, n)
	const injected = "EHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@a.test>\r\n"
	for _, text := range []string{injected, "RSET\r\n", "\r\n", "N", strings.Repeat(injected, 100)} {
		c := mustDial(t, n.SMTP, nil)
		must(t, c.say("STARTTLS\r\n"+text, "220 "))
		c.secure(secure)
		// A server that has not read all of it takes the rest for TLS and ends.
		if err := c.say("NOOP\r\n", inStep); err != nil {
			if len(text) < 1000 {
				t.Errorf("behind %q: %v", text, err)
			}
			continue
		}
		must(t, c.say("MAIL FROM:<a@c.test>\r\nRCPT TO:<alice@a.test>\r\nDATA\r\n", "503 5.5.1 ", "503 5.5.1 ", "503 5.5.1 "))
		must(t, c.leave())
	}
	c := mustDial(t, n.SMTP, nil)
	must(t, c.say("STARTTLS\r\n", "220 "))
	must(t, c.say(injected))
	if heard, _ := io.ReadAll(c.in); strings.Contains(string(heard), "250") {
		t.Errorf("commands instead of a handshake: %q", heard)
	}
	untouched(t, n, r)
}

// An answer to a challenge is one line as well.
func TestBehindAUTH(t *testing.T) {
	t.Parallel()
	n, r := start(t)
	for _, answer := range []string{"YWxp\nMAIL FROM:<evil@x.test>", "YWxp\rMAIL FROM:<evil@x.test>", "\x00", strings.Repeat("A", 2*longest) + "\rMAIL FROM:<evil@x.test>"} {
		c := mustDial(t, n.Submissions, trusting(t, n))
		replies := []string{"5"}
		if strings.Contains(answer, "\n") {
			replies = []string{"5", "530 5.7.0 "}
		}
		must(t, c.say("AUTH LOGIN\r\n", "334 "))
		must(t, c.say(answer+"\r\n", replies...))
		must(t, c.say("NOOP\r\n", inStep))
		must(t, c.leave())
	}
	untouched(t, n, r)
}
