package mime

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/testkit"
)

func TestCorpus(t *testing.T) {
	t.Parallel()
	for path, msg := range testkit.Fixtures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			p := ParseBytes(msg, Limits{})
			checkTree(t, p, int64(len(msg)))
			got := dump(msg, p)
			testkit.Want(t, path, got)
			stored := Marshal(p)
			back, err := Unmarshal(stored)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p, back); diff != "" {
				t.Errorf("stored (-parsed +unmarshalled):\n%s", diff)
			}
			slow, err := Parse(iotest.OneByteReader(bytes.NewReader(msg)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p, slow); diff != "" {
				t.Errorf("byte by byte (-whole +bytes):\n%s", diff)
			}
		})
	}
}

// dump prints a tree with its bytes, for eyes and for comparison.
func dump(msg []byte, p *Part) string {
	var b strings.Builder
	dumpPart(&b, msg, p, "root", "")
	return b.String()
}

func dumpPart(b *strings.Builder, msg []byte, p *Part, number, indent string) {
	fmt.Fprintf(b, "%s%s %s/%s %s header %d+%d (%d lines) body %d+%d (%d lines)\n", indent, number, p.Type, p.Subtype,
		p.Encoding, p.Offset, p.HeaderSize, p.HeaderLines, p.BodyOffset(), p.BodySize, p.BodyLines)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%s  %s: "+format+"\n", append([]any{indent, name}, args...)...)
	}
	params := func(name string, list []Param) {
		for _, q := range list {
			line(name, "%q = %q", q.Name, q.Value)
			base, _, _ := strings.Cut(q.Name, "*")
			if text, _ := DecodeParam(list, base); text != q.Value {
				line(name, "%q is %q", base, text)
			}
		}
	}
	text := func(name, value string) {
		if value != "" {
			line(name, "%q", value)
		}
	}
	params("param", p.Params)
	text("id", p.ID)
	text("description", p.Description)
	text("md5", p.MD5)
	text("disposition", p.Disposition)
	params("disposition param", p.DispositionParams)
	for _, l := range p.Language {
		text("language", l)
	}
	text("location", p.Location)
	if e := p.Envelope; e != nil {
		text("date", e.Date)
		text("subject", e.Subject)
		if word := DecodeWords(e.Subject); word != e.Subject {
			text("subject is", word)
		}
		lists := []struct {
			name string
			list []Address
		}{{"from", e.From}, {"sender", e.Sender}, {"reply-to", e.ReplyTo}, {"to", e.To}, {"cc", e.Cc}, {"bcc", e.Bcc}}
		for _, l := range lists {
			for _, a := range l.list {
				line(l.name, "%s", dumpAddress(a))
			}
		}
		text("in-reply-to", e.InReplyTo)
		text("message-id", e.MessageID)
	}
	if len(p.Children) == 0 {
		line("body", "%q", msg[p.BodyOffset():p.End()])
	}
	for i := range p.Children {
		dumpPart(b, msg, &p.Children[i], fmt.Sprint(i+1), indent+"  ")
	}
}

func dumpAddress(a Address) string {
	switch a.Kind {
	case GroupStart:
		return fmt.Sprintf("group %q", a.Mailbox)
	case GroupEnd:
		return "end of group"
	}
	return fmt.Sprintf("%q %q %q @ %q", a.Name, a.ADL, a.Mailbox, a.Host)
}

// checkTree checks what Part promises.
func checkTree(t testing.TB, p *Part, size int64) {
	t.Helper()
	if p.Offset != 0 || p.End() != size || p.Envelope == nil {
		t.Fatalf("root is %d..%d of %d, envelope %v", p.Offset, p.End(), size, p.Envelope)
	}
	checkPart(t, p)
}

func checkPart(t testing.TB, p *Part) {
	t.Helper()
	if p.HeaderSize < 0 || p.BodySize < 0 || p.HeaderLines < 0 || p.BodyLines < 0 ||
		p.HeaderLines > p.HeaderSize || p.BodyLines > p.BodySize || p.Type == "" || p.Subtype == "" || p.Encoding == "" {
		t.Fatalf("impossible part %+v", p)
	}
	if p.IsMultipart() && len(p.Children) == 0 || isMessage(p) != (p.Embedded() != nil) ||
		len(p.Children) > 0 && !p.IsMultipart() && !isMessage(p) {
		t.Fatalf("%s/%s has %d children", p.Type, p.Subtype, len(p.Children))
	}
	at := p.BodyOffset()
	for i := range p.Children {
		c := &p.Children[i]
		if c.Offset < at || c.End() > p.End() || (c.Envelope != nil) != isMessage(p) {
			t.Fatalf("child %d at %d..%d of %d..%d", i+1, c.Offset, c.End(), at, p.End())
		}
		at = c.End()
		checkPart(t, c)
	}
}
