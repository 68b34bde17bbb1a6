package dsn_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/dsn"
)

// incoming are the reports of testdata by their path, with CRLF line ends.
func incoming(t testing.TB) map[string][]byte {
	t.Helper()
	out := testkit.Fixtures(t)
	for path, b := range out {
		out[path] = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}
	return out
}

func read(t testing.TB, b []byte) *dsn.Notice {
	t.Helper()
	n, err := dsn.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dump is a notice as its .want file has it.
func dump(t *testing.T, n *dsn.Notice) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "form: %s\n", cmp.Or(string(n.Form), "unknown"))
	line := func(name, v string) {
		if v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	at := func(name string, v time.Time) {
		if !v.IsZero() {
			line(name, v.Format(time.RFC3339))
		}
	}
	line("host", n.Hostname)
	line("envelope id", n.EnvelopeID)
	at("arrival", n.Arrival)
	line("reply", n.Reply)
	for _, r := range n.Recipients {
		fmt.Fprintf(&b, "\n%s <%s> %s\n", cmp.Or(string(r.Action), "?"), r.Final, r.Status)
		line("  original", r.Original)
		line("  by", r.RemoteMTA)
		line("  words", r.Diagnostic)
		if code, enhanced := r.Said(); code != 0 || enhanced != r.Status {
			fmt.Fprintf(&b, "  said: %d %s\n", code, enhanced)
		}
		at("  last", r.LastTry)
		at("  until", r.RetryUntil)
	}
	if len(n.Original) > 0 {
		fmt.Fprintf(&b, "\noriginal:\n%s", strings.TrimRight(strings.ReplaceAll(string(n.Original), "\r\n", "\n"), "\n")+"\n")
	}
	return b.String()
}

func TestReadForms(t *testing.T) {
	t.Parallel()
	for path, msg := range incoming(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			got := dump(t, read(t, msg))
			testkit.Want(t, path, got)
			if lf := dump(t, read(t, bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")))); lf != got {
				t.Errorf("with bare LF:\n%s", gocmp.Diff(got, lf))
			}
		})
	}
}

// apart are the fields of a report, those about its text, and its text.
func apart(msg string) (fields, kind, text string) {
	header, text, _ := strings.Cut(msg, "\r\n\r\n")
	if _, part, ok := strings.Cut(text, "--b\r\n"); ok {
		kind, text, _ = strings.Cut(part, "\r\n\r\n")
		kind += "\r\n"
		text, _, _ = strings.Cut(text, "\r\n--b")
	}
	for line := range strings.SplitSeq(header, "\r\n") {
		switch {
		case !strings.HasPrefix(line, "Content-"):
			fields += line + "\r\n"
		case kind == "":
			kind = line + "\r\n"
		}
	}
	return fields, kind, text
}

// TestReadWords: a report in words begins with them, and is no answer, unless its
// program marks it as one.
func TestReadWords(t *testing.T) {
	t.Parallel()
	answers := []dsn.Form{dsn.Exim, dsn.Postfix}
	for path, msg := range incoming(t) {
		form := read(t, msg).Form
		if form == dsn.Unknown || form == dsn.Fields {
			continue
		}
		answer := dsn.Unknown
		if slices.Contains(answers, form) {
			answer = form
		}
		fields, kind, text := apart(string(msg))
		for _, c := range []struct {
			name, msg string
			want      dsn.Form
		}{
			{"sent by a program", "Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\n" + string(msg), form},
			{"an answer", "Auto-Submitted: Auto-Replied; owner-email=x\r\n" + string(msg), answer},
			{"the answer of a helpdesk", "Precedence: auto_reply\r\n" + string(msg), dsn.Unknown},
			{"its words alone", fields + kind + "\r\n" + text, form},
			{"quoted", fields + kind + "\r\nYou wrote:\r\n\r\n" + text, dsn.Unknown},
			{"in a report", "Auto-Submitted: auto-replied\r\nContent-Type: multipart/report; boundary=c\r\n" + fields + "\r\n--c\r\n" + kind + "\r\n" + text + "\r\n--c--\r\n", form},
		} {
			if n := read(t, []byte(c.msg)); n.Form != c.want || c.want == dsn.Unknown && len(n.Recipients) > 0 {
				t.Errorf("%s, %s: %q, want %q", filepath.Base(path), c.name, n.Form, c.want)
			}
		}
	}
}

// TestReadOurs: what we write, we read.
func TestReadOurs(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[a-zA-Z0-9][ -~]{0,30}[a-zA-Z0-9]`)
	rapid.Check(t, func(t *rapid.T) {
		r := sample()
		r.EnvelopeID = rapid.SampledFrom([]string{"", "QQ314159", "é1"}).Draw(t, "envid")
		r.HeadersOnly = rapid.Bool().Draw(t, "headers only")
		r.Recipients = nil
		for i := range rapid.IntRange(1, 5).Draw(t, "recipients") {
			one := dsn.Recipient{
				Final:  rapid.SampledFrom([]string{"x@elsewhere.test", "é@elsewhere.test"}).Draw(t, "final"),
				Action: rapid.SampledFrom([]dsn.Action{dsn.Failed, dsn.Delayed, dsn.Delivered, dsn.Relayed, dsn.Expanded}).Draw(t, "action"),
				Status: rapid.SampledFrom([]string{"5.1.1", "4.4.7", "2.0.0"}).Draw(t, "status"), RemoteMTA: "mx.elsewhere.test",
				Diagnostic: "550 " + word.Draw(t, "words"), LastTry: noon.Add(time.Duration(i) * time.Hour),
			}
			if rapid.Bool().Draw(t, "orcpt") {
				one.Original = "rfc822;first@elsewhere.test"
			}
			if one.Action == dsn.Delayed {
				one.RetryUntil = noon.Add(24 * time.Hour)
			}
			r.Recipients = append(r.Recipients, one)
		}
		b := r.Bytes()
		n, err := dsn.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		want := &dsn.Notice{
			Form: dsn.Fields, Hostname: r.Hostname, EnvelopeID: r.EnvelopeID, Arrival: r.Arrival,
			Recipients: r.Recipients, Original: r.Original,
		}
		for i := range want.Recipients {
			// White space in a field is a fold, or one blank.
			want.Recipients[i].Diagnostic = strings.Join(strings.Fields(want.Recipients[i].Diagnostic), " ")
		}
		if diff := gocmp.Diff(want, n, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-written +read):\n%s\n%s", diff, b)
		}
	})
}

// TestReadBounds: a huge report costs what the limits allow.
func TestReadBounds(t *testing.T) {
	t.Parallel()
	r := sample()
	one := r.Recipients[0]
	one.Diagnostic = "550 5.1.1 No"
	r.Recipients = nil
	for range 3000 {
		r.Recipients = append(r.Recipients, one)
	}
	n := read(t, r.Bytes())
	if len(n.Recipients) != 1000 || n.More != 2000 {
		t.Errorf("%d recipients and %d more", len(n.Recipients), n.More)
	}
	long := strings.Repeat("<x@elsewhere.test>:\n550 "+strings.Repeat("word ", 1000)+"\n\n", 20000)
	n = read(t, []byte("Subject: failure\n\nHi. This is the qmail-send program at x.\n\n"+long))
	if len(n.Recipients) == 0 || len(n.Recipients) > 1000 || len(n.Recipients[0].Diagnostic) > 2000 {
		t.Errorf("%d recipients, %d octets of words", len(n.Recipients), len(n.Recipients[0].Diagnostic))
	}
	listed := strings.Repeat("x@elsewhere.test\n", 2000)
	n = read(t, []byte("\n   ----- The following addresses had delivery problems -----\n"+listed+"   ----- Non-delivered information -----\n"+strings.Repeat("no\n", 10000)))
	if len(n.Recipients) != 1000 || n.More != 1000 {
		t.Fatalf("%d recipients and %d more", len(n.Recipients), n.More)
	}
	if words := n.Recipients[999].Diagnostic; words == "" || len(words) > 2000 {
		t.Errorf("%d octets of words", len(words))
	}
	many := "X-Failed-Recipients: " + strings.Repeat("a@b.test, ", 100000) + "\n\nThis message was created automatically by mail delivery software.\n"
	if n = read(t, []byte(many)); len(n.Recipients) > 1000 {
		t.Errorf("%d recipients", len(n.Recipients))
	}
}

// broken is a store that fails.
type broken struct{ *bytes.Reader }

var errBroken = errors.New("broken")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off > 50 {
		return 0, errBroken
	}
	return b.Reader.ReadAt(p[:min(len(p), 40)], off)
}

// TestReadFails: a store's error is no report that says nothing.
func TestReadFails(t *testing.T) {
	t.Parallel()
	for path, msg := range incoming(t) {
		if _, err := dsn.Read(broken{bytes.NewReader(msg)}, int64(len(msg))); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"550 5.1.1 No": "550 5.1.1", "550-5.1.1 No": "550 5.1.1", "host mx[192.0.2.1] said: 452 Full": "452 ",
		"550": "550 ", "after 500 seconds": "0 ", "#5.2.2": "0 5.2.2", "smtp;554 5.7.1": "0 5.7.1", "192.0.2.1 is down": "0 ",
		"199 no": "0 ", "5.1.1111": "0 ", "3.1.1": "0 ", "": "0 ",
	} {
		code, enhanced := dsn.Codes(words)
		if got := fmt.Sprintf("%d %s", code, enhanced); got != want {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, msg := range incoming(f) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		n := read(t, msg)
		if len(n.Recipients) > 1000 || len(n.Original) > 64<<10 || len(n.Reply) > 2000 {
			t.Fatalf("%d recipients, %d octets of header, reply %q", len(n.Recipients), len(n.Original), n.Reply)
		}
		for _, r := range n.Recipients {
			for _, v := range []string{r.Final, r.Original, r.Status, r.RemoteMTA, r.Diagnostic} {
				if len(v) > 4000 || strings.ContainsAny(v, "\r\n") {
					t.Fatalf("%q", v)
				}
			}
		}
		if _, err := json.Marshal(n.Recipients); err != nil {
			t.Fatal(err)
		}
	})
}
