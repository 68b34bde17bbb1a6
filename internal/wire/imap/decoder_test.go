package imap_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

func limits() imap.Limits {
	return imap.Limits{
		Line: 1000, Command: 4000, LoginLiteral: 100, Literal: 500, Message: 2000,
		Depth: 5, Items: 40, Ranges: 10,
	}
}

// client is a script of what a peer sends; it counts how often it was asked to
// proceed.
type client struct {
	*imap.Decoder
	asked int
}

func newClient(input string) *client {
	c := &client{}
	c.Decoder = imap.NewDecoder(bufio.NewReaderSize(strings.NewReader(input), 16), limits(), func() error {
		c.asked++
		return nil
	})
	return c
}

func set(s string) imap.SeqSet {
	out, err := imap.ParseSeqSet(s, 100)
	if err != nil {
		panic("bad set in a test: " + s)
	}
	return out
}

func items(kinds ...imap.FetchKind) []imap.FetchItem {
	var out []imap.FetchItem
	for _, k := range kinds {
		out = append(out, imap.FetchItem{Kind: k})
	}
	return out
}

func section(s imap.Section) imap.FetchItem {
	return imap.FetchItem{Kind: imap.FetchSection, Section: s}
}

func octets(s string) *[]byte {
	b := []byte(s)
	return &b
}

func none() *[]byte {
	var b []byte
	return &b
}

type commandCase struct {
	line string
	want imap.Request
}

// readCommands checks that each line is read as a command, to its end.
func readCommands(t *testing.T, tests []commandCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			c := newClient("a1 " + tt.line + "\r\nb2 NOOP\r\n")
			got, err := c.ReadCommand()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Request); diff != "" || got.Tag != "a1" {
				t.Fatalf("tag %q, diff -want +got:\n%s", got.Tag, diff)
			}
			wantNext(t, c)
		})
	}
}

func TestSessionCommands(t *testing.T) {
	t.Parallel()
	readCommands(t, []commandCase{
		{"CAPABILITY", imap.Capability{}},
		{"noop", imap.Noop{}},
		{"NOOP  ", imap.Noop{}},
		{"LOGOUT", imap.Logout{}},
		{"STARTTLS", imap.StartTLS{}},
		{"CHECK", imap.Check{}},
		{"CLOSE", imap.Close{}},
		{"UNSELECT", imap.Unselect{}},
		{"IDLE", imap.Idle{}},
		{"NAMESPACE", imap.Namespace{}},
		{"EXPUNGE", imap.Expunge{}},
		{"XYZZY some (thing", imap.Unknown{}},
		{"UID XYZZY 1", imap.Unknown{}},
		{"UID", imap.Unknown{}},
		{"UID NOOP", imap.Unknown{}},
		{"AUTHENTICATE plain", imap.Authenticate{Mechanism: "PLAIN"}},
		{"AUTHENTICATE PLAIN =", imap.Authenticate{Mechanism: "PLAIN", Initial: none()}},
		{"AUTHENTICATE PLAIN AGEAYg==", imap.Authenticate{Mechanism: "PLAIN", Initial: octets("\x00a\x00b")}},
		{`LOGIN ann "se\"c\\ret"`, imap.Login{User: "ann", Password: `se"c\ret`}},
		{`LOGIN "" a]b`, imap.Login{Password: "a]b"}},
		{"LOGIN {3+}\r\nann {3}\r\np\r\n", imap.Login{User: "ann", Password: "p\r\n"}},
	})
}

func TestMailboxCommands(t *testing.T) {
	t.Parallel()
	readCommands(t, []commandCase{
		{"SELECT inbox", imap.Select{Mailbox: "INBOX"}},
		{"SELECT iNbOx/a", imap.Select{Mailbox: "INBOX/a"}},
		{"SELECT Inboxes", imap.Select{Mailbox: "Inboxes"}},
		{"EXAMINE \"a b\"", imap.Select{Mailbox: "a b", ReadOnly: true}},
		{"CREATE &ZeVnLIqe-/", imap.Create{Mailbox: "日本語/"}},
		{"DELETE {4+}\r\na&-b", imap.Delete{Mailbox: "a&b"}},
		{"RENAME a \"b c\"", imap.Rename{From: "a", To: "b c"}},
		{"SUBSCRIBE a", imap.Subscribe{Mailbox: "a"}},
		{"UNSUBSCRIBE a", imap.Unsubscribe{Mailbox: "a"}},
		{`LIST "" *`, imap.List{Pattern: "*"}},
		{`LIST "a/" "%/x"`, imap.List{Reference: "a/", Pattern: "%/x"}},
		{`LIST "" ""`, imap.List{}},
		{`LSUB a b%*c`, imap.Lsub{Reference: "a", Pattern: "b%*c"}},
		{"STATUS a (messages UIDNEXT)", imap.Status{
			Mailbox: "a", Items: []imap.StatusItem{imap.StatusMessages, imap.StatusUIDNext},
		}},
	})
}

func TestMessageCommands(t *testing.T) {
	t.Parallel()
	readCommands(t, []commandCase{
		{"UID EXPUNGE 1,3:5", imap.Expunge{UID: true, Set: set("1,3:5")}},
		{"COPY 1 a", imap.Copy{Set: set("1"), Mailbox: "a"}},
		{"UID COPY 1 a", imap.Copy{Set: set("1"), UID: true, Mailbox: "a"}},
		{"MOVE 1:* a", imap.Move{Set: set("1:*"), Mailbox: "a"}},
		{"uid move 1 inbox", imap.Move{Set: set("1"), UID: true, Mailbox: "INBOX"}},
		{"ID NIL", imap.ID{}},
		{"ID ()", imap.ID{}},
		{`ID ("name" "x" "os" nil)`, imap.ID{Fields: []imap.IDField{{Name: "name", Value: "x"}, {Name: "os"}}}},
		{`STORE 1 FLAGS (\seen $Junk)`, imap.Store{Set: set("1"), Flags: []imap.Flag{imap.FlagSeen, "$Junk"}}},
		{`STORE 1 flags ()`, imap.Store{Set: set("1")}},
		{`STORE 1 +FLAGS \Deleted \X`, imap.Store{
			Set: set("1"), Mode: imap.StoreAdd, Flags: []imap.Flag{imap.FlagDeleted, `\X`},
		}},
		{`UID STORE 1 -FLAGS.SILENT (a)`, imap.Store{
			Set: set("1"), UID: true, Mode: imap.StoreRemove, Silent: true, Flags: []imap.Flag{"a"},
		}},
	})
}

func TestFetchCommands(t *testing.T) {
	t.Parallel()
	readCommands(t, []commandCase{
		{"FETCH 1 ALL", imap.Fetch{Set: set("1"), Items: items(
			imap.FetchFlags, imap.FetchInternalDate, imap.FetchSize, imap.FetchEnvelope)}},
		{"FETCH 1 fast", imap.Fetch{Set: set("1"), Items: items(
			imap.FetchFlags, imap.FetchInternalDate, imap.FetchSize)}},
		{"FETCH 1 FULL", imap.Fetch{Set: set("1"), Items: items(
			imap.FetchFlags, imap.FetchInternalDate, imap.FetchSize, imap.FetchEnvelope, imap.FetchBody)}},
		{"UID FETCH 1 (UID RFC822 RFC822.HEADER RFC822.TEXT BODY BODYSTRUCTURE)", imap.Fetch{
			Set: set("1"), UID: true, Items: items(imap.FetchUID, imap.FetchRFC822, imap.FetchRFC822Header,
				imap.FetchRFC822Text, imap.FetchBody, imap.FetchBodyStructure),
		}},
		{"FETCH 1 BODY[]", imap.Fetch{Set: set("1"), Items: []imap.FetchItem{section(imap.Section{})}}},
		{"FETCH 1 (body.peek[1.2.mime]<0.5> BODY[3])", imap.Fetch{Set: set("1"), Items: []imap.FetchItem{
			{
				Kind: imap.FetchSection, Peek: true, Partial: &imap.Partial{Count: 5},
				Section: imap.Section{Path: []int{1, 2}, Specifier: imap.SectionMIME},
			},
			section(imap.Section{Path: []int{3}}),
		}}},
		{`FETCH 1 BODY[HEADER.FIELDS (To "From" {2+}` + "\r\nCc)]", imap.Fetch{Set: set("1"), Items: []imap.FetchItem{
			section(imap.Section{Specifier: imap.SectionFields, Fields: []string{"To", "From", "Cc"}}),
		}}},
		{"FETCH 1 BODY[1.HEADER.FIELDS.NOT (X)]", imap.Fetch{Set: set("1"), Items: []imap.FetchItem{
			section(imap.Section{Path: []int{1}, Specifier: imap.SectionFieldsNot, Fields: []string{"X"}}),
		}}},
		{"FETCH 1 (BODY[HEADER] BODY[TEXT])", imap.Fetch{Set: set("1"), Items: []imap.FetchItem{
			section(imap.Section{Specifier: imap.SectionHeader}), section(imap.Section{Specifier: imap.SectionText}),
		}}},
	})
}

// wantNext checks that the Decoder found the end of the command before.
func wantNext(t *testing.T, c *client) {
	t.Helper()
	got, err := c.ReadCommand()
	if err != nil || got.Tag != "b2" || got.Name != "NOOP" {
		t.Fatalf("next command: %+v, %v", got, err)
	}
	if _, err := c.ReadCommand(); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v", err)
	}
}

type badCase struct{ line, tag, name string }

// wantBad checks that each line is BAD, and read to its end.
func wantBad(t *testing.T, tests []badCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			c := newClient(tt.line + "\r\nb2 NOOP\r\n")
			_, err := c.ReadCommand()
			syntax, ok := errors.AsType[*imap.SyntaxError](err)
			if !ok || syntax.Tag != tt.tag || syntax.Name != tt.name || syntax.Result != imap.BAD {
				t.Fatalf("%+v, %v", syntax, err)
			}
			wantNext(t, c)
		})
	}
}

func TestBadSessionCommands(t *testing.T) {
	t.Parallel()
	wantBad(t, []badCase{
		{"", "", ""},
		{"a1", "", ""},
		{"+ NOOP", "", ""},
		{" NOOP", "", ""},
		{strings.Repeat("t", 256) + " NOOP", "", ""},
		{"\x16\x03\x01", "", ""},
		{"a1 ", "a1", ""},
		{"a1  NOOP", "a1", ""},
		{"a1 UID ", "a1", "UID"},
		{"a1 NOOP x", "a1", "NOOP"},
		{"a1 NOOP {3+}\r\nabc", "a1", "NOOP"},
		{"a1 NOOP {3}", "a1", "NOOP"},
		{"a1 LOGIN", "a1", "LOGIN"},
		{"a1 LOGIN a", "a1", "LOGIN"},
		{"a1 LOGIN a ", "a1", "LOGIN"},
		{"a1 LOGIN a b c", "a1", "LOGIN"},
		{`a1 LOGIN a "b`, "a1", "LOGIN"},
		{`a1 LOGIN a "b\c"`, "a1", "LOGIN"},
		{"a1 LOGIN a \"b\\", "a1", "LOGIN"},
		{"a1 LOGIN a \"b\rc\"", "a1", "LOGIN"},
		{"a1 LOGIN a \"b\x00c\"", "a1", "LOGIN"},
		{"a1 LOGIN {3+}\r\na\x00b c", "a1", "LOGIN"},
		{"a1 LOGIN x{3+}\r\nabc {4+}\r\nabcd e", "a1", "LOGIN"},
		{"a1 LOGIN {+}", "a1", "LOGIN"},
		{"a1 LOGIN {-1}", "a1", "LOGIN"},
		{"a1 LOGIN {3} ", "a1", "LOGIN"},
		{"a1 AUTHENTICATE", "a1", "AUTHENTICATE"},
		{"a1 AUTHENTICATE PLAIN *", "a1", "AUTHENTICATE"},
		{"a1 AUTHENTICATE PLAIN AGE", "a1", "AUTHENTICATE"},
		{"a1 SELECT", "a1", "SELECT"},
		{"a1 SELECT a b", "a1", "SELECT"},
		{"a1 SELECT a*", "a1", "SELECT"},
		{`a1 LIST ""`, "a1", "LIST"},
		{`a1 LIST (SUBSCRIBED) "" *`, "a1", "LIST"},
		{"a1 STATUS a ()", "a1", "STATUS"},
		{"a1 STATUS a MESSAGES", "a1", "STATUS"},
		{"a1 STATUS a (SOMETHING)", "a1", "STATUS"},
	})
}

func TestBadMessageCommands(t *testing.T) {
	t.Parallel()
	wantBad(t, []badCase{
		{"a1 COPY 0 a", "a1", "COPY"},
		{"a1 COPY 1,2,3,4,5,6,7,8,9,10,11 a", "a1", "COPY"},
		{"a1 COPY 4294967296 a", "a1", "COPY"},
		{"a1 UID EXPUNGE", "a1", "UID EXPUNGE"},
		{`a1 STORE 1 FLAGS`, "a1", "STORE"},
		{`a1 STORE 1 *FLAGS (a)`, "a1", "STORE"},
		{`a1 STORE 1 FLAGS (\)`, "a1", "STORE"},
		{`a1 STORE 1 FLAGS (\*)`, "a1", "STORE"},
		{`a1 STORE 1 FLAGS (a`, "a1", "STORE"},
		{"a1 FETCH 1 ()", "a1", "FETCH"},
		{"a1 FETCH 1 FOO", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[0]", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[1.]", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[MIME]", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[HEADER.FIELDS ()]", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[]<0.0>", "a1", "FETCH"},
		{"a1 FETCH 1 BODY[]<0>", "a1", "FETCH"},
		{"a1 FETCH 1 (FLAGS" + strings.Repeat(" FLAGS", 40) + ")", "a1", "FETCH"},
		{"a1 ID", "a1", "ID"},
		{`a1 ID ("a")`, "a1", "ID"},
		{`a1 ID ("` + strings.Repeat("a", 31) + `" "b")`, "a1", "ID"},
		{"a1 APPEND a", "a1", "APPEND"},
		{"a1 APPEND a b", "a1", "APPEND"},
		{"a1 APPEND a (x {3+}\r\nabc", "a1", "APPEND"},
		{`a1 APPEND a "32-Jan-2026 00:00:00 +0000" {3+}` + "\r\nabc", "a1", "APPEND"},
		{"a1 SEARCH", "a1", "SEARCH"},
		{"a1 SEARCH FOO", "a1", "SEARCH"},
		{"a1 SEARCH OR ALL", "a1", "SEARCH"},
		{"a1 SEARCH (ALL", "a1", "SEARCH"},
		{"a1 SEARCH ()", "a1", "SEARCH"},
		{"a1 SEARCH ON 30-Feb-2026", "a1", "SEARCH"},
		{"a1 SEARCH LARGER x", "a1", "SEARCH"},
		{"a1 SEARCH LARGER 99999999999999999999", "a1", "SEARCH"},
		{"a1 SEARCH CHARSET UTF-8", "a1", "SEARCH"},
		{"a1 SEARCH NOT NOT NOT NOT NOT ALL", "a1", "SEARCH"},
		{"a1 SEARCH ((((((ALL))))))", "a1", "SEARCH"},
		{"a1 SEARCH ALL" + strings.Repeat(" ALL", 40), "a1", "SEARCH"},
	})
}

func TestMailboxThatCannotExistIsNO(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"SELECT a&b", "CREATE \"a\xc3\xa4\"", "RENAME & x", "APPEND a&b {3+}\r\nabc", "APPEND a&b {3}", `LIST "" &`,
	} {
		c := newClient("a1 " + line + "\r\nb2 NOOP\r\n")
		_, err := c.ReadCommand()
		syntax, ok := errors.AsType[*imap.SyntaxError](err)
		if !ok || syntax.Result != imap.NO || syntax.Code != imap.CodeCannot || c.asked != 0 {
			t.Fatalf("%s: %+v, %v", line, syntax, err)
		}
		wantNext(t, c)
	}
}

func TestSynchronisingLiteralIsAskedForOnce(t *testing.T) {
	t.Parallel()
	c := newClient("a1 LOGIN {3}\r\nann {1}\r\nx\r\nb2 NOOP\r\n")
	if _, err := c.ReadCommand(); err != nil || c.asked != 2 {
		t.Fatalf("asked %d times: %v", c.asked, err)
	}
	wantNext(t, c)

	c = newClient("a1 XYZZY {3}\r\nb2 NOOP\r\n")
	if _, err := c.ReadCommand(); err != nil || c.asked != 0 {
		t.Fatalf("asked %d times: %v", c.asked, err)
	}
	wantNext(t, c)
}

// RFC 7888 §4
func TestOversizedSynchronisingLiteralIsRefusedUnread(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"LOGIN {101}", "LOGIN {99999999999999999999999999}", "SELECT {501}", "APPEND a {2001}",
	} {
		c := newClient("a1 " + line + "\r\nb2 NOOP\r\n")
		_, err := c.ReadCommand()
		syntax, ok := errors.AsType[*imap.SyntaxError](err)
		if !ok || syntax.Result != imap.NO || syntax.Code != imap.CodeTooBig || syntax.Tag != "a1" || c.asked != 0 {
			t.Fatalf("%s: %+v, %v", line, syntax, err)
		}
		wantNext(t, c)
	}
}

// RFC 7888 §4
func TestMoreThanTheLimitsIsFinal(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"literal":            "a1 LOGIN {101+}\r\n" + strings.Repeat("x", 200),
		"message":            "a1 APPEND a {2001+}\r\n" + strings.Repeat("x", 3000),
		"behind a fault":     "a1 LOGIN ( {5000+}\r\n" + strings.Repeat("x", 6000),
		"of an unknown":      "a1 XYZZY {5000+}\r\n" + strings.Repeat("x", 6000),
		"line":               "a1 SELECT " + strings.Repeat("x", 1000) + "\r\n",
		"endless line":       strings.Repeat("x", 100000),
		"many literals":      "a1 SEARCH" + strings.Repeat(" BODY {400+}\r\n"+strings.Repeat("x", 400), 20) + "\r\n",
		"many junk literals": "a1 XYZZY" + strings.Repeat(" {400+}\r\n"+strings.Repeat("x", 400), 50) + "\r\n",
	} {
		c := newClient(input)
		for range 2 {
			if _, err := c.ReadCommand(); !errors.Is(err, imap.ErrTooBig) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if _, err := c.ReadLine(); !errors.Is(err, imap.ErrTooBig) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestEndOfInputInsideACommand(t *testing.T) {
	t.Parallel()
	for _, input := range []string{
		"a1", "a1 NOOP", "a1 LOGIN {3+}", "a1 LOGIN {3+}\r\n", "a1 LOGIN {3+}\r\nab", "a1 LOGIN {3+}\r\nabc",
		"a1 XYZZY {3+}\r\nab", "a1 XYZZY {3+}\r\nabc",
	} {
		if _, err := newClient(input).ReadCommand(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%q: %v", input, err)
		}
	}
	if _, err := newClient("").ReadCommand(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func TestProceedErrorIsFinal(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	d := imap.NewDecoder(bufio.NewReader(strings.NewReader("a LOGIN {1}\r\na b\r\n")), limits(), func() error { return gone })
	for range 2 {
		if _, err := d.ReadCommand(); !errors.Is(err, gone) {
			t.Fatal(err)
		}
	}
}

func TestNothingBehindTheCommandIsRead(t *testing.T) {
	t.Parallel()
	src := bufio.NewReader(strings.NewReader("a1 STARTTLS\r\nb2 NOOP\r\n"))
	d := imap.NewDecoder(src, limits(), func() error { return nil })
	if _, err := d.ReadCommand(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(src); err != nil || string(rest) != "b2 NOOP\r\n" {
		t.Fatalf("%q %v", rest, err)
	}
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	c := newClient("a1 IDLE\r\nDONE\r\na2 AUTHENTICATE PLAIN\nAGEAYg==\nb2 NOOP\r\n")
	for _, want := range []string{"DONE", "AGEAYg=="} {
		if _, err := c.ReadCommand(); err != nil {
			t.Fatal(err)
		}
		if line, err := c.ReadLine(); err != nil || line != want {
			t.Fatalf("%q %v", line, err)
		}
	}
	wantNext(t, c)
}

func TestDecodeSASL(t *testing.T) {
	t.Parallel()
	if b, err := imap.DecodeSASL("AGEAYg=="); err != nil || string(b) != "\x00a\x00b" {
		t.Fatalf("%q %v", b, err)
	}
	if b, err := imap.DecodeSASL(""); err != nil || len(b) != 0 {
		t.Fatalf("%q %v", b, err)
	}
	if _, err := imap.DecodeSASL("*"); !errors.Is(err, imap.ErrCancelled) {
		t.Fatal(err)
	}
	if _, err := imap.DecodeSASL("??"); err == nil || errors.Is(err, imap.ErrCancelled) {
		t.Fatal(err)
	}
}

func date(day int) time.Time { return time.Date(2026, time.February, day, 0, 0, 0, 0, time.UTC) }
