// Package explain says what an SMTP reply means.
//
// The answer comes from the most specific of three layers: known replies of
// providers and servers, told by their words; the enhanced status codes of the
// IANA registry; the basic codes of RFC 5321. Of the codes the first row counts that
// is about what the reply is about by its class; if there is none, what is said of the
// class. There is always an answer. All rows stand in data/, in English and Japanese,
// each with its source.
//
// In which class of failures a reply belongs is decided by package classify, from the
// reply and not from the row: one that no row knows has its class all the same, and an
// explanation agrees with the events and the list of the queue. What each row's example
// is taken for stands there, in testdata/explained.txt. A row is about that class, or about
// those that it names, and explains no reply whose words clearly say another.
package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/classify"
)

// Explanation is what a reply means, and what to do about it.
type Explanation struct {
	Code     int            `json:"code,omitempty"`     // 0 = the text has none
	Enhanced string         `json:"enhanced,omitempty"` // "5.7.26"
	Text     string         `json:"text"`               // the words of the server
	Kind     Kind           `json:"kind"`
	Class    classify.Class `json:"class,omitempty"`    // of a failure
	Rule     string         `json:"rule"`               // the row that answered: "gmail-dmarc", "X.7.26", "550", "class-spam"
	Provider string         `json:"provider,omitempty"` // who says it, where the words tell
	Meaning  Text           `json:"meaning"`
	Who      Actor          `json:"who"` // who must act
	Fix      Text           `json:"fix"`
	GivenUp  Text           `json:"-"` // the fix for who reads it once nobody tries again, whatever the kind
	Source   Source         `json:"source"`
}

// Reply is the reply as it was understood, in one line.
func (e Explanation) Reply() string { return reply{e.Code, e.Enhanced, e.Text}.String() }

// Source is where a row is known from.
type Source struct {
	Where string `json:"where"`          // a URL, or "RFC 5321"
	Date  string `json:"date,omitempty"` // when it was published or looked up; empty for an RFC
}

func (s Source) String() string {
	if s.Date == "" {
		return s.Where
	}
	return s.Where + " (" + s.Date + ")"
}

// Book holds all rows. It is never changed, so that many may read it at once.
type Book struct {
	rules   []entry          // the first that matches counts
	codes   map[string]entry // "X.7.26", "550", "5xx", "unknown"
	said    map[string]entry // "class-spam": for what no row of the codes is about
	classes *classify.Classifier
}

// Reply explains a reply of any server. The text may be a whole reply of several
// lines, a line of a bounce or a log, a code alone, or words without a code.
func (b *Book) Reply(text string) Explanation {
	r := parse(text)
	at := stage(text)
	var failure, said classify.Class
	if k := kindOf(r.class()); k != Success && k != Continue {
		asked := classify.Reply{Code: r.code, Enhanced: r.enhanced, Text: r.text, Stage: at}
		failure, said = b.classes.Of(asked), b.classes.Words(asked)
	}
	e, found := b.match(r, said)
	if !found {
		e = b.byCode(r, failure, at)
	}
	kind, do := kindOf(class(r, e)), e.remedy
	if kind == Permanent {
		do = e.refused
	}
	return Explanation{
		Code: r.code, Enhanced: r.enhanced, Text: r.text, Kind: kind, Class: failure,
		Rule: e.name, Provider: e.provider, Meaning: e.meaning, Who: do.who, Fix: do.fix, GivenUp: e.refused.fix, Source: e.source,
	}
}

// stage is what was answered, where Postfix says so: "(in reply to RCPT TO command)".
func stage(text string) classify.Stage {
	_, command, _ := strings.Cut(text[:min(len(text), maxText)], "(in reply to ")
	switch {
	case strings.HasPrefix(command, "MAIL FROM"):
		return classify.Mail
	case strings.HasPrefix(command, "RCPT TO"):
		return classify.Rcpt
	case strings.HasPrefix(command, "DATA"), strings.HasPrefix(command, "end of DATA"):
		return classify.Data
	}
	return ""
}

// match finds the first rule for the words. A rule for temporary failures does
// not explain a permanent one, and the other way round; one about something else than
// the class that clear words say does not explain them ("Connection refused, too many
// sessions").
func (b *Book) match(r reply, said classify.Class) (entry, bool) {
	line := r.String()
	for _, e := range b.rules {
		if c := r.class(); c != 0 && e.class != 0 && c != e.class {
			continue
		}
		if said != "" && len(e.classes) > 0 && !slices.Contains(e.classes, said) {
			continue
		}
		if e.pattern.MatchString(line) {
			return e, true
		}
	}
	return entry{}, false
}

// byCode finds the row of the codes that is about the same as the failure: of 454 4.7.0
// that of 454, of 450 4.7.1 "too much mail" none. Then what is said of its class counts.
func (b *Book) byCode(r reply, failure classify.Class, at classify.Stage) entry {
	rows := b.rows(r)
	if failure == "" || failure == classify.Other {
		return rows[0]
	}
	for _, e := range rows {
		if b.isAbout(e, failure, r, at) {
			return e
		}
	}
	e, found := b.said["class-"+string(failure)]
	if !found {
		return rows[0]
	}
	e.source = rows[0].source
	return e
}

// rows are those of the codes. Open has made sure that "unknown" exists.
func (b *Book) rows(r reply) []entry {
	var out []entry
	for _, name := range codeNames(r) {
		e, found := b.codes[name]
		if found && (r.class() != '2' || name[0] != 'X' || e.class == '2') {
			out = append(out, e)
		}
	}
	return append(out, b.codes[unknownRow])
}

// isAbout says whether a row of a code tells of such a failure: of that for which the
// code stands where nothing else is known, or of what the row names.
func (b *Book) isAbout(e entry, failure classify.Class, r reply, at classify.Stage) bool {
	if len(e.classes) > 0 {
		return slices.Contains(e.classes, failure)
	}
	alone := classify.Reply{Stage: at}
	switch {
	case e.name[0] == 'X':
		alone.Enhanced = string(r.class()) + e.name[1:]
	case e.name == strconv.Itoa(r.code):
		alone.Code = r.code
	}
	return b.classes.Of(alone) == failure
}

// codeNames are the rows that may answer, the most specific first. X.0.0 says
// less than any basic code.
func codeNames(r reply) []string {
	var names []string
	subject, detail, enhanced := splitEnhanced(r.enhanced)
	if enhanced && subject != "0" {
		names = append(names, "X."+subject+"."+detail, "X."+subject+".0")
	}
	if r.code != 0 {
		names = append(names, strconv.Itoa(r.code))
	}
	if enhanced && r.class() != '2' {
		names = append(names, "X.0.0")
	}
	if c := r.class(); c != 0 {
		names = append(names, fmt.Sprintf("%cxx", c))
	}
	return names
}

// class is that of the reply; words without a code have that of their rule.
func class(r reply, e entry) byte {
	if c := r.class(); c != 0 {
		return c
	}
	return e.class
}
