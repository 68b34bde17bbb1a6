package e2e

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/load"
	"github.com/hayauma/hayauma/test/node"
)

// bomb is a message that is made to cost far more than its octets.
type bomb struct {
	name, text string
	refused    string // the beginning of the reply to its end; empty = it is taken
}

// structures are those that blow up in a parser of MIME.
func structures() []bomb {
	var nested, ends, wide strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		fmt.Fprintf(&ends, "\r\n--b%d--\r\n", 9_999-i)
	}
	for i := range 60 {
		long := strings.Repeat("-", 60) + fmt.Sprintf("%02d", i)
		fmt.Fprintf(&wide, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n--%s\r\n", long, long)
	}
	const multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	return []bomb{
		{"multipart in multipart", nested.String() + "\r\nx\r\n" + ends.String(), ""},
		{"multipart in multipart without an end", nested.String(), ""},
		{"250,000 parts", multipart + strings.Repeat("--b\r\n\r\n", 250_000) + "--b--\r\n", ""},
		{"parts with a header", multipart + strings.Repeat("--b\r\nContent-Type: text/plain; charset=x\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n", 20_000) + "--b--\r\n", ""},
		{"message in message", strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 10_000) + "Subject: in the middle\r\n\r\nx\r\n", ""},
		{"digest", "Content-Type: multipart/digest; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nSubject: a\r\n\r\nx\r\n", 50_000), ""},
		{"lines that nearly end 60 parts", wide.String() + "\r\n" + strings.Repeat("--"+strings.Repeat("-", 60)+"\r\n", 60_000), ""},
		{"short lines in 60 parts", wide.String() + "\r\n" + strings.Repeat("--\r\n", 1_000_000), ""},
		{"a boundary of 100,000 octets", "Content-Type: multipart/mixed; boundary=\"" + strings.Repeat("b", 100_000) + "\"\r\n\r\n--" + strings.Repeat("b", 100_000) + "\r\n\r\nx\r\n", ""},
		{"a boundary of nothing", "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n" + strings.Repeat("--\r\n\r\nx\r\n", 100_000), ""},
		{"20,000 boundaries", "Content-Type: multipart/mixed" + strings.Repeat("; boundary=b", 20_000) + "\r\n\r\n--b\r\n\r\nx\r\n", ""},
		{"a parameter in 15,000 pieces", "Content-Type: text/plain" + pieces(15_000) + "\r\n\r\nx\r\n", ""},
	}
}

func pieces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ";p*%d*=%%41", n-1-i)
	}
	return b.String()
}

// headers are those that blow up in a parser of fields.
func headers() []bomb {
	const tooLarge = "552 5.3.4 The header"
	return []bomb{
		{"a field folded 80,000 times", "Subject: a\r\n" + strings.Repeat(" \r\n", 80_000) + "\r\nx\r\n", ""},
		{"a field folded for ever", "Subject: a\r\n" + strings.Repeat(" x\r\n", 500_000) + "\r\nx\r\n", tooLarge},
		{"a field of 1 MiB", "Subject: " + strings.Repeat("x", 1<<20) + "\r\n\r\nx\r\n", tooLarge},
		{"a field of 200,000 octets", "Subject: " + strings.Repeat("x", 200_000) + "\r\n\r\nx\r\n", ""},
		{"100,000 fields", strings.Repeat("X: y\r\n", 100_000) + "\r\nx\r\n", tooLarge},
		{"40,000 fields", strings.Repeat("X: y\r\n", 40_000) + "\r\nx\r\n", ""},
		{"30,000 Subjects", strings.Repeat("Subject:\r\n", 25_000) + "\r\nx\r\n", ""},
		{"encoded words", "Subject: " + strings.Repeat("=?utf-8?Q?=41?= ", 15_500) + "\r\n\r\nx\r\n", ""},
		{"encoded words that do not end", "Subject: " + strings.Repeat("=?utf-8?B?", 25_000) + "\r\n\r\nx\r\n", ""},
		{"encoded words in many charsets", "Subject: " + strings.Repeat("=?iso-2022-jp?B?GyRCJCIbKEI=?=\r\n =?gb18030?B?gTCBMA==?=\r\n =?utf-7?Q?+AAA-?=\r\n ", 2_500) + "\r\n\r\nx\r\n", ""},
		{"25,000 addresses", "To: " + strings.Repeat("a@b.test, ", 25_000) + "\r\n\r\nx\r\n", ""},
		{"groups in groups", "To: " + strings.Repeat("g:", 100_000) + "\r\n\r\nx\r\n", ""},
		{"comments in comments", "To: " + strings.Repeat("(", 120_000) + strings.Repeat(")", 120_000) + " <a@b.test>\r\n\r\nx\r\n", ""},
		{"quotes and backslashes", "To: \"" + strings.Repeat(`\"`, 120_000) + "\" <a@b.test>\r\n\r\nx\r\n", ""},
		{"routes", "To: <" + strings.Repeat("@a,", 80_000) + ":a@b.test>\r\n\r\nx\r\n", ""},
		{"20,000 references", "References:" + strings.Repeat(" <a@b.test>", 20_000) + "\r\n\r\nx\r\n", ""},
		{"a loop", strings.Repeat("Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n", 200) + "\r\nx\r\n", "554 5.4.6 "},
	}
}

// texts are those that blow up in a decoder, and lines longer than any mail's.
func texts() []bomb {
	return []bomb{
		{"base64", "Content-Type: text/html; charset=iso-2022-jp\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("GyRCGyhC\r\n", 400_000), ""},
		{"quoted-printable", "Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=\r\n", 1_000_000), ""},
		{"a charset of nobody", "Content-Type: text/plain; charset=" + strings.Repeat("x", 100_000) + "\r\n\r\nx\r\n", ""},
		{"a line of 4 MB", "Subject: a\r\n\r\n" + strings.Repeat("x", 4_000_000) + "\r\n", ""},
		{"lines of 999 octets and more", "X-Long: " + strings.Repeat("h", 5_000) + "\r\nSubject: a\r\n\r\n" + strings.Repeat(strings.Repeat("x", 999)+"\r\n", 3) + strings.Repeat("y", 70_000) + "\r\n.\r\n..\r\n", ""},
		{"empty lines", "Subject: a\r\n\r\n" + strings.Repeat("\r\n", 2_000_000), ""},
	}
}

const (
	// mostCPU is what the server may take for one of them in all: to take it in, to
	// file it, and to tell a client of it, beside what each octet of it may cost.
	mostCPU    = 1.0 // seconds
	mostPerMiB = 0.5 // seconds
	// mostTold is how long a BODYSTRUCTURE and an ENVELOPE may be.
	mostTold = 4 << 20
	// mostGrowth is how much more memory all of them together may leave in use.
	mostGrowth = 100 << 20
)

// TestBombs: a message that is made to blow up costs what its octets cost. It is
// refused with a word, or filed as it came and told of in bounds.
func TestBombs(t *testing.T) {
	n := node.Start(t, node.Options{})
	send(t, n, 10)
	before, err := load.ReadUsage(n.Pid())
	if err != nil {
		t.Fatal(err)
	}
	filed := 10
	for _, list := range [][]bomb{structures(), headers(), texts()} {
		for _, b := range list {
			t.Run(b.name, func(t *testing.T) {
				begun, err := load.ReadUsage(n.Pid())
				if err != nil {
					t.Fatal(err)
				}
				if b.explode(t, n) {
					filed++
					b.look(t, n, filed)
				}
				ended, err := load.ReadUsage(n.Pid())
				if err != nil {
					t.Fatal(err)
				}
				cpu, size := ended.CPUSeconds-begun.CPUSeconds, float64(len(b.text))/(1<<20)
				t.Logf("%.1f MiB: %.2f s of CPU, %d MiB resident", size, cpu, ended.RSS>>20)
				if cpu > mostCPU+mostPerMiB*size {
					t.Errorf("%.1f MiB took %.2f s of CPU", size, cpu)
				}
				if ended.RSS > before.RSS+mostGrowth {
					t.Errorf("%d MiB are resident, %d were", ended.RSS>>20, before.RSS>>20)
				}
			})
		}
	}
}

// explode sends it and tells whether it was taken.
func (b bomb) explode(t *testing.T, n *node.Node) bool {
	t.Helper()
	c := dial(t, n.SMTP, "")
	c.say("EHLO bomber.test", "250 ")
	c.say("MAIL FROM:<a@sender.test>", "250")
	c.say("RCPT TO:<alice@"+n.Domain+">", "250")
	c.say("DATA", "354")
	begun := time.Now()
	c.send(strings.ReplaceAll(b.text, "\r\n.", "\r\n..") + ".\r\n")
	reply := c.line()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the reply took %v", took)
	}
	want := b.refused
	if want == "" {
		want = "250 2.0.0 Accepted"
	}
	if !strings.HasPrefix(reply, want) {
		t.Errorf("heard %q, want %q", reply, want)
	}
	return strings.HasPrefix(reply, "250")
}

// look reads it over IMAP in all ways that need its structure.
func (b bomb) look(t *testing.T, n *node.Node, number int) {
	t.Helper()
	c := dial(t, n.IMAPS, n.CA)
	c.say(`a login alice@a.test "`+node.Password+`"`, "a OK")
	c.say("b examine INBOX", "b OK")
	for _, command := range []string{"FETCH %d (BODYSTRUCTURE ENVELOPE)", "FETCH %d (BODY.PEEK[1.MIME] BODY.PEEK[1.1.1.1.1.1.1.1.1.1])", "FETCH %d BODY.PEEK[HEADER.FIELDS (SUBJECT X-LONG)]", "SEARCH %d TEXT nowhere BODY nothing HEADER Subject none TO nobody", "FETCH %d BODY.PEEK[]"} {
		c.send("d " + fmt.Sprintf(command, number) + "\r\n")
		told, err := c.raw("\r\nd OK ")
		if err != nil {
			t.Fatalf("%s: %v after %d octets", command, err, len(told))
		}
		switch {
		case strings.Contains(command, "STRUCTURE") && len(told) > mostTold:
			t.Errorf("%s: %d octets", command, len(told))
		case strings.HasSuffix(command, "[]") && !bytes.Contains(told, []byte("\r\n"+b.text+")")):
			t.Errorf("it is not kept as it came: %d octets are %d", len(b.text), len(told))
		}
	}
}

// raw reads up to a text that begins the last line.
func (c *talk) raw(last string) ([]byte, error) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(node.Patience)); err != nil {
		return nil, err
	}
	var all bytes.Buffer
	all.WriteString("\r\n")
	for {
		line, err := c.in.ReadBytes('\n')
		all.Write(line)
		if err != nil {
			return all.Bytes(), err
		}
		if bytes.HasPrefix(line, []byte(last[2:])) {
			return all.Bytes(), nil
		}
		if bytes.HasPrefix(line, []byte("d NO")) || bytes.HasPrefix(line, []byte("d BAD")) {
			return all.Bytes(), fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, line)
		}
	}
}
