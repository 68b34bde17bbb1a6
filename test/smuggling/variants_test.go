package smuggling

import (
	"slices"
	"strings"
	"testing"
)

// legalEnd is the one end of a content (RFC 5321 §4.1.1.4).
const legalEnd = "\r\n.\r\n"

// smuggled is a second transaction, which a host must never see.
const smuggled = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<victim@b.test>\r\nRCPT TO:<victim@a.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsecond\r\n"

// lineEnds are what some host may take for the end of a line.
func lineEnds() []string {
	return []string{"\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\x00\n", "\n\x00", "\r\n\x00", "\x00\r\n", " \r\n"}
}

// dots are what some host may take for the dot.
func dots() []string {
	return []string{".", "..", ". ", ".\x00", "\x00.", ".\r", " .", ".\t"}
}

// variants are all mixes of them, each once, and those with no line end before
// the dot.
func variants() []string {
	var out []string
	seen := map[string]bool{}
	for _, before := range append(lineEnds(), "") {
		for _, dot := range dots() {
			for _, after := range lineEnds() {
				if v := before + dot + after; !seen[v] {
					seen[v] = true
					out = append(out, v)
				}
			}
		}
	}
	return out
}

// content is a message around a variant.
type content struct{ head, v, tail string }

func (c content) text() string { return c.head + c.v + c.tail }

// legal tells whether the variant is the legal end where it stands. The line end
// of DATA may begin it.
func (c content) legal() bool {
	return strings.Contains("\r\n"+c.head+c.v, legalEnd)
}

// cuts are the places before, in and behind the variant.
func (c content) cuts() []int {
	var at []int
	for i := range len(c.v) + 1 {
		if cut := len(c.head) + i; cut > 0 {
			at = append(at, cut)
		}
	}
	return at
}

func inBody(v string) []content { return []content{{"Subject: n\r\n\r\nfirst", v, smuggled}} }

// atStart puts a variant where only the line end of the command is before it.
func atStart(v string) []content { return []content{{"", v, smuggled}} }

func everywhere(v string) []content {
	return slices.Concat(atStart(v), inBody(v), []content{{"Subject: n", v, smuggled}})
}

// afterLong puts a variant behind a line so long that the server's buffer ends
// at each octet of it.
func afterLong(v string) []content {
	const buffer = 16 << 10
	var out []content
	for i := range len(v) + 1 {
		out = append(out, content{"Subject: n\r\n\r\n" + strings.Repeat("x", buffer-i), v, smuggled})
	}
	return out
}

// acrossChunks repeats a dot on a line of its own around the place where a part of
// what goes out ends, wherever our own field puts it.
func acrossChunks(v string) []content {
	const part, around = 64 << 10, 400
	if !strings.HasPrefix(v, "\r\n") || !strings.HasSuffix(v, "\r\n") || verdict(v) != accepted {
		return nil
	}
	var out []content
	for i := range len(v) {
		head := "Subject: n\r\n\r\n" + strings.Repeat("x", part-around+i)
		out = append(out, content{head, strings.Repeat(v, 1+around/len(v)), smuggled})
	}
	return out
}

// wellFormed tells whether no CR or LF stands alone.
func wellFormed(s string) bool {
	return !strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}

// unstuffed is a well-formed content without the dots that transparency adds
// (RFC 5321 §4.5.2).
func unstuffed(s string) string {
	return strings.ReplaceAll("\r\n"+s, "\r\n.", "\r\n")[2:]
}

func TestVariants(t *testing.T) {
	t.Parallel()
	all := variants()
	illegal := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return inBody(v)[0].legal() })
	t.Logf("%d variants, of which %d hold the legal end", len(all), len(all)-len(illegal))
	if len(illegal) < 60 {
		t.Errorf("%d variants are too few", len(illegal))
	}
	for _, v := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n. \r\n", ".\n"} {
		if !slices.Contains(illegal, v) {
			t.Errorf("%q is missing", v)
		}
	}
	for _, row := range []struct {
		in   string
		fine bool
		out  string
	}{
		{"", true, ""},
		{"a\r\n", true, "a\r\n"},
		{"..\r\n.a\r\n...", true, ".\r\na\r\n.."},
		{"a\r\r\n", false, ""},
		{"a\n\r", false, ""},
		{"a\rb", false, ""},
	} {
		if got := wellFormed(row.in); got != row.fine {
			t.Errorf("%q is well-formed: %v", row.in, got)
		}
		if got := unstuffed(row.in); row.fine && got != row.out {
			t.Errorf("%q is %q without its dots", row.in, got)
		}
	}
}
