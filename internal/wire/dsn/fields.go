package dsn

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// readFields reads the part for machines: a group of fields about the message, then
// one about each recipient (RFC 3464 §2.1). Groups in another order are understood
// as well.
func (n *Notice) readFields(b []byte) {
	for group := range Groups(b) {
		r, about := n.group(group)
		switch {
		case !about:
			continue
		case len(n.Recipients) == maxKept:
			n.More++
		default:
			n.Recipients = append(n.Recipients, r)
		}
		n.Form = Fields
	}
}

// Groups are the groups of fields with blank lines between them, of which most
// reports for machines consist.
func Groups(b []byte) iter.Seq[mime.Header] {
	return func(yield func(mime.Header) bool) {
		var group []byte
		for line := range bytes.Lines(b) {
			line = bytes.TrimRight(line, " \t\r\n")
			if len(line) > 0 {
				group = append(append(group, line...), '\n')
				continue
			}
			if len(group) > 0 && !yield(group) {
				return
			}
			group = nil
		}
		if len(group) > 0 {
			yield(group)
		}
	}
}

// group reads one; about tells whether it is about a recipient.
func (n *Notice) group(h mime.Header) (r Recipient, about bool) {
	for f := range h.All() {
		v := Value(f)
		switch strings.ToLower(string(f.Name)) {
		case "original-envelope-id":
			n.EnvelopeID = v
		case "reporting-mta":
			_, n.Hostname = Typed(v)
		case "arrival-date":
			n.Arrival, _ = mime.ParseDate(v)
		case "original-recipient":
			if kind, addr := Typed(v); addr != "" {
				r.Original, about = kind+";"+addr, true
			}
		case "final-recipient":
			if _, r.Final = Typed(v); r.Final != "" {
				about = true
			}
		case "action":
			r.Action = action(v)
		case "status":
			_, r.Status = Codes(v)
		case "remote-mta":
			_, r.RemoteMTA = Typed(v)
		case "diagnostic-code":
			if kind, words, typed := strings.Cut(v, ";"); typed && !strings.Contains(strings.TrimSpace(kind), " ") {
				v = strings.TrimSpace(words)
			}
			r.Diagnostic = v
		case "last-attempt-date":
			r.LastTry, _ = mime.ParseDate(v)
		case "will-retry-until":
			r.RetryUntil, _ = mime.ParseDate(v)
		}
	}
	if _, addr := Typed(r.Original); r.Final == "" {
		r.Final = addr
	}
	return r, about
}

// Value is a field's value without its folds, cut where nobody reads on.
func Value(f mime.Field) string {
	return clip(strings.Join(strings.Fields(f.Text()), " "))
}

func clip(s string) string {
	if len(s) > maxValue {
		s = s[:maxValue]
	}
	return strings.ToValidUTF8(s, "?")
}

// Typed takes "rfc822; a@b" apart. The type is in lower case, the rest without
// angle brackets; what has no type is the rest.
func Typed(s string) (kind, rest string) {
	kind, rest, typed := strings.Cut(s, ";")
	if !typed {
		kind, rest = "", s
	}
	kind = strings.ToLower(strings.TrimSpace(kind))
	rest = strings.TrimSpace(rest)
	if strings.HasPrefix(rest, "<") && strings.HasSuffix(rest, ">") {
		rest = rest[1 : len(rest)-1]
	}
	if kind == "utf-8" {
		rest = unitext(rest)
	}
	return kind, rest
}

// unitext decodes \x{HEX}, in which what is not ASCII may stand (RFC 6533 §3).
func unitext(s string) string {
	var b strings.Builder
	for {
		before, rest, more := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !more {
			return b.String()
		}
		digits, after, closed := strings.Cut(rest, "}")
		c, err := strconv.ParseUint(digits, 16, 21)
		if !closed || err != nil || len(digits) < 2 {
			b.WriteString(`\x{`)
			s = rest
			continue
		}
		b.WriteRune(rune(c))
		s = after
	}
}

// action is one of those that exist, or none (RFC 3464 §2.3.3).
func action(s string) Action {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	a := Action(strings.ToLower(word))
	if !slices.Contains([]Action{Failed, Delayed, Delivered, Relayed, Expanded}, a) {
		return ""
	}
	return a
}

// Codes are the codes in the words of a host: 550 only where it begins them or
// follows a colon, 5.1.1 anywhere. 0 and "" stand for those that are not there.
func Codes(s string) (code int, enhanced string) {
	first := true
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(" \t\n\r()#,;<>'\"-", r) }) {
		bare := strings.Trim(word, ":.")
		if code == 0 && first && isCode(bare) {
			code, _ = strconv.Atoi(bare)
		} else if enhanced == "" && isEnhanced(bare) {
			enhanced = bare
		}
		first = strings.HasSuffix(word, ":")
	}
	return code, enhanced
}

// isCode tells whether a word is a final reply code (RFC 5321 §4.2).
func isCode(s string) bool {
	return len(s) == 3 && strings.ContainsRune("245", rune(s[0])) && s[1] >= '0' && s[1] <= '5' && s[2] >= '0' && s[2] <= '9'
}

// isEnhanced tells whether a word is an enhanced status code (RFC 3463 §2).
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(s) > 9 || len(parts) != 3 || len(parts[0]) != 1 || !strings.ContainsAny(parts[0], "245") {
		return false
	}
	for _, p := range parts[1:] {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

// Said is what the host that has the last word about a recipient said, as far as
// the report repeats it: the reply's code, 0 = not known, and the enhanced code,
// the more exact of the two that a report has.
func (r Recipient) Said() (code int, enhanced string) {
	code, enhanced = Codes(r.Diagnostic)
	if r.Status != "" && (enhanced == "" || enhanced[0] != r.Status[0] || !strings.HasSuffix(r.Status, ".0.0")) {
		enhanced = r.Status
	}
	return code, enhanced
}
