package bounce

import (
	"bytes"
	"context"
	"fmt"
	mimewords "mime"
	"strings"
	"time"
	"unicode"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/dsn"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

const (
	// maxReturned bounds a message that is returned whole (RET=FULL).
	maxReturned = 1 << 20
	// maxReturnedHeader bounds the header that is returned otherwise.
	maxReturnedHeader = 64 << 10
	// maxWords bounds a remote's reply in a report.
	maxWords = 2000
	// maxValue bounds a field of the message in what people read, in characters.
	maxValue = 500
)

// composing is one report to write.
type composing struct {
	message    *queue.Message
	recipients []queue.Recipient
	occasion   occasion
	id         mail.ID
	language   string // of the sender; empty = not known
	redacted   bool   // nobody on its way may read of the message
}

func (r *Reporter) compose(ctx context.Context, c composing) ([]byte, error) {
	original, headersOnly, err := r.original(ctx, c)
	if err != nil {
		return nil, err
	}
	tried, err := r.log.Tried(ctx, c.message.ID)
	if err != nil {
		return nil, err
	}
	m, host, now, w := c.message, r.o.Hostname(), time.Now(), phrasesIn(c.language)
	report := dsn.Report{
		From: "MAILER-DAEMON@" + host, To: m.From.Header(), Subject: mimewords.BEncoding.Encode("utf-8", w.opening(c.occasion.kind).Subject),
		MessageID: "<" + c.id.String() + "@" + host + ">", Date: now, Hostname: host,
		EnvelopeID: m.EnvID, Arrival: mail.FromMicros(m.Received),
		Original: original, HeadersOnly: headersOnly,
	}
	if m.By.At != 0 {
		report.DeliverBy = mail.FromMicros(m.By.At)
	}
	for _, rcpt := range c.recipients {
		d := r.describe(m, rcpt, now, w)
		d.LastTry = tried[rcpt.Address.String()] // RFC 3464 §2.3.7: of the attempt; the field may be missing
		report.Recipients = append(report.Recipients, d)
	}
	report.Text = r.text(c, original, report.Recipients, host)
	return report.Bytes(), nil
}

func (r *Reporter) describe(m *queue.Message, rcpt queue.Recipient, now time.Time, w phrases) dsn.Recipient {
	d := dsn.Recipient{
		Final: rcpt.Address.Header(), Original: rcpt.ORCPT, Action: dsn.Failed,
		Status: status(rcpt), Diagnostic: words(rcpt),
	}
	if !rcpt.Ours {
		d.RemoteMTA = rcpt.Host
	}
	switch rcpt.State {
	case queue.Failed:
	case queue.Served:
		d.Action, d.Explained = served(m, rcpt, w)
		return d
	default:
		d.Action, d.Explained = dsn.Delayed, w.NotYet
		if until := mail.FromMicros(r.o.Queue.Expires(m, &rcpt)); until.After(now) { // else its last attempt is to come
			d.RetryUntil = until
		}
		if m.By.At != 0 && m.By.At <= mail.Micros(now) {
			// RFC 2852 §4.1.3
			d.Status, d.Explained = mail.DeliveryExpired.Enhanced(mail.Transient), w.Late
		}
		return d
	}
	switch {
	case rcpt.Expired:
		d.Explained = w.GivenUp
	case rcpt.ByHand:
		d.Explained = w.ByHand
	case rcpt.Ours:
		d.Explained = w.Cannot
	default:
		d.Explained = fmt.Sprintf(w.Refused, rcpt.Host)
	}
	return d
}

// served is what became of a recipient that has its message (RFC 3461 §6.2).
func served(m *queue.Message, r queue.Recipient, w phrases) (dsn.Action, string) {
	switch {
	case r.Site == queue.SiteLocal, r.Ours && r.Attempts > 0: // who came home while the message waited
		return dsn.Delivered, w.Filed
	case r.Ours:
		if r.Notify.Wants(mail.NotifyFailure) { // the members have that wish too
			return dsn.Expanded, w.Expanded
		}
		return dsn.Expanded, w.Unheard
	}
	if m.By.At != 0 { // RFC 2852 §4.1.4
		return dsn.Relayed, fmt.Sprintf(w.GoesOn, r.Host)
	}
	return dsn.Relayed, fmt.Sprintf(w.Taken, r.Host)
}

// status is the enhanced code: the remote's, in the class of what became of the recipient.
func status(r queue.Recipient) string {
	switch class, detail, _ := strings.Cut(r.Enhanced, "."); {
	case r.State == queue.Served:
		if class == "2" {
			return r.Enhanced
		}
		return "2.0.0"
	case r.Expired && class != "5":
		return mail.DeliveryExpired.Enhanced(mail.Permanent) // RFC 3463 §3.5, X.4.7
	case class != "4" && class != "5": // none, or that of a success, which says nothing of a failure
		return outcomeClass(r) + ".0.0"
	default:
		// RFC 3464 §2.3.4: 4 of a delay, 5 of a failure. A rule of the operator can make
		// of a reply the other; what it was about stays (RFC 3463 §2).
		return outcomeClass(r) + "." + detail
	}
}

// outcomeClass is that of a recipient who does not have the message.
func outcomeClass(r queue.Recipient) string {
	if r.State == queue.Failed {
		return "5"
	}
	return "4"
}

// words is the remote's reply with its codes, or our own finding.
func words(r queue.Recipient) string {
	if r.Ours {
		return cut(r.Reply)
	}
	return coded(r)
}

// coded is what was said of a recipient, by whomever, behind its codes.
func coded(r queue.Recipient) string {
	if r.Code == 0 {
		return cut(r.Reply)
	}
	codes := fmt.Sprintf("%d ", r.Code)
	if r.Enhanced != "" {
		codes += r.Enhanced + " "
	}
	return codes + cut(r.Reply)
}

func cut(reply string) string {
	if len(reply) > maxWords {
		return strings.ToValidUTF8(reply[:maxWords], "")
	}
	return reply
}

// text is what people read.
func (r *Reporter) text(c composing, original []byte, recipients []dsn.Recipient, host string) string {
	var b strings.Builder
	w := phrasesIn(c.language)
	b.WriteString(fmt.Sprintf(w.From, host) + "\n\n" + w.opening(c.occasion.kind).Intro)
	for i, rcpt := range recipients {
		b.WriteString("\n<" + rcpt.Final + ">" + through(c.recipients[i], w) + ": " + oneLine(rcpt.Explained))
		if rcpt.Diagnostic != "" {
			b.WriteString(":\n    " + indented(rcpt.Diagnostic))
		}
		b.WriteString("\n")
		if meaning := r.meaning(c.recipients[i], c.language); meaning != "" {
			b.WriteString("    " + indented(meaning) + "\n")
		}
		if !rcpt.RetryUntil.IsZero() {
			b.WriteString("    " + fmt.Sprintf(w.Until, rcpt.RetryUntil.Format(w.Time)) + "\n")
		}
	}
	b.WriteString("\n" + w.Original + "\n")
	for _, name := range []string{"From", "To", "Subject", "Date", "Message-ID"} {
		if v, ok := mime.Header(original).Get(name); ok {
			b.WriteString("    " + name + ": " + oneLine(mime.DecodeWords(v)) + "\n")
		}
	}
	b.WriteString("    " + w.ID + c.message.ID.String() + "\n")
	if c.redacted {
		b.WriteString("\n" + w.Redacted + "\n")
	}
	return b.String()
}

// through names the address that led to a recipient; empty if it is that one, or is not known.
func through(r queue.Recipient, w phrases) string {
	kind, address, _ := strings.Cut(r.ORCPT, ";")
	if !strings.EqualFold(kind, "rfc822") && !strings.EqualFold(kind, "utf-8") {
		return ""
	}
	if a, err := mail.ParseAddress(address); err == nil && !a.IsNull() && a.Key() != r.Address.Key() {
		return fmt.Sprintf(w.Through, a.Header())
	}
	return ""
}

// meaning explains why a recipient failed, by what a host said or what we found, which is in
// English alone; empty where nothing is known of it.
func (r *Reporter) meaning(rcpt queue.Recipient, language string) string {
	w, said := phrasesIn(language), coded(rcpt)
	switch {
	case rcpt.State != queue.Failed || said == "":
		return ""
	case !rcpt.Ours && rcpt.Code/100 == 4 && !rcpt.Expired && !rcpt.ByHand:
		return w.Ruled // what such a reply means elsewhere is that we try again
	case r.o.Explain == nil:
		return ""
	}
	if meaning := r.o.Explain(said, language); meaning != "" {
		return w.Means + meaning
	}
	return ""
}

func indented(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\n    ")
}

// oneLine is a value from outside as it may stand among our words: encoded words hold
// line ends as well as anything else (RFC 2047 §2).
func oneLine(s string) string {
	words := strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp) })
	s = strings.Join(words, " ")
	n := 0
	for i := range s {
		if n++; n > maxValue {
			return s[:i] + "..."
		}
	}
	return s
}

// nameOf is the Message-ID of a message as a header.
func nameOf(b []byte) []byte {
	id, ok := mime.Header(headerOf(b)).Get("Message-ID")
	if !ok {
		return nil
	}
	return []byte("Message-ID: " + oneLine(id) + "\r\n")
}

// headerOf cuts a message after its header, without the blank line.
func headerOf(b []byte) []byte {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return b[:i+2]
	}
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		return b[:i+1]
	}
	return b
}
