// Package dsn is the grammar of delivery status notifications (RFC 3464).
package dsn

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Action is what became of a recipient (RFC 3464 §2.3.3).
type Action string

// The actions that we report.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded"
)

// Recipient is one recipient's fields of a report.
type Recipient struct {
	Final      string // "a@b"
	Original   string // ORCPT with its type, "rfc822;a@b"; empty = not given
	Action     Action
	Status     string // "5.1.1"
	RemoteMTA  string // host name; empty = our own finding
	Diagnostic string // the remote's own reply, with its code; may have several lines
	LastTry    time.Time
	RetryUntil time.Time // only for Delayed
	Explained  string    // one sentence for people
}

// Report is a whole notification.
type Report struct {
	From, To    string // header addresses
	Subject     string
	MessageID   string // with its angle brackets
	Date        time.Time
	Hostname    string // the reporting MTA
	EnvelopeID  string // ENVID, empty = not given
	Arrival     time.Time
	DeliverBy   time.Time // zero = the sender gave no time (RFC 2852 §5)
	Text        string    // what people read first; lines end in \n
	Recipients  []Recipient
	Original    []byte // the returned message or its header, CRLF lines
	HeadersOnly bool   // Original is only the header
}

const (
	// maxLine is where report fields are folded; RFC 5322 §2.1.1 allows 998.
	maxLine = 900
	// maxIndent is how far in a broken line goes on.
	maxIndent = 8
)

// Bytes writes the message with CRLF line ends. It is pure ASCII, so that any
// host takes it, unless the sender's own address is not.
func (r *Report) Bytes() []byte {
	utf8Report := !isASCII(r.To) || !isASCII(r.EnvelopeID)
	for _, rcpt := range r.Recipients {
		utf8Report = utf8Report || !isASCII(rcpt.Final) || !isASCII(rcpt.Original) || !isASCII(rcpt.Diagnostic)
	}
	boundary := r.boundary()
	var b bytes.Buffer
	field(&b, "From", "Mail Delivery System <"+r.From+">")
	field(&b, "To", "<"+r.To+">")
	field(&b, "Subject", r.Subject)
	field(&b, "Date", r.Date.Format(time.RFC1123Z))
	field(&b, "Message-ID", r.MessageID)
	// RFC 3834 §5: nobody's robot shall answer this.
	field(&b, "Auto-Submitted", "auto-replied")
	field(&b, "MIME-Version", "1.0")
	field(&b, "Content-Type", "multipart/report; report-type=delivery-status;\r\n\tboundary=\""+boundary+"\"")
	b.WriteString("\r\nThis is a report in MIME format.\r\n")

	part(&b, boundary, "text/plain; charset=utf-8", "Notification", []byte(lines(r.Text)))
	kind := "message/delivery-status"
	if utf8Report {
		kind = "message/global-delivery-status" // RFC 6533 §3
	}
	part(&b, boundary, kind, "Delivery report", r.status(utf8Report))
	kind = "message/rfc822"
	if r.HeadersOnly {
		kind = "text/rfc822-headers" // which may be encoded (RFC 6522 §4)
	}
	part(&b, boundary, kind, "Original message", r.Original)
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes()
}

// boundary returns one that occurs neither in the returned message nor in what
// people read.
func (r *Report) boundary() string {
	base := strings.Trim(r.MessageID, "<>")
	base, _, _ = strings.Cut(base, "@")
	boundary := "report." + base
	for i := 0; bytes.Contains(r.Original, []byte(boundary)) || strings.Contains(r.Text, boundary); i++ {
		boundary = fmt.Sprintf("report.%s.%d", base, i)
	}
	return boundary
}

// part writes one part; what is not ASCII, or has lines that are too long, is
// encoded.
func part(b *bytes.Buffer, boundary, kind, description string, content []byte) {
	b.WriteString("\r\n--" + boundary + "\r\n")
	field(b, "Content-Type", kind)
	field(b, "Content-Description", description)
	if Plain(content) || kind == "message/rfc822" {
		field(b, "Content-Transfer-Encoding", "7bit")
		b.WriteString("\r\n")
		b.Write(content)
		return
	}
	field(b, "Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(b)
	_, _ = w.Write(content) // a buffer never fails
	_ = w.Close()
}

// Plain tells whether a content can stand as it is (RFC 2045 §2.7).
func Plain(content []byte) bool {
	for line := range bytes.SplitSeq(content, []byte("\r\n")) {
		if len(line) > 998 || !isASCII(string(line)) || bytes.IndexByte(line, 0) >= 0 {
			return false
		}
	}
	return true
}

// status writes the fields for machines (RFC 3464 §2.2 and §2.3).
func (r *Report) status(utf8Report bool) []byte {
	b := &bytes.Buffer{}
	if r.EnvelopeID != "" {
		field(b, "Original-Envelope-Id", r.EnvelopeID)
	}
	field(b, "Reporting-MTA", "dns; "+r.Hostname)
	field(b, "Arrival-Date", r.Arrival.Format(time.RFC1123Z))
	if !r.DeliverBy.IsZero() {
		field(b, "Deliver-By-Date", r.DeliverBy.Format(time.RFC1123Z))
	}
	kind := "rfc822"
	if utf8Report {
		kind = "utf-8" // RFC 6533 §3
	}
	for _, rcpt := range r.Recipients {
		b.WriteString("\r\n")
		if rcpt.Original != "" {
			field(b, "Original-Recipient", rcpt.Original)
		}
		field(b, "Final-Recipient", kind+"; "+rcpt.Final)
		field(b, "Action", string(rcpt.Action))
		field(b, "Status", rcpt.Status)
		if rcpt.RemoteMTA != "" {
			field(b, "Remote-MTA", "dns; "+rcpt.RemoteMTA)
		}
		if rcpt.Diagnostic != "" {
			field(b, "Diagnostic-Code", diagnosticKind(rcpt)+"; "+rcpt.Diagnostic)
		}
		if !rcpt.LastTry.IsZero() {
			field(b, "Last-Attempt-Date", rcpt.LastTry.Format(time.RFC1123Z))
		}
		if rcpt.Action == Delayed && !rcpt.RetryUntil.IsZero() {
			field(b, "Will-Retry-Until", rcpt.RetryUntil.Format(time.RFC1123Z))
		}
	}
	return b.Bytes()
}

// diagnosticKind tells a remote's SMTP reply from our own words
// (RFC 3464 §2.3.6).
func diagnosticKind(r Recipient) string {
	if r.RemoteMTA == "" {
		return "x-hayauma"
	}
	return "smtp"
}

// field writes a header field whose value can break neither the line nor the
// field: line ends become folds, what is not seen goes.
func field(b *bytes.Buffer, name, value string) {
	value = strings.ReplaceAll(value, "\r\n", "\n")
	var out strings.Builder
	col := len(name) + 2
	for _, c := range value {
		switch {
		case c == '\n':
			out.WriteString("\r\n\t")
			col = 1
		case c == '\t':
			out.WriteByte(' ')
			col++
		case unseen(c):
		default:
			if col > maxLine {
				out.WriteString("\r\n\t")
				col = 1
			}
			out.WriteRune(c)
			col += utf8.RuneLen(c)
		}
	}
	b.WriteString(name + ": " + foldTrim(out.String()) + "\r\n")
}

// foldTrim drops folds that would leave a line of white space alone.
func foldTrim(s string) string {
	lines := strings.Split(s, "\r\n\t")
	kept := lines[:0]
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "\r\n\t")
}

// lines writes text with CRLF line ends, none of its lines too long, and without
// what is not seen. A line that is broken goes on where it began: words of others,
// which stand further in, never get to where ours begin.
func lines(text string) string {
	var out strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteString("\r\n")
		}
		in := line[:min(maxIndent, len(line)-len(strings.TrimLeft(line, " ")))]
		col := 0
		for _, c := range line {
			if c != '\t' && unseen(c) {
				continue
			}
			if col > maxLine {
				out.WriteString("\r\n" + in)
				col = len(in)
			}
			out.WriteRune(c)
			col += utf8.RuneLen(c)
		}
	}
	return out.String()
}

// unseen tells of characters that a report does without: controls, line ends that are
// none in mail, and those that turn the direction of what stands around them.
func unseen(c rune) bool {
	return unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
