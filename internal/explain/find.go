package explain

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/wire/dsn"
)

// maxReplies bounds how many replies are taken out of one text.
const maxReplies = 100

// Replies lists the replies in a longer text, each once, and counts those beyond the first
// hundred. Of a report to a sender they are what it says of each recipient, in the words of
// any mail server that package dsn knows. Elsewhere they are the Diagnostic-Code fields
// (RFC 3464 §2.3.6), or else what stands in its lines: those that begin with a code, and
// those of a log. A text with none of these is one reply.
func Replies(text string) (found []string, more int) {
	n, err := dsn.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		n = &dsn.Notice{} // strings can be read; what stands in them is found below
	}
	found, more = told(n)
	if len(found) == 0 {
		found, more = diagnostics(text)
	}
	if len(found) == 0 {
		found, more = replyLines(text)
	}
	if whole := cmp.Or(n.Reply, strings.TrimSpace(text)); len(found) == 0 && whole != "" {
		found = []string{whole}
	}
	return found, more
}

// replyList gathers replies that come in several lines.
type replyList struct {
	done []string
	seen map[string]bool
	more int             // beyond those that are kept
	last strings.Builder // the lines of the one that is being read
}

// begin ends the reply before and begins another. Equal ones count once.
func (l *replyList) begin(line string) {
	if text := l.last.String(); text != "" && !l.seen[text] {
		if l.seen == nil {
			l.seen = map[string]bool{}
		}
		l.seen[text] = true
		if len(l.done) < maxReplies {
			l.done = append(l.done, text)
		} else {
			l.more++
		}
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

func (l *replyList) end() (found []string, more int) {
	l.begin("")
	return l.done, l.more
}

// told is what a report says of its recipients. Words without a code are explained with
// the status beside them.
func told(n *dsn.Notice) (found []string, more int) {
	var out replyList
	for _, r := range n.Recipients {
		words := cmp.Or(quoted(r.Diagnostic), r.Diagnostic)
		if code, enhanced := dsn.Codes(words); code == 0 && enhanced == "" {
			words = strings.TrimSpace(r.Status + " " + words)
		}
		out.begin(words)
	}
	found, more = out.end()
	return found, more + n.More
}

// diagnostics are the values of the Diagnostic-Code fields, unfolded.
func diagnostics(text string) (found []string, more int) {
	const field = "diagnostic-code:"
	var out replyList
	folds := -1 // how far in the field is that may go on; -1 = none may
	for line := range strings.Lines(text) {
		in := indent(line)
		line = strings.TrimSpace(line)
		switch {
		case len(line) >= len(field) && strings.EqualFold(line[:len(field)], field):
			out.begin(strings.TrimSpace(line[len(field):]))
			folds = in
		case folds >= 0 && in > folds:
			out.add(line)
		default:
			folds = -1
		}
	}
	return out.end()
}

// replyLines are the lines that begin with a code, of which "550-" goes on with the next,
// and what a host said in other lines, which goes on in those that are further in.
func replyLines(text string) (found []string, more int) {
	var out replyList
	open, folds := false, -1 // folds: how far in the line is that may go on; -1 = none may
	for line := range strings.Lines(text) {
		in := indent(line)
		line = strings.TrimSpace(line)
		begins := len(line) >= 3 && codeAt(line, 0)
		said := ""
		if !begins {
			said = cmp.Or(quoted(line), postfix(line), refusedHere(line))
		}
		switch {
		case begins && open, said == "" && folds >= 0 && in > folds && line != "":
			out.add(line)
		case begins:
			out.begin(line)
			folds = -1
		case said != "":
			out.begin(said)
			folds = in
		default:
			folds = -1
		}
		open = begins && len(line) > 3 && line[3] == '-'
	}
	return out.end()
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// saidMarks stand before a reply that a log or a report quotes: Postfix and qmail, Postfix
// of a greeting, Exim, sendmail's transcript, servers that refuse (Postfix), and
// ourselves, in the log and in "hayauma trace".
func saidMarks() []string {
	return []string{" said:", "_said:", "refused to talk to me:", "SMTP error from remote mail server after ", "<<< ", "reject: ", "reply"}
}

// quoted is the reply that a line quotes behind words of its own; empty if it has none.
func quoted(line string) string {
	for _, mark := range saidMarks() {
		_, rest, found := strings.Cut(line, mark)
		if !found {
			continue
		}
		if mark == "_said:" { // qmail's log has no spaces
			rest = strings.ReplaceAll(rest, "_", " ")
		}
		at := findCode(rest)
		if at < 0 {
			continue
		}
		before, reply := rest[:at], rest[at:]
		for _, end := range []string{" Giving up on ", "/Giving up on ", "; from=<"} {
			reply, _, _ = strings.Cut(reply, end)
		}
		if strings.HasSuffix(before, `"`) {
			reply, _, _ = strings.Cut(reply, `"`)
		}
		return reply
	}
	return ""
}

// postfix is what Postfix found itself by a line of its log, "dsn=4.4.1, status=deferred
// (connect to mx.example[192.0.2.1]:25: Connection timed out)"; empty for what it sent.
func postfix(line string) string {
	about, rest, _ := strings.Cut(line, " status=")
	status, words, found := strings.Cut(rest, " (")
	if !found || status == "sent" || strings.Contains(status, " ") { // as other logs have a status and words in brackets
		return ""
	}
	_, code, _ := strings.Cut(about, " dsn=")
	return strings.TrimSpace(strings.TrimRight(code, ",") + " " + strings.TrimSuffix(words, ")"))
}

// refusedHere is what this server told whom it refused, by its log in either form; empty if
// the line is about something else.
func refusedHere(line string) string {
	for mark, form := range map[string]string{" code=": "%d status=%s reason=%q", `"code":`: `%d,"status":%q,"reason":%q`} {
		var code int
		var enhanced, reason string
		_, rest, _ := strings.Cut(line, mark)
		if _, err := fmt.Sscanf(rest, form, &code, &enhanced, &reason); err == nil {
			return fmt.Sprintf("%d %s %s", code, enhanced, reason)
		}
	}
	return ""
}
