package sevenbit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/test/letters"
)

// TestAnyTree makes messages of all kinds of parts and reads them, before and
// after, with a parser that is not ours.
func TestAnyTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		msg := letters.Any(t)
		got, err := convert(t, msg)
		if err != nil {
			t.Fatalf("%v of\n%q", err, msg)
		}
		checkSevenBit(t, msg, got)
		want, have := letters.Leaves(t, msg), letters.Leaves(t, got)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("leaves (-before +after):\n%s\nof\n%q\nas\n%q", diff, msg, got)
		}
	})
}

// checkSevenBit checks what holds of each conversion by itself.
func checkSevenBit(t rapid.TB, before, after string) {
	for line := range strings.SplitSeq(after, "\r\n") {
		if len(line) > maxLine || strings.ContainsAny(line, "\r\n\x00") || High([]byte(line)) {
			t.Fatalf("line %q in\n%q", line, after)
		}
	}
	again, err := convert(t, after)
	if err != nil || again != after {
		t.Fatalf("the second conversion (%v) changed\n%q\nto\n%q", err, after, again)
	}
	if report := inspect(t, before); report.SevenBit() && before != after {
		t.Fatalf("a 7-bit message was changed:\n%q\nto\n%q", before, after)
	}
}

func inspect(t rapid.TB, msg string) *Report {
	report, err := Inspect(strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	return report
}
