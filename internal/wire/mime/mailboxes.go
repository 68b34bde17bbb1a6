package mime

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/mail"
)

// ErrMailboxes says that a value is no list of mailboxes that every reader
// understands alike.
var ErrMailboxes = errors.New("not a list of mail addresses")

// ErrManyMailboxes says that a value begins like such a list, and is too long.
var ErrManyMailboxes = errors.New("too many mail addresses")

// ParseMailboxes reads the raw value of a From or Sender field, folding and all:
// 1 to limit mailboxes (RFC 5322 §3.4) in UTF-8 (RFC 6532 §3.2).
//
// Unlike ParseAddresses it is for those who must not miss an address, so that
// what readers take in different ways is an error: groups, source routes and
// other obsolete forms, white space or a comment within an address, an address as
// a name without quotes, encoded words in an address (RFC 2047 §5), control
// characters, also those that an encoded word hides, and 8-bit text that is no
// UTF-8. What a name says, in quotes or encoded, is text and no address. Of the obsolete forms a dot in a name is taken
// ("John Q. Public"), since many people have one.
func ParseMailboxes(raw []byte, limit int) ([]mail.Address, error) {
	p := mailboxParser{s: strings.ReplaceAll(string(raw), "\r\n", "")}
	if !utf8.ValidString(p.s) || strings.ContainsFunc(p.s, breaks) || strings.ContainsFunc(DecodeWords(p.s), breaks) {
		return nil, ErrMailboxes
	}
	var list []mail.Address
	for {
		a, ok := p.mailbox()
		if !ok {
			return nil, ErrMailboxes
		}
		if len(list) == limit {
			return nil, ErrManyMailboxes
		}
		list = append(list, a)
		if p.s == "" {
			return list, nil
		}
		if p.s[0] != ',' {
			return nil, ErrMailboxes
		}
		p.s = p.s[1:]
	}
}

// breaks tells whether some reader ends a line or a text at r.
func breaks(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

// mailboxParser holds what is left of a value. Each method takes a piece and
// tells whether there was one as it should be.
type mailboxParser struct{ s string }

// mailbox takes one with the comments around it.
func (p *mailboxParser) mailbox() (a mail.Address, ok bool) {
	if !p.fill() {
		return a, false
	}
	if word := p.word(); word != "" && strings.HasPrefix(p.s, "@") {
		a, ok = p.domain(word)
		return a, ok && p.fill()
	}
	for p.fill() && p.word() != "" {
	}
	if !p.mark('<') {
		return a, false
	}
	p.blanks()
	if a, ok = p.domain(p.word()); !ok {
		return a, false
	}
	p.blanks()
	return a, p.mark('>') && p.fill()
}

// domain takes "@" and the domain that stand right behind a local part.
func (p *mailboxParser) domain(local string) (a mail.Address, ok bool) {
	if !strings.HasPrefix(p.s, "@") {
		return a, false
	}
	end := 1
	if strings.HasPrefix(p.s, "@[") {
		end = strings.IndexByte(p.s, ']') + 1
	} else {
		for end < len(p.s) && isWordByte(p.s[end]) {
			end++
		}
	}
	text := local + p.s[:end]
	p.s = p.s[end:]
	a, err := mail.ParseAddress(text)
	return a, err == nil && !strings.Contains(text, "=?") && !strings.ContainsFunc(a.Local, misleads)
}

// misleads tells whether a local part that holds r can be shown as another
// address than it is.
func misleads(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(`"(),:;<>@\`, r) }

// word takes an atom, with dots, or a quoted string with its quotes.
func (p *mailboxParser) word() string {
	end := 0
	if strings.HasPrefix(p.s, `"`) {
		end = quotedSize(p.s)
	} else {
		for end < len(p.s) && isWordByte(p.s[end]) {
			end++
		}
	}
	word := p.s[:end]
	p.s = p.s[end:]
	return word
}

// isWordByte tells what an atom with dots may hold (RFC 5322 §3.2.3, RFC 6532
// §3.2).
func isWordByte(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte(`"(),:;<>@[\]`, c) < 0 }

func (p *mailboxParser) mark(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

func (p *mailboxParser) blanks() { p.s = strings.TrimLeft(p.s, " \t") }

// fill takes white space and comments. Some readers take a quote, a backslash or
// an address in a comment for more than text, so that there is none.
func (p *mailboxParser) fill() bool {
	depth := 0
	for i := range len(p.s) {
		switch c := p.s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0 && strings.IndexByte(`"<>@\`, c) >= 0:
			return false
		case depth == 0 && c != ' ' && c != '\t':
			p.s = p.s[i:]
			return true
		}
	}
	p.s = ""
	return depth == 0
}
