package rule

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/hayauma/hayauma/internal/mail"
)

var (
	errName    = errors.New("use a name like mx.example.org, .example.org for it and all below it, *.example.org with * for any characters, or <> for none")
	errMailbox = errors.New("use an address like user@example.org, @example.org for a domain, @.example.org for it and all below it, * for any characters, or <> for none")
)

// namePattern is a host name, a domain with all below it, or a text in which *
// stands for any characters. Case does not count.
type namePattern struct {
	none, below bool
	text        string
}

func parseName(s string) (namePattern, error) {
	if s == none {
		return namePattern{none: true}, nil
	}
	if len(s) > maxPattern || !utf8.ValidString(s) {
		return namePattern{}, errName
	}
	rest, below := strings.CutPrefix(s, ".")
	if strings.Contains(rest, "*") {
		text, ok := foldGlob(rest)
		if below || !ok {
			return namePattern{}, errName
		}
		return namePattern{text: text}, nil
	}
	d, err := mail.ParseDomain(rest)
	if err != nil {
		return namePattern{}, errName
	}
	if _, literal := d.Literal(); literal && below {
		return namePattern{}, errName
	}
	return namePattern{text: strings.ToLower(d.ASCII), below: below}, nil
}

// foldGlob brings a name with * in it to the form of names without: lower case
// and A-labels. An address literal stays as it is.
func foldGlob(s string) (string, bool) {
	if strings.HasPrefix(s, "[") {
		return strings.ToLower(s), printable(s) && !strings.Contains(s, " ")
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for i, label := range labels {
		if !strings.Contains(label, "*") {
			d, err := mail.ParseDomain(label)
			if _, literal := d.Literal(); err != nil || literal {
				return "", false
			}
			labels[i] = d.ASCII
			continue
		}
		labels[i] = strings.ToLower(label)
		if strings.Trim(labels[i], "abcdefghijklmnopqrstuvwxyz0123456789-_*") != "" {
			return "", false
		}
	}
	return strings.Join(labels, "."), true
}

// printable tells whether a text is of ASCII that can be seen.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// foldName brings a name that a peer gave to the form of patterns.
func foldName(s string) string {
	if d, err := mail.ParseDomain(s); err == nil {
		s = d.ASCII
	}
	return strings.ToLower(s)
}

// match compares with a name that foldName made. No name is matched by <> alone.
func (p namePattern) match(name string) bool {
	switch {
	case p.none || name == "":
		return p.none && name == ""
	case p.below:
		return name == p.text || strings.HasSuffix(name, "."+p.text)
	}
	return glob(p.text, name)
}

// mailboxPattern is an address, a domain's addresses, or some of them.
type mailboxPattern struct {
	none, all bool // all = every local part
	quoted    bool // * stands for itself
	local     string
	domain    namePattern
}

func parseMailbox(s string) (p mailboxPattern, err error) {
	switch s {
	case none:
		return mailboxPattern{none: true}, nil
	case "*":
		s = "@*"
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 || len(s) > maxPattern || !utf8.ValidString(s) {
		return p, hint(s)
	}
	if p.domain, err = parseName(s[at+1:]); err != nil || p.domain.none {
		return p, errMailbox
	}
	if p.all = at == 0; p.all {
		return p, nil
	}
	local, err := mail.ParseLocal(s[:at])
	if err != nil {
		return p, errMailbox
	}
	p.local, p.quoted = foldLocal(local), s[0] == '"'
	return p, nil
}

// hint says what somebody may have meant by a name without @.
func hint(s string) error {
	if _, err := parseName(s); err == nil {
		return fmt.Errorf("write @%s for its addresses: %w", s, errMailbox)
	}
	return errMailbox
}

func foldLocal(s string) string { return norm.NFC.String(strings.ToLower(s)) }

// match compares with an address. The null one, or nobody, is matched by <>
// alone.
func (p mailboxPattern) match(m *mailbox) bool {
	if p.none || m.IsNull() {
		return p.none && m.IsNull()
	}
	if m.domain == "" { // postmaster, or a user of this machine
		return glob(p.domain.text, "") && p.matchLocal(m.local)
	}
	return p.domain.match(m.domain) && p.matchLocal(m.local)
}

func (p mailboxPattern) matchLocal(local string) bool {
	switch {
	case p.all:
		return true
	case p.quoted:
		return local == p.local
	}
	return glob(p.local, local)
}

// glob compares a text with one in which * stands for any characters. Its time
// is bounded by the product of both lengths.
func glob(pattern, text string) bool {
	star, from := -1, 0 // the last *, and where what it stands for ends
	p := 0
	for t := 0; t < len(text); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
