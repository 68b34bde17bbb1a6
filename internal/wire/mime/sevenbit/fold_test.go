package sevenbit

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func fold(t rapid.TB, msg string) (string, error) {
	t.Helper()
	plan, err := inspect(t, msg).Fold(strings.NewReader(msg))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if n, err := plan.WriteTo(&out); err != nil || n != plan.Size() {
		t.Fatalf("wrote %d octets of %d: %v", n, plan.Size(), err)
	}
	return out.String(), nil
}

func TestFold(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	const parts = mimeHead + "Content-Type: multipart/mixed; boundary=b\n\n"
	for _, row := range []struct{ name, in, want string }{
		{"what fits stays", "A: " + x(995) + "\n\n" + x(2000) + "\n", "A: " + x(995) + "\n\n" + x(2000) + "\n"},
		{"at the last space that fits", "A: b " + x(600) + " " + x(380) + "  " + x(11) + " c\n\nx\n", "A: b " + x(600) + " " + x(380) + " \n " + x(11) + " c\n\nx\n"},
		{"as often as it takes", "A: " + x(900) + "\t" + x(900) + " " + x(900) + "\n\n", "A: " + x(900) + "\n\t" + x(900) + "\n " + x(900) + "\n\n"},
		{"right behind the name", "A: " + x(997) + "\n\n", "A:\n " + x(997) + "\n\n"},
		{"a line that was folded", "A: b\n c " + x(996) + "\nB: c\n\n", "A: b\n c\n " + x(996) + "\nB: c\n\n"},
		{"no line of white space alone", "A: b " + x(900) + strings.Repeat(" ", 95) + "\n\n", "A: b\n " + x(900) + strings.Repeat(" ", 95) + "\n\n"},
		{"a header beyond ASCII", "A: ü " + x(996) + "\n\n", "A: ü\n " + x(996) + "\n\n"},
		{"a header without end", "A: b " + x(996), "A: b\n " + x(996)},
		{"those of parts", parts + "--b\nA: b " + x(996) + "\n\n--b\nContent-Type: message/rfc822\n\nB: c " + x(996) + "\nC: d\n\nx\n--b--\n", parts + "--b\nA: b\n " + x(996) + "\n\n--b\nContent-Type: message/rfc822\n\nB: c\n " + x(996) + "\nC: d\n\nx\n--b--\n"},
		{"the header around signed parts", "A: b " + x(996) + "\n" + strings.Replace(parts, "mixed", "signed", 1) + "--b\n\nx\n--b--\n", "A: b\n " + x(996) + "\n" + strings.Replace(parts, "mixed", "signed", 1) + "--b\n\nx\n--b--\n"},
		{"no white space", "A:" + x(997) + "\n\n", ""},
		{"white space before the colon", "A :" + x(997) + "\n\n", ""},
		{"white space at the end", "A:" + x(997) + " \n\n", ""},
		{"a folded line without white space", "A: b\n " + x(998) + "\n\n", ""},
		{"no field", "A: b\n" + x(500) + " " + x(500) + "\n\n", ""},
		{"signed", "DKIM-Signature: v=1\nA: b " + x(996) + "\n\n", ""},
		{"in a signed part", strings.Replace(parts, "mixed", "signed", 1) + "--b\nA: b " + x(996) + "\n\nx\n--b--\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := fold(t, crlf(row.in))
			if errors.Is(err, BadHeader) != (row.want == "") {
				t.Fatal(err)
			}
			if diff := cmp.Diff(crlf(row.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := fold(t, "A: "+strings.Repeat("b ", maxHeader)+"\r\n\r\n"); !errors.Is(err, TooComplex) {
		t.Errorf("a header that is too large: %v", err)
	}
}

// TestFoldAnyField: who unfolds a field reads what was there, and all lines fit.
func TestFoldAnyField(t *testing.T) {
	t.Parallel()
	word := rapid.Map(rapid.IntRange(1, 400), func(n int) string { return strings.Repeat("x", n) })
	space := rapid.SampledFrom([]string{" ", "\t", "   ", "\r\n "})
	rapid.Check(t, func(t *rapid.T) {
		field := "A:"
		for range rapid.IntRange(1, 30).Draw(t, "words") {
			field += space.Draw(t, "space") + word.Draw(t, "word")
		}
		msg := field + "\r\nB: c\r\n\r\n"
		got, err := fold(t, msg)
		if err != nil {
			t.Fatalf("%v of %q", err, msg)
		}
		if unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t"); unfolded.Replace(got) != unfolded.Replace(msg) {
			t.Fatalf("%q became %q", msg, got)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(got, "\r\n\r\n"), "\r\n") {
			if len(line) > maxLine || strings.TrimSpace(line) == "" {
				t.Fatalf("line %q of %q", line, got)
			}
		}
	})
}
