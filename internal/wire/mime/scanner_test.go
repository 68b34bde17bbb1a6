package mime

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/testkit"
)

func scan(msg []byte, step, maxValue int) *HeaderScanner {
	s := NewHeaderScanner(maxValue)
	for len(msg) > 0 {
		n := min(step, len(msg))
		if s.Feed(msg[:n]) {
			break
		}
		msg = msg[n:]
	}
	return s
}

func FuzzHeaderScanner(f *testing.F) {
	for _, msg := range testkit.Fixtures(f) {
		f.Add(msg, uint8(3), uint8(20))
	}
	f.Fuzz(func(t *testing.T, msg []byte, step, maxValue uint8) {
		limit := int(maxValue)
		whole := scan(msg, max(len(msg), 1), limit)
		parts := scan(msg, int(step)+1, limit)
		if diff := cmp.Diff(facts(whole), facts(parts)); diff != "" {
			t.Fatalf("chunks of %d (-whole +chunks):\n%s", step, diff)
		}
		p := ParseBytes(msg, Limits{})
		if !p.IsMultipart() && p.Embedded() == nil && whole.Size() != p.HeaderSize {
			t.Fatalf("size %d, parsed %d", whole.Size(), p.HeaderSize)
		}
		compareWithHeader(t, whole, Header(msg[:whole.Size()]), limit)
	})
}

// compareWithHeader checks a scanner against the walk over the whole header.
func compareWithHeader(t *testing.T, s *HeaderScanner, h Header, limit int) {
	t.Helper()
	var seen [len(scanned)]ScannedField
	fields, junk := 0, false
	for f := range h.All() {
		if len(f.Name) == 0 {
			// A lone CR at the end of the bytes may yet become a blank line.
			junk = junk || string(f.Raw) != "\r"
			continue
		}
		fields++
		for i, name := range scanned {
			if !equalFold(f.Name, name) {
				continue
			}
			seen[i].Count++
			if seen[i].Count == 1 && i != scanReceived {
				seen[i].value = f.Value()[:min(limit, len(f.Value()))]
			}
		}
	}
	if fields != s.Fields() || junk && !s.Junk() && bytes.HasSuffix(h, []byte("\n")) {
		t.Fatalf("%d fields, junk %v; header has %d, %v", s.Fields(), s.Junk(), fields, junk)
	}
	for i := range seen {
		if seen[i].Count != s.seen[i].Count || !bytes.Equal(seen[i].value, s.seen[i].value) {
			t.Fatalf("%s: %+v; header has %+v", scanned[i], s.seen[i], seen[i])
		}
	}
}

func facts(s *HeaderScanner) map[string]any {
	out := map[string]any{"done": s.Done(), "size": s.Size(), "fields": s.Fields(), "junk": s.Junk()}
	for i, name := range scanned {
		out[name] = s.seen[i].Count
		out[name+" value"] = s.seen[i].Value()
	}
	return out
}

func TestHeaderScanner(t *testing.T) {
	t.Parallel()
	msg := "Return-Path: <>\r\nReceived: a\r\nreceived : b\r\n\tfolded\r\nDATE:\r\n Mon, 2 Jan 2006\r\n" +
		"From: a@b\r\nFrom: c@d\r\nMessage-ID: <1@x>\r\nX-Received: no\r\nSubject: long long\r\nTLS-Required:  No\r\n\r\nFrom: body\r\n"
	s := NewHeaderScanner(18)
	if !s.Feed([]byte(msg)) || !s.Done() {
		t.Fatal("the header's end is not seen")
	}
	if want := int64(strings.Index(msg, "From: body")); s.Size() != want {
		t.Errorf("size %d, want %d", s.Size(), want)
	}
	if s.Received().Count != 2 || s.From().Count != 2 || s.ReturnPath().Count != 1 || s.Sender().Count != 0 {
		t.Errorf("counts: %+v", facts(s))
	}
	if s.From().Value() != "a@b" || s.Date().Value() != "Mon, 2 Jan 2006" || s.MessageID().Value() != "<1@x>" || s.TLSRequired().Value() != "No" {
		t.Errorf("values: %+v", facts(s))
	}
	if s.Junk() || s.Fields() != 10 {
		t.Errorf("junk %v, fields %d", s.Junk(), s.Fields())
	}
	if scan([]byte("no colon\r\n\r\n"), 1, 9).Junk() != true || scan([]byte("a b: c\r\n\r\n"), 1, 9).Junk() != true {
		t.Error("junk is not seen")
	}
	if scan([]byte("Subject: x\r\n\r"), 1, 9).Done() {
		t.Error("a bare CR ended the header")
	}
}

func TestHeaderScannerAllocations(t *testing.T) {
	boring := []byte(strings.Repeat("X-Some-Field: some value that does not matter\r\n\tfolded\r\nReceived: x\r\n", 100))
	s := NewHeaderScanner(100)
	if n := testing.AllocsPerRun(100, func() { s.Feed(boring) }); n != 0 {
		t.Errorf("%v allocations for fields that do not matter", n)
	}
}

func BenchmarkHeaderScanner(b *testing.B) {
	msg := benchMessage()
	b.ReportAllocs()
	for b.Loop() {
		s := NewHeaderScanner(1000)
		s.Feed(msg)
	}
}
