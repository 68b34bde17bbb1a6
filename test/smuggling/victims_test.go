package smuggling

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// seen is one message as a host sees it.
type seen struct {
	from    string
	to      []string
	content string // as sent, without the end
}

// host reads what came over a connection, strictly or not.
type host struct {
	name  string
	takes func(raw string) string // what it makes of the octets first; nil = nothing
	ends  []string                // what ends a content beside the legal end
}

// hosts are those that are less strict than they should be. A dot that is
// doubled, or behind other text, ends a message nowhere: correct mail has it.
func hosts() []host {
	var ends, withNUL []string
	for _, before := range lineEnds() {
		for _, dot := range []string{".", ". ", ".\x00", ".\r", ".\t"} {
			for _, after := range lineEnds() {
				if end := before + dot + after; strings.HasSuffix(before, "\x00") {
					withNUL = append(withNUL, end)
				} else {
					ends = append(ends, end)
				}
			}
		}
	}
	replaces := func(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }
	return []host{
		{"ends at every mix", nil, ends},
		{"drops CR", replaces("\r", ""), []string{"\n.\n"}},
		{"takes CR for LF", replaces("\r\n", "\n", "\r", "\n"), []string{"\n.\n"}},
		{"takes LF for CRLF", replaces("\r\n", "\r\n", "\n", "\r\n"), nil},
		{"drops white space before line ends", replaces(" \r\n", "\r\n", "\t\r\n", "\r\n"), nil},
		{"ends at every mix with NUL", nil, withNUL},
		{"drops NUL", replaces("\x00", ""), nil},
	}
}

func strict() host { return host{name: "strict"} }

var pathOf = regexp.MustCompile(`(?i)^(MAIL FROM|RCPT TO): ?<([^>]*)>`)

// read is what the host sees in the octets of a connection.
func (h host) read(raw string) []seen {
	if h.takes != nil {
		raw = h.takes(raw)
	}
	var out []seen
	var now seen
	for raw != "" {
		line, rest, _ := strings.Cut(raw, "\n")
		line = strings.TrimSuffix(line, "\r")
		if m := pathOf.FindStringSubmatch(line); m != nil {
			if strings.EqualFold(m[1], "RCPT TO") {
				now.to = append(now.to, m[2])
			} else {
				now = seen{from: m[2]}
			}
		}
		if !strings.EqualFold(line, "DATA") {
			raw = rest
			continue
		}
		// The command's own line end may begin the end.
		now.content, raw = h.cut(raw[len(line):])
		out = append(out, now)
		now = seen{}
	}
	return out
}

// cut splits at the first end. s begins with the line end of DATA, which is no
// part of the content.
func (h host) cut(s string) (text, rest string) {
	own := 1
	if strings.HasPrefix(s, "\r\n") {
		own = 2
	}
	all := append(slices.Clone(h.ends), legalEnd)
	for i := own; i < len(s); i++ {
		next := strings.IndexByte(s[i:], '.')
		if next < 0 {
			break
		}
		i += next
		for _, end := range all {
			begin := i - strings.IndexByte(end, '.')
			if begin >= 0 && strings.HasPrefix(s[begin:], end) {
				return s[own:max(own, begin)], s[begin+len(end):]
			}
		}
	}
	return s[own:], ""
}

// compare says how a host sees other messages than a strict one.
func (h host) compare(raw string) error {
	want, got := strict().read(raw), h.read(raw)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want) || i < len(got) && (got[i].from != want[i].from || !slices.Equal(got[i].to, want[i].to)):
			return fmt.Errorf("a host that %s sees a message from %q to %q: %q", h.name, got[i].from, got[i].to, got[i].content)
		case i >= len(got):
			return fmt.Errorf("a host that %s does not see the message from %q to %q", h.name, want[i].from, want[i].to)
		}
	}
	return nil
}

// checkTape looks for what no connection of ours may carry.
func checkTape(raw []byte) error {
	bare := bytes.ReplaceAll(raw, []byte("\r\n"), nil)
	if i := bytes.IndexAny(bare, "\r\n"); i >= 0 {
		return fmt.Errorf("a bare %q near %q", bare[i], bare[max(0, i-40):min(len(bare), i+40)])
	}
	ends := bytes.Count(raw, []byte("\n.\r")) // of CRLF.CRLF, which may overlap
	if messages := len(strict().read(string(raw))); ends != messages {
		return fmt.Errorf("%d ends of %d messages", ends, messages)
	}
	return nil
}

// The hosts see what they must: else none of them would find anything.
func TestHosts(t *testing.T) {
	t.Parallel()
	const envelope = "MAIL FROM:<a@c.test> SIZE=1\r\nRCPT TO:<b@d.test>\r\nDATA\r\n"
	names := func(h host, raw string) string {
		var out []string
		for _, m := range h.read(raw) {
			out = append(out, m.from+" "+strings.Join(m.to, ","))
		}
		return strings.Join(out, "; ")
	}
	const one, two = "a@c.test b@d.test", "a@c.test b@d.test; evil@x.test victim@b.test,victim@a.test"
	for _, row := range []struct {
		v    string
		want []string // of those that see two messages
	}{
		{"\n.\n", []string{"ends at every mix", "drops CR", "takes CR for LF", "takes LF for CRLF"}},
		{"\r.\r", []string{"ends at every mix", "takes CR for LF"}},
		{"\r\n.\r\r\n", []string{"ends at every mix", "drops CR", "takes CR for LF"}},
		{"\r\n. \r\n", []string{"ends at every mix", "drops white space before line ends"}},
		{"\r\n\x00.\r\n", []string{"ends at every mix with NUL", "drops NUL"}},
		{"\r\n.\x00\r\n", []string{"ends at every mix", "drops NUL"}},
		{"\r\n..\r\n", nil},
		{"\r\n .\r\n", nil},
		{".\r\n", nil},
	} {
		raw := "EHLO a\r\n" + envelope + inBody(row.v)[0].text() + ".\r\nQUIT\r\n"
		if got := names(strict(), raw); got != one {
			t.Errorf("%q: a strict host sees %s", row.v, got)
		}
		var got []string
		for _, h := range hosts() {
			switch names(h, raw) {
			case two:
				got = append(got, h.name)
			case one:
			default:
				t.Errorf("%q: a host that %s sees %s", row.v, h.name, names(h, raw))
			}
			if (h.compare(raw) != nil) != (names(h, raw) == two) {
				t.Errorf("%q: a host that %s: %v", row.v, h.name, h.compare(raw))
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%q: two messages are seen by %q, want %q", row.v, got, row.want)
		}
	}
	if got := names(strict(), envelope+legalEnd[2:]+smuggled+".\r\n"); got != two {
		t.Errorf("behind an empty message: %s", got)
	}
	for raw, fine := range map[string]bool{
		"EHLO a\r\n" + envelope + "x\r\n.\r\n": true,
		envelope + "x\r\ny\n.\r\n":             false,
		envelope + "x\r\n.\r\n.\r\n":           false,
		envelope + "x\ry\r\n.\r\n":             false,
	} {
		if err := checkTape([]byte(raw)); (err == nil) != fine {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
