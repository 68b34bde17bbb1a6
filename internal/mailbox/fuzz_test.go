package mailbox

import (
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func FuzzName(f *testing.F) {
	for _, s := range []string{"INBOX", "inbox/A", "a/b/", "e\u0301", "/", "a//b", "日本/語", "\u2028", "%"} {
		f.Add(s)
	}
	l := limits{nameBytes: 60, depth: 5}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := l.cleanName(name)
		if err != nil {
			return
		}
		if again, err := l.cleanName(clean); err != nil || again != clean {
			t.Errorf("%q became %q, then %q (%v)", name, clean, again, err)
		}
		if len(clean) > l.nameBytes || !utf8.ValidString(clean) || strings.ContainsAny(clean, "*%\r\n\x00") {
			t.Errorf("%q became %q", name, clean)
		}
		up := parents(clean)
		if len(up) >= l.depth {
			t.Errorf("%q has %d levels above", clean, len(up))
		}
		for _, p := range up {
			if again, err := l.cleanName(p); err != nil || again != p {
				t.Errorf("%q above %q: %q (%v)", p, clean, again, err)
			}
		}
	})
}

// A text is found in a stream exactly where it is found in memory.
func FuzzNeedle(f *testing.F) {
	f.Add("straße Σοφος", "SOφΟΣ")
	f.Add("日本語\xe6", "本語")
	f.Add(strings.Repeat("a", 5000)+"b", "AB")
	f.Fuzz(func(t *testing.T, text, find string) {
		n := newNeedle(find)
		want := n.in(text)
		for name, r := range map[string]bool{"bytes": true, "halves": false} {
			in := iotest.HalfReader(strings.NewReader(text))
			if r {
				in = iotest.OneByteReader(strings.NewReader(text))
			}
			if got, err := n.inReader(t.Context(), in); err != nil || got != want {
				t.Errorf("%s: %q in %q: %v, %v; in memory %v", name, find, text, got, err, want)
			}
		}
	})
}

func FuzzMessageIDs(f *testing.F) {
	f.Add("<a@b> <c@d>")
	f.Add("<<>>< ")
	f.Fuzz(func(t *testing.T, text string) {
		list := messageIDs(text)
		again := messageIDs(strings.Join(list, " "))
		if len(again) != len(list) {
			t.Errorf("%q: %q, then %q", text, list, again)
		}
	})
}
