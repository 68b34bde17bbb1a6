package imap_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

func flagKey(f imap.Flag) imap.Key   { return imap.Key{Op: imap.KeyFlag, Flag: f} }
func noFlagKey(f imap.Flag) imap.Key { return imap.Key{Op: imap.KeyNoFlag, Flag: f} }
func textKey(op imap.KeyOp, s string) imap.Key {
	return imap.Key{Op: op, Text: s}
}

type searchCase struct {
	line  string
	want  imap.Key
	print string // empty: as line
}

func searchCases() []searchCase {
	return append(flagSearchCases(), []searchCase{
		{"KEYWORD $Junk", flagKey("$Junk"), ""},
		{"UNKEYWORD $Junk", noFlagKey("$Junk"), ""},
		{`BCC x`, textKey(imap.KeyBcc, "x"), `BCC "x"`},
		{`CC "x"`, textKey(imap.KeyCc, "x"), ""},
		{`FROM "a b"`, textKey(imap.KeyFrom, "a b"), ""},
		{`TO "a\"b\\"`, textKey(imap.KeyTo, `a"b\`), ""},
		{`SUBJECT ""`, textKey(imap.KeySubject, ""), ""},
		{"BODY {2+}\r\n\r\n", textKey(imap.KeyBody, "\r\n"), ""},
		{"TEXT {6+}\r\n日本", textKey(imap.KeyText, "日本"), ""},
		{`HEADER X-Y ""`, imap.Key{Op: imap.KeyHeader, Field: "X-Y"}, `HEADER "X-Y" ""`},
		{`HEADER "X" "y"`, imap.Key{Op: imap.KeyHeader, Field: "X", Text: "y"}, ""},
		{"BEFORE 1-Feb-2026", imap.Key{Op: imap.KeyBefore, Date: date(1)}, ""},
		{`ON "02-feb-2026"`, imap.Key{Op: imap.KeyOn, Date: date(2)}, "ON 2-Feb-2026"},
		{"SINCE 12-Feb-2026", imap.Key{Op: imap.KeySince, Date: date(12)}, ""},
		{"SENTBEFORE 1-Feb-2026", imap.Key{Op: imap.KeySentBefore, Date: date(1)}, ""},
		{"SENTON 1-Feb-2026", imap.Key{Op: imap.KeySentOn, Date: date(1)}, ""},
		{"SENTSINCE 1-Feb-2026", imap.Key{Op: imap.KeySentSince, Date: date(1)}, ""},
		{"LARGER 1000", imap.Key{Op: imap.KeyLarger, Size: 1000}, ""},
		{"SMALLER 0", imap.Key{Op: imap.KeySmaller}, ""},
		{"1:3,7:*", imap.Key{Op: imap.KeySeq, Set: set("1:3,7:*")}, ""},
		{"*", imap.Key{Op: imap.KeySeq, Set: set("*")}, ""},
		{"UID 1,2", imap.Key{Op: imap.KeyUID, Set: set("1:2")}, "UID 1:2"},
		{"NOT SEEN", imap.Key{Op: imap.KeyNot, Keys: []imap.Key{flagKey(imap.FlagSeen)}}, ""},
		{"(SEEN)", flagKey(imap.FlagSeen), "SEEN"},
		{"SEEN DRAFT ", imap.Key{Op: imap.KeyAnd, Keys: []imap.Key{
			flagKey(imap.FlagSeen), flagKey(imap.FlagDraft),
		}}, "(SEEN DRAFT)"},
		{"OR (SEEN 1) NOT OR ALL DRAFT", imap.Key{Op: imap.KeyOr, Keys: []imap.Key{
			{Op: imap.KeyAnd, Keys: []imap.Key{flagKey(imap.FlagSeen), {Op: imap.KeySeq, Set: set("1")}}},
			{Op: imap.KeyNot, Keys: []imap.Key{{Op: imap.KeyOr, Keys: []imap.Key{
				{Op: imap.KeyAll}, flagKey(imap.FlagDraft),
			}}}},
		}}, ""},
	}...)
}

func flagSearchCases() []searchCase {
	return []searchCase{
		{"ALL", imap.Key{Op: imap.KeyAll}, ""},
		{"answered", flagKey(imap.FlagAnswered), "ANSWERED"},
		{"DELETED", flagKey(imap.FlagDeleted), ""},
		{"DRAFT", flagKey(imap.FlagDraft), ""},
		{"FLAGGED", flagKey(imap.FlagFlagged), ""},
		{"RECENT", flagKey(imap.FlagRecent), ""},
		{"SEEN", flagKey(imap.FlagSeen), ""},
		{"UNANSWERED", noFlagKey(imap.FlagAnswered), ""},
		{"UNDELETED", noFlagKey(imap.FlagDeleted), ""},
		{"UNDRAFT", noFlagKey(imap.FlagDraft), ""},
		{"UNFLAGGED", noFlagKey(imap.FlagFlagged), ""},
		{"UNSEEN", noFlagKey(imap.FlagSeen), ""},
		{"OLD", noFlagKey(imap.FlagRecent), ""},
		{"NEW", imap.Key{Op: imap.KeyAnd, Keys: []imap.Key{
			flagKey(imap.FlagRecent), noFlagKey(imap.FlagSeen),
		}}, "(RECENT UNSEEN)"},
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	for _, tt := range searchCases() {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			c := newClient("a1 SEARCH " + tt.line + "\r\nb2 NOOP\r\n")
			got, err := c.ReadCommand()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(imap.Request(imap.Search{Key: tt.want}), got.Request); diff != "" {
				t.Fatal(diff)
			}
			wantNext(t, c)
			print := tt.print
			if print == "" {
				print = tt.line
			}
			if got := tt.want.String(); got != print {
				t.Errorf("printed %q", got)
			}
		})
	}
}

func TestSearchCharset(t *testing.T) {
	t.Parallel()
	c := newClient("a1 UID SEARCH charset \"utf-8\" SEEN\r\nb2 NOOP\r\n")
	got, err := c.ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	want := imap.Request(imap.Search{UID: true, Charset: "UTF-8", Key: flagKey(imap.FlagSeen)})
	if diff := cmp.Diff(want, got.Request); diff != "" {
		t.Fatal(diff)
	}
	wantNext(t, c)
}

// roundTrips checks that what was parsed comes back from its printed form.
func roundTrips(t *testing.T, req imap.Request) {
	t.Helper()
	var line string
	switch req := req.(type) {
	case imap.Search:
		line = "SEARCH " + req.Key.String()
		req.Charset, req.UID = "", false
		again(t, line, req)
	case imap.Fetch:
		var items []string
		for _, item := range req.Items {
			items = append(items, item.String())
		}
		line = "FETCH " + req.Set.String() + " (" + strings.Join(items, " ") + ")"
		req.UID = false
		again(t, line, req)
	}
}

func again(t *testing.T, line string, want imap.Request) {
	t.Helper()
	wide := newClient("a1 " + line + "\r\nb2 NOOP\r\n")
	wide.SetLimits(imap.Limits{
		Line: 1 << 20, Command: 1 << 20, LoginLiteral: 1 << 20, Literal: 1 << 20, Depth: 100, Items: 10000, Ranges: 10000,
	})
	got, err := wide.ReadCommand()
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if diff := cmp.Diff(want, got.Request); diff != "" {
		t.Fatalf("%q:\n%s", line, diff)
	}
	wantNext(t, wide)
}
