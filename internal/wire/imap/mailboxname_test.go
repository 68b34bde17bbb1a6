package imap_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

type mailboxCase struct{ wire, name string }

func mailboxCases() []mailboxCase {
	return []mailboxCase{
		{"", ""},
		{"a b/c~", "a b/c~"},
		{"&-", "&"},
		{"a&-b&-", "a&b&"},
		{"&ZeVnLIqe-", "日本語"},
		{"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"}, // RFC 3501 §5.1.3
		{"&2D3eAA-", "😀"},
		{"&AAk-", "\t"},
		{"&AOQ-x&AOQ-", "äxä"},
		{"&AOQ-&-", "ä&"},
		{"INBOX/&AOQ-", "INBOX/ä"},
	}
}

func TestMailboxNames(t *testing.T) {
	t.Parallel()
	for _, tt := range mailboxCases() {
		if got, err := imap.DecodeMailbox(tt.wire); err != nil || got != tt.name {
			t.Errorf("decode %q: %q, %v", tt.wire, got, err)
		}
		if got := imap.EncodeMailbox(tt.name); got != tt.wire {
			t.Errorf("encode %q: %q", tt.name, got)
		}
	}
}

func TestBadMailboxNames(t *testing.T) {
	t.Parallel()
	for why, wire := range map[string]string{
		"no end":                "&AOQ",
		"lone ampersand":        "a&b",
		"raw control":           "a\tb",
		"raw 8 bit":             "ä",
		"raw DEL":               "a\x7f",
		"line end in base64":    "&AO\nQ-",
		"line end alone":        "&\n-",
		"digit too many":        "&AOQA-",
		"two high surrogates":   "&2D3YPQ-",
		"odd octets":            "&AA-",
		"not base64":            "&A!B-",
		"slash for comma":       "&U/BTFw-",
		"padding":               "&AOQ=-",
		"printable in base64":   "&AGE-",
		"NUL":                   "&AAA-",
		"two sections in a row": "&AOQ-&AOQ-",
		"bits left over":        "&AOR-",
		"high surrogate alone":  "&2D0-",
		"low surrogate alone":   "&3gA-",
		"surrogate then letter": "&2D0A5A-",
	} {
		if got, err := imap.DecodeMailbox(wire); err == nil {
			t.Errorf("%s: %q", why, got)
		}
	}
}

func TestCanonicalMailbox(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"inbox": "INBOX", "InBox/a": "INBOX/a", "inboxes": "inboxes", "a/inbox": "a/inbox", "": "", "inbo": "inbo",
	} {
		if got := imap.CanonicalMailbox(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzMailboxName(f *testing.F) {
	for _, tt := range mailboxCases() {
		f.Add(tt.wire)
		f.Add(tt.name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := imap.DecodeMailbox(s); err == nil {
			if !utf8.ValidString(name) || strings.Contains(name, "\x00") {
				t.Fatalf("%q: %q", s, name)
			}
			// One name has one spelling, but for the case of INBOX.
			if got := imap.EncodeMailbox(name); got != s && got != imap.CanonicalMailbox(s) {
				t.Fatalf("%q: %q: %q", s, name, got)
			}
		}
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			_ = imap.EncodeMailbox(s) // must not panic
			return
		}
		wire := imap.EncodeMailbox(s)
		got, err := imap.DecodeMailbox(wire)
		if err != nil || got != imap.CanonicalMailbox(s) {
			t.Fatalf("%q: %q: %q, %v", s, wire, got, err)
		}
	})
}

func TestPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reference, pattern, name string
		want                     bool
	}{
		{"", "*", "a/b", true},
		{"", "%", "a", true},
		{"", "%", "a/b", false},
		{"", "", "", true},
		{"", "", "a", false},
		{"a/", "%", "a/b", true},
		{"a/", "%", "a/b/c", false},
		{"a/", "*", "a/b/c", true},
		{"", "%/%", "a/b", true},
		{"", "a*c", "a/b/c", true},
		{"", "a%c", "a/c", false},
		{"", "a%c", "abbc", true},
		{"", "a%*c", "a/c", true},
		{"", "a%%c", "a/c", false},
		{"", "*b%", "a/bb/b", true},
		{"", "*b%", "a/b/c", false},
		{"", "a*", "a", true},
		{"", "a/%", "a", false},
		{"", "inbox", "INBOX", true},
		{"", "inbox", "INBOX/a", false},
		{"", "in%x/a", "INBOX/a", true},
		{"", "in%x/A", "INBOX/a", false},
		{"", "*nbox", "INBOX", true},
		{"", "abc", "ABC", false},
		{"", "日%語", "日本語", true},
		{"", strings.Repeat("ab", 50) + "*" + strings.Repeat("ab", 50), strings.Repeat("ab", 150), true},
		{"", strings.Repeat("ab", 50) + "*" + strings.Repeat("ab", 50) + "c", strings.Repeat("ab", 150), false},
	}
	for _, tt := range tests {
		if got := imap.NewPattern(tt.reference, tt.pattern).Match(tt.name); got != tt.want {
			t.Errorf("%q %q on %q: %t", tt.reference, tt.pattern, tt.name, got)
		}
	}
}

func TestPatternDoesNotBlowUp(t *testing.T) {
	t.Parallel()
	start := time.Now()
	p := imap.NewPattern("", strings.Repeat("*a%", 5000)+"b")
	name := strings.Repeat("a", 15000)
	if p.Match(name) || p.Match(name[:100]) {
		t.Fatal("matched")
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Fatalf("took %v", d)
	}
}

// matches is the plain meaning of a pattern.
func matches(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch c := pattern[0]; {
	case c == '*' || c == '%':
		for i := 0; ; i++ {
			if matches(pattern[1:], name[i:]) {
				return true
			}
			if i == len(name) || c == '%' && name[i] == '/' {
				return false
			}
		}
	case name == "" || name[0] != c:
		return false
	}
	return matches(pattern[1:], name[1:])
}

func FuzzPattern(f *testing.F) {
	f.Add("a%b*c", "a/b/c")
	f.Add("*b%", "a/bb/b")
	f.Add("%/%", "a/b")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := imap.NewPattern("", pattern).Match(name)
		// The plain way takes forever on long input.
		if len(pattern) > 10 || len(name) > 14 || strings.EqualFold(name[:min(5, len(name))], imap.Inbox) {
			return
		}
		if want := matches(imap.CanonicalMailbox(pattern), name); got != want {
			t.Fatalf("%q on %q: %t", pattern, name, got)
		}
	})
}
