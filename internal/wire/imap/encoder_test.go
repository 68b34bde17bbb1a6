package imap_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

func encode(t *testing.T, write func(*imap.Encoder)) string {
	t.Helper()
	var out bytes.Buffer
	e := imap.NewEncoder(&out)
	write(e)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEncoder(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, time.February, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600))
	body := section(imap.Section{Path: []int{1}, Specifier: imap.SectionText})
	fields := imap.FetchItem{
		Kind: imap.FetchSection, Peek: true, Partial: &imap.Partial{Offset: 3, Count: 9},
		Section: imap.Section{Specifier: imap.SectionFields, Fields: []string{"To", "a b"}},
	}
	tests := []struct {
		write func(*imap.Encoder)
		want  string
	}{
		{func(e *imap.Encoder) { e.Tagged("a1", imap.OK, "", "done") }, "a1 OK done"},
		{func(e *imap.Encoder) { e.Tagged("a1", imap.NO, imap.CodeTryCreate, "no such mailbox") }, "a1 NO [TRYCREATE] no such mailbox"},
		{func(e *imap.Encoder) { e.Untagged(imap.Bye, "", "a\r\nb\x00ä\x7f") }, "* BYE a??b????"},
		{func(e *imap.Encoder) { e.Untagged(imap.OK, "", "") }, "* OK - "},
		{func(e *imap.Encoder) { e.Untagged(imap.OK, "", "[ALERT] x") }, "* OK - [ALERT] x"},
		{func(e *imap.Encoder) { e.Syntax(&imap.SyntaxError{Result: imap.BAD, Text: "what"}) }, "* BAD what"},
		{func(e *imap.Encoder) { e.Continue("go on") }, "+ go on"},
		{func(e *imap.Encoder) { e.Continue("") }, "+ "},
		{func(e *imap.Encoder) { e.Exists(3) }, "* 3 EXISTS"},
		{func(e *imap.Encoder) { e.Recent(0) }, "* 0 RECENT"},
		{func(e *imap.Encoder) { e.Expunge(4294967295) }, "* 4294967295 EXPUNGE"},
		{func(e *imap.Encoder) { e.Capability("IMAP4rev1", "IDLE") }, "* CAPABILITY IMAP4rev1 IDLE"},
		{func(e *imap.Encoder) { e.Flags([]imap.Flag{imap.FlagSeen, "x"}) }, `* FLAGS (\Seen x)`},
		{func(e *imap.Encoder) { e.Search(nil) }, "* SEARCH"},
		{func(e *imap.Encoder) { e.Search([]uint32{1, 20}) }, "* SEARCH 1 20"},
		{func(e *imap.Encoder) {
			e.List(imap.MailboxLine{Name: "a b", Attributes: []string{imap.AttrNoselect, imap.AttrSent}})
		}, `* LIST (\Noselect \Sent) "/" "a b"`},
		{func(e *imap.Encoder) { e.Lsub(imap.MailboxLine{Name: "日本語", Flat: true}) }, `* LSUB () NIL &ZeVnLIqe-`},
		{func(e *imap.Encoder) { e.List(imap.MailboxLine{}) }, `* LIST () "/" ""`},
		{func(e *imap.Encoder) { e.List(imap.MailboxLine{Name: "nil"}) }, `* LIST () "/" "nil"`},
		{func(e *imap.Encoder) {
			e.Status("INBOX", []imap.StatusValue{{Item: imap.StatusMessages, Value: 2}, {Item: imap.StatusUIDNext, Value: 9}})
		}, "* STATUS INBOX (MESSAGES 2 UIDNEXT 9)"},
		{func(e *imap.Encoder) {
			e.Namespace(imap.NamespacePrefixes{Personal: []string{""}, Shared: []string{"x/", "y/"}})
		}, `* NAMESPACE (("" "/")) NIL (("x/" "/")("y/" "/"))`},
		{func(e *imap.Encoder) { e.ID(nil) }, "* ID NIL"},
		{func(e *imap.Encoder) { e.ID([]imap.IDField{{Name: "name", Value: "x"}, {Name: "os"}}) }, `* ID ("name" "x" "os" NIL)`},
		{func(e *imap.Encoder) {
			e.BeginFetch(7)
			e.FetchFlags([]imap.Flag{imap.FlagSeen})
			e.FetchUID(12)
			e.FetchInternalDate(when)
			e.FetchSize(99)
			e.FetchText(body, []byte("a\r\n"))
			e.FetchText(fields, nil)
			e.FetchNil(imap.FetchItem{Kind: imap.FetchRFC822Text})
			e.FetchRaw(imap.FetchItem{Kind: imap.FetchEnvelope}, []byte("(x)"))
			if err := e.FetchStream(section(imap.Section{}), 5, strings.NewReader("hello, all")); err != nil {
				panic(err)
			}
			e.EndFetch()
		}, `* 7 FETCH (FLAGS (\Seen) UID 12 INTERNALDATE " 7-Feb-2026 21:52:25 -0800" RFC822.SIZE 99 ` +
			"BODY[1.TEXT] {3}\r\na\r\n BODY[HEADER.FIELDS (To \"a b\")]<3> {0}\r\n RFC822.TEXT NIL ENVELOPE (x) BODY[] {5}\r\nhello)"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want+"\r\n", encode(t, tt.write)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]imap.Code{
		"UIDNEXT 5":                   imap.CodeUIDNext(5),
		"UIDVALIDITY 6":               imap.CodeUIDValidity(6),
		"UNSEEN 7":                    imap.CodeUnseen(7),
		`PERMANENTFLAGS (\Seen \*)`:   imap.CodePermanentFlags(imap.FlagSeen, imap.FlagAny),
		"CAPABILITY IMAP4rev1 ID":     imap.CodeCapability("IMAP4rev1", "ID"),
		"BADCHARSET (UTF-8 US-ASCII)": imap.CodeBadCharset("UTF-8", "US-ASCII"),
		"APPENDUID 3 4":               imap.CodeAppendUID(3, 4),
		"COPYUID 3 1,5:6 10:12":       imap.CodeCopyUID(3, set("1,5:6"), set("10:12")),
	} {
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1001)
	for _, tt := range []struct{ in, astring, str, nstring string }{
		{"", `""`, `""`, "NIL"},
		{"a]b", "a]b", `"a]b"`, `"a]b"`},
		{"NIL", `"NIL"`, `"NIL"`, `"NIL"`},
		{"a b", `"a b"`, `"a b"`, `"a b"`},
		{`"\`, `"\"\\"`, `"\"\\"`, `"\"\\"`},
		{"\t", "\"\t\"", "\"\t\"", "\"\t\""},
		{"ä", "{2}\r\nä", "{2}\r\nä", "{2}\r\nä"},
		{"a\nb", "{3}\r\na\nb", "{3}\r\na\nb", "{3}\r\na\nb"},
		{"a\x00b", "{2}\r\nab", "{2}\r\nab", "{2}\r\nab"},
		{long, long, "{1001}\r\n" + long, "{1001}\r\n" + long},
	} {
		if got := string(imap.AppendAString(nil, tt.in)); got != tt.astring {
			t.Errorf("astring %q: %q", tt.in, got)
		}
		if got := string(imap.AppendString(nil, []byte(tt.in))); got != tt.str {
			t.Errorf("string %q: %q", tt.in, got)
		}
		if got := string(imap.AppendNString(nil, tt.in)); got != tt.nstring {
			t.Errorf("nstring %q: %q", tt.in, got)
		}
	}
}

// A large text goes through in pieces; one that ends early is final.
func TestFetchStream(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 10000)
	got := encode(t, func(e *imap.Encoder) {
		e.BeginFetch(1)
		if err := e.FetchStream(section(imap.Section{}), int64(len(text)), strings.NewReader(text)); err != nil {
			t.Error(err)
		}
		e.EndFetch()
	})
	held := encode(t, func(e *imap.Encoder) {
		e.BeginFetch(1)
		e.FetchText(section(imap.Section{}), []byte(text))
		e.EndFetch()
	})
	if want := "* 1 FETCH (BODY[] {100000}\r\n" + text + ")\r\n"; got != want || held != want {
		t.Fatalf("%d and %d octets", len(got), len(held))
	}
	e := imap.NewEncoder(io.Discard)
	e.BeginFetch(1)
	if err := e.FetchStream(section(imap.Section{}), 11, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err := e.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriteErrorStays(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	e := imap.NewEncoder(brokenWriter{broken})
	e.Exists(1)
	for range 2 {
		if err := e.Flush(); !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	if err := e.FetchStream(section(imap.Section{}), 1, strings.NewReader("x")); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestFetchResponseDoesNotAllocate(t *testing.T) {
	e := imap.NewEncoder(io.Discard)
	flags := []imap.Flag{imap.FlagSeen, "$Junk"}
	when := time.Now()
	item := section(imap.Section{Specifier: imap.SectionHeader})
	text := []byte("Subject: x\r\n\r\n")
	write := func() {
		for seq := range uint32(1000) {
			e.BeginFetch(seq + 1)
			e.FetchFlags(flags)
			e.FetchUID(seq)
			e.FetchInternalDate(when)
			e.FetchText(item, text)
			e.EndFetch()
		}
	}
	write()
	if n := testing.AllocsPerRun(3, write); n > 0 {
		t.Errorf("%v allocations in 1000 responses", n)
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for _, s := range []string{" 7-Feb-2026 21:52:25 -0800", "17-Dec-1996 00:00:00 +0000", "01-Jan-2000 23:59:59 +0530"} {
		if _, err := imap.ParseDateTime(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "7-Feb-2026 21:52:25 -0800", " 7-Feb-2026 21:52:25 -08:00", " 7-Feb-2026 21:52:25  0800", "31-Feb-2026 21:52:25 +0000",
		" 7-Foo-2026 21:52:25 -0800", " 7-Feb-2026 25:52:25 -0800", " 7-Feb-2026 1:52:25.5 -080", " 7-Feb-2026 21:52:25 -080x",
	} {
		if got, err := imap.ParseDateTime(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{"", "1-Feb-26", "001-Feb-2026", "1 Feb 2026", "0-Feb-2026", "1-Feb-20266"} {
		if got, err := imap.ParseDate(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
