package dsn

import (
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// script is a report without fields, on its way to a Notice.
type script struct {
	n     *Notice
	head  mime.Header // of the report
	lines []string
}

// readText understands the reports of programs that write no fields. Each is known
// by what it always begins with, so that nothing is guessed, and what somebody quotes
// is not taken for a report.
func (n *Notice) readText(d *Document) error {
	text, err := d.text()
	if err != nil {
		return err
	}
	head, err := d.Header()
	if err != nil {
		return err
	}
	text, original := cutOriginal(strings.TrimLeft(text, "\n \t"))
	if n.Original == nil {
		n.Original = header([]byte(original))
	}
	s := &script{n: n, head: head, lines: strings.Split(text, "\n")}
	if form := formOf(text); d.isReport() || mayWrite(form, head) {
		s.read(form, text)
	}
	if len(n.Recipients) == 0 {
		n.Form = Unknown
		n.Reply = firstReply(s.lines)
	}
	return nil
}

// formOf tells whose report begins as a text does.
func formOf(text string) Form {
	for _, f := range []struct {
		begins string
		form   Form
	}{
		{"Hi. This is the", Qmail},
		{"This message was created automatically by mail delivery software", Exim},
		{"This is the mail system at host ", Postfix},
		{"This is the Postfix program at host ", Postfix},
		{"The original message was received at ", Sendmail},
		{"**********************************************\n    **      THIS IS A WARNING MESSAGE ONLY", Sendmail},
		{"----- The following addresses had delivery problems -----", Biglobe},
		{"----- The following addresses had ", Sendmail}, // a gateway may take off what stands before
		{"Your message did not reach some or all of the intended recipients.", Exchange},
		{"Delivery has failed to these recipients or ", Exchange}, // "groups:", in 2007 "distribution lists:"
		{"次のあて先へのメッセージはエラーのため送信できませんでした。", InterMail},
		{"This Message was undeliverable due to the following reason:", InterMail},
		{"The user(s) account is ", InterMail},
		{"Each of the following recipients was rejected by a remote", InterMail},
		{"送信先のメールボックスが一杯のため、送信できませんでした。", KDDI},
		{"Your mail sent on: ", KDDI},
		{"Your mail attempted to be delivered on: ", KDDI},
	} {
		if strings.HasPrefix(text, f.begins) {
			return f.form
		}
	}
	// au's filter writes the address first.
	if _, rest, ok := bracketed(text); ok && strings.HasPrefix(rest, "\n\nEach of the following recipients was rejected by a remote mail server.\n") {
		return InterMail
	}
	return Unknown
}

// mayWrite tells whether a header can be that of a program's report. An answer to a
// message (RFC 3834 §5) is none; but Exim and Postfix mark their reports as answers.
func mayWrite(form Form, h mime.Header) bool {
	precedence, _ := h.Get("Precedence")
	submitted, _ := h.Get("Auto-Submitted")
	submitted, _, _ = strings.Cut(submitted, ";")
	switch {
	case strings.EqualFold(strings.TrimSpace(precedence), "auto_reply"):
		return false
	case strings.EqualFold(strings.TrimSpace(submitted), "auto-replied"):
		return form == Exim || form == Postfix
	}
	return true
}

func (s *script) read(form Form, text string) {
	s.n.Form = form
	switch form {
	case Qmail:
		s.qmail()
	case Exim:
		s.exim()
	case Postfix:
		s.postfix(text)
	case Sendmail:
		s.sendmail()
	case Exchange:
		s.exchange()
	case InterMail:
		s.intermail()
	case KDDI:
		s.kddi()
	case Biglobe:
		s.biglobe()
	}
}

// cutOriginal takes off the message, or its header, that stands behind the words.
func cutOriginal(text string) (words, original string) {
	for _, mark := range []string{
		"\n--- Below this line is a copy of ", "\n------ This is a copy of ", "\n   ----- Original message follows -----",
		"\n   ----- Message header follows -----",
	} {
		before, after, found := strings.Cut(text, mark)
		if !found {
			continue
		}
		_, after, _ = strings.Cut(after, "\n")
		return before, strings.TrimLeft(after, "\n")
	}
	return text, ""
}

// firstReply is the first line with both codes of a reply.
func firstReply(lines []string) string {
	for _, l := range lines {
		if code, enhanced := Codes(l); code != 0 && enhanced != "" {
			return clip(strings.TrimSpace(l))
		}
	}
	return ""
}

// begin adds a recipient, of whom words will tell.
func (s *script) begin(addr string, a Action) *Recipient {
	if len(s.n.Recipients) == maxKept {
		s.n.More++
		return new(Recipient)
	}
	s.n.Recipients = append(s.n.Recipients, Recipient{Final: clip(addr), Action: a})
	return &s.n.Recipients[len(s.n.Recipients)-1]
}

// say adds words to what is told of a recipient.
func (r *Recipient) say(words string) {
	words = strings.Join(strings.Fields(words), " ")
	if r == nil || words == "" || len(r.Diagnostic) >= maxValue {
		return
	}
	r.Diagnostic = clip(strings.TrimSpace(r.Diagnostic + " " + words))
	if r.Status == "" {
		_, r.Status = Codes(r.Diagnostic)
	}
}

// address tells whether a text is one and nothing else, by its looks.
func address(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && len(s) <= 320 && !strings.ContainsAny(s, " \t<>(),;:")
}

// bracketed reads "<a@b>" at the beginning of a line.
func bracketed(line string) (addr, rest string, ok bool) {
	inner, isOne := strings.CutPrefix(line, "<")
	if !isOne {
		return "", "", false
	}
	addr, rest, ok = strings.Cut(inner, ">")
	return addr, rest, ok && address(addr)
}

// qmail reads QSBMF: after the first paragraph one for each recipient, which begins
// with its address in angle brackets and a colon.
func (s *script) qmail() {
	if _, host, ok := strings.Cut(s.lines[0], " at "); ok {
		s.n.Hostname = strings.TrimSuffix(host, ".")
	}
	var r *Recipient
	for _, l := range s.lines {
		addr, rest, ok := bracketed(l)
		switch {
		case ok && strings.HasPrefix(rest, ":"):
			r = s.begin(addr, Failed)
			r.say(rest[1:])
		case strings.TrimSpace(l) == "":
			r = nil
		default:
			r.say(l)
		}
	}
}

// exim reads addresses, two columns in, with the reason further in. The header
// names those that failed.
func (s *script) exim() {
	failed, _ := s.head.Get("X-Failed-Recipients")
	a := Failed
	if failed == "" {
		if !slices.ContainsFunc(s.lines, func(l string) bool { return strings.Contains(l, "not yet been delivered") }) {
			return
		}
		a = Delayed
	}
	var r *Recipient
	for _, l := range s.lines {
		in := len(l) - len(strings.TrimLeft(l, " "))
		switch word := strings.TrimSpace(l); {
		case in == 2 && address(word):
			r = s.begin(word, a)
		case in > 2:
			r.say(word)
		default:
			r = nil
		}
	}
	for addr := range strings.SplitSeq(failed, ",") {
		addr = strings.TrimSpace(addr)
		known := slices.ContainsFunc(s.n.Recipients, func(r Recipient) bool { return strings.EqualFold(r.Final, addr) })
		if !known && address(addr) {
			s.begin(addr, Failed)
		}
	}
}

// postfix reads paragraphs like those of qmail, whose words begin on the line of
// the address.
func (s *script) postfix(text string) {
	var a Action
	switch {
	case strings.Contains(text, "THIS IS A WARNING ONLY"):
		a = Delayed
	case strings.Contains(text, "could not be\ndelivered to"), strings.Contains(text, "could not\nbe delivered to"), strings.Contains(text, "could not be delivered to"):
		a = Failed
	default:
		return
	}
	host := strings.TrimSuffix(s.lines[0][strings.Index(s.lines[0], " host ")+len(" host "):], ".")
	s.n.Hostname = clip(host)
	var r *Recipient
	for _, l := range s.lines {
		addr, rest, ok := bracketed(l)
		switch {
		case ok && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " (expanded from ")):
			_, words, _ := strings.Cut(rest, ":")
			r = s.begin(addr, a)
			r.say(words)
		case strings.TrimSpace(l) == "":
			r = nil
		default:
			r.say(l)
		}
	}
}

// sendmail reads the list of addresses under its rule, each with a reason.
func (s *script) sendmail() {
	var a Action
	var r *Recipient
	for _, l := range s.lines {
		word := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(word, "----- The following addresses had permanent "):
			a = Failed
		case strings.HasPrefix(word, "----- The following addresses had transient "):
			a = Delayed
		case strings.HasPrefix(word, "-----") || a == "":
			a, r = "", nil
		case strings.HasPrefix(word, "(reason: "):
			r.say(strings.TrimSuffix(strings.TrimPrefix(word, "(reason: "), ")"))
		case word == "" || strings.HasPrefix(word, "("):
		default:
			if addr := strings.Trim(word, "<>"); address(addr) {
				r = s.begin(addr, a)
			}
		}
	}
}

// exchange reads the list of old versions, an address with a date, and the lines
// for administrators of newer ones, an address alone.
func (s *script) exchange() {
	listed := false
	var r *Recipient
	for _, l := range s.lines {
		word := strings.TrimSpace(l)
		addr, date, dated := strings.Cut(word, " on ")
		addr = strings.Trim(addr, "'")
		switch {
		case strings.HasPrefix(word, "The following recipient(s) could not be reached:"):
			listed = true
		case strings.HasPrefix(word, "Generating server: "):
			listed, s.n.Hostname = true, clip(strings.TrimPrefix(word, "Generating server: "))
		case strings.HasPrefix(word, "Original message headers:"):
			listed, r = false, nil
		case !listed:
		case address(addr) && (!dated || strings.Contains(date, "/")):
			r = s.begin(addr, Failed)
		case word == "" && (r == nil || r.Diagnostic != ""):
			r = nil
		default:
			r.say(word)
		}
	}
}

// intermail reads an address in angle brackets, with its reply or the paragraph before
// it as the reason; or one behind "Recipient:", with what another host said.
func (s *script) intermail() {
	var r *Recipient
	var why Recipient // the paragraph
	next := true
	for i, l := range s.lines {
		word := strings.TrimSpace(l)
		name, listed := strings.CutPrefix(word, "Recipient: ")
		addr, rest, ok := bracketed(name)
		switch {
		case strings.HasPrefix(word, strings.Repeat("-", 50)): // the filter's; the message follows
			if len(s.n.Original) == 0 {
				s.n.Original = header([]byte(strings.Join(s.lines[i+1:], "\n")))
			}
			return
		case ok:
			r = s.begin(addr, Failed)
			r.say(strings.TrimPrefix(rest, ":"))
			if !listed {
				r.say(why.Diagnostic)
			}
		case word == "":
			next = true
			if r != nil && r.Diagnostic != "" {
				r = nil
			}
			continue
		case r != nil:
			r.say(answered(word))
		case word == "The following recipients did not receive this message:":
		case next:
			why = Recipient{}
			why.say(word)
		default:
			why.say(word)
		}
		next = false
	}
}

// answered is what a host said, of a line of a dialog with it.
func answered(line string) string {
	if strings.HasPrefix(line, ">>> ") {
		return ""
	}
	line = strings.TrimPrefix(line, "<<< ")
	return strings.TrimPrefix(line, "Reason:")
}

// kddi reads an address in a sentence of its own, and the lines after it.
func (s *script) kddi() {
	var r *Recipient
	for _, l := range s.lines {
		word := strings.TrimSpace(l)
		name, listed := strings.CutPrefix(word, "Could not be delivered to: ")
		addr, _, ok := bracketed(name)
		switch {
		case listed && ok:
			r = s.begin(addr, Failed)
		case word == "":
			r = nil
		default:
			r.say(word)
		}
	}
}

// biglobe reads a list of addresses, and one reason for all of them.
func (s *script) biglobe() {
	var why Recipient
	told := false
	for _, l := range s.lines {
		word := strings.TrimSpace(l)
		switch addr := strings.Trim(word, "<>"); {
		case strings.HasPrefix(word, "-----"):
			told = word == "----- Non-delivered information -----"
		case told:
			why.say(word)
		case address(addr):
			s.begin(addr, Failed)
		}
	}
	for i := range s.n.Recipients {
		s.n.Recipients[i].say(why.Diagnostic)
	}
}
