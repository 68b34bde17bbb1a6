package imap_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// counter counts what was read from it.
type counter struct {
	r *bytes.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// FuzzDecoder reads everything as commands. Each call reads at least one octet
// or ends, and nothing it yields is larger than the limits.
func FuzzDecoder(f *testing.F) {
	for _, line := range []string{
		"a NOOP", "a LOGIN {3}\r\nann \"x\\\"\"", "a APPEND x (\\Seen) " + appendDate + " {5}\r\nhello",
		"a UID FETCH 1:* (FLAGS BODY.PEEK[1.HEADER.FIELDS (a {1+}\r\nb)]<0.10>)",
		"a UID STORE 1,2:* +FLAGS.SILENT (\\Seen x)", "a STATUS &AOQ- (MESSAGES)", `a LIST "" %`,
		`a ID ("x" NIL)`, "a AUTHENTICATE PLAIN =", "a XYZZY {3+}\r\nabc", "a RENAME a {1+}\r\nb", "a LOGIN {999}",
		"a LOGIN {999+}", "a UID MOVE 3 x", "a SEARCH CHARSET UTF-8 OR BODY {2+}\r\n\xc3\xa4 NOT (1:* SINCE 1-Feb-2026)",
	} {
		f.Add([]byte(line + "\r\nb NOOP\r\n"))
	}
	for _, tt := range searchCases() {
		f.Add([]byte("a SEARCH " + tt.line + "\r\n"))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		src := &counter{r: bytes.NewReader(input)}
		buffered := bufio.NewReaderSize(src, 16)
		lim := limits()
		d := imap.NewDecoder(buffered, lim, func() error { return nil })
		used := func() int64 { return src.n - int64(buffered.Buffered()) }
		for {
			before := used()
			cmd, err := d.ReadCommand()
			if used() == before && err == nil {
				t.Fatal("a command out of nothing")
			}
			syntax, ok := errors.AsType[*imap.SyntaxError](err)
			if ok {
				if syntax.Text == "" || syntax.Result != imap.BAD && syntax.Result != imap.NO {
					t.Fatalf("%+v", syntax)
				}
				continue
			}
			if err != nil {
				return
			}
			if cmd.Tag == "" || strings.ContainsAny(cmd.Tag, "\r\n +*") || cmd.Name == "" {
				t.Fatalf("%+v", cmd)
			}
			if req, ok := cmd.Request.(imap.Append); ok {
				if n, err := io.Copy(io.Discard, req.Message); err == nil && n != req.Message.Size || n > lim.Message {
					t.Fatalf("%d of %d octets", n, req.Message.Size)
				}
				continue
			}
			if read := used() - before; read > 2*lim.Command {
				t.Fatalf("%d octets for one command", read)
			}
			roundTrips(t, cmd.Request)
		}
	})
}

func FuzzDateTime(f *testing.F) {
	f.Add(" 7-Feb-2026 21:52:25 -0800")
	f.Add("17-Feb-2026 21:52:25 +0000")
	f.Fuzz(func(t *testing.T, s string) {
		when, err := imap.ParseDateTime(s)
		if err != nil {
			return
		}
		printed := string(imap.AppendDateTime(nil, when))
		got, err := imap.ParseDateTime(strings.Trim(printed, `"`))
		if err != nil || !got.Equal(when) {
			t.Fatalf("%q: %s: %v, %v", s, printed, got, err)
		}
	})
}
