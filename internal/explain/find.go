package explain

import (
	"slices"
	"strings"
)

// maxReplies bounds how many replies are taken out of one text.
const maxReplies = 100

// Replies lists the replies in a longer text, each once. In a report to a sender
// they are its Diagnostic-Code fields (RFC 3464 §2.3.6). Elsewhere they are the
// lines that begin with a code. A text with neither is one reply. Of very many
// the first hundred count.
func Replies(text string) []string {
	found := diagnostics(text)
	if len(found) == 0 {
		found = replyLines(text)
	}
	if whole := strings.TrimSpace(text); len(found) == 0 && whole != "" {
		found = []string{whole}
	}
	return found
}

// replyList gathers replies that come in several lines.
type replyList struct {
	done []string
	last strings.Builder // the lines of the one that is being read
}

// begin ends the reply before and begins another. Equal ones count once.
func (l *replyList) begin(line string) {
	if text := l.last.String(); text != "" && len(l.done) < maxReplies && !slices.Contains(l.done, text) {
		l.done = append(l.done, text)
	}
	l.last.Reset()
	l.last.WriteString(line)
}

// add goes on with the reply, which is cut where nobody reads on.
func (l *replyList) add(line string) {
	if l.last.Len() < maxText {
		l.last.WriteString("\n" + line)
	}
}

func (l *replyList) end() []string {
	l.begin("")
	return l.done
}

// diagnostics are the values of the Diagnostic-Code fields, unfolded.
func diagnostics(text string) []string {
	const field = "diagnostic-code:"
	var out replyList
	open := false
	for line := range strings.Lines(text) {
		folded := line[0] == ' ' || line[0] == '\t'
		line = strings.TrimSpace(line)
		switch {
		case len(line) >= len(field) && strings.EqualFold(line[:len(field)], field):
			out.begin(strings.TrimSpace(line[len(field):]))
			open = true
		case open && folded:
			out.add(line)
		default:
			open = false
		}
	}
	return out.end()
}

// replyLines are the lines that begin with a code; "550-" goes on with the next.
func replyLines(text string) []string {
	var out replyList
	more := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if len(line) < 3 || !codeAt(line, 0) {
			more = false
			continue
		}
		if more {
			out.add(line)
		} else {
			out.begin(line)
		}
		more = len(line) > 3 && line[3] == '-'
	}
	return out.end()
}
