package mail

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxLocal is the longest local part in octets (RFC 5321 §4.5.3.1.1). The RFC
// asks for at least 64; senders in the wild use more, so we take 128 as many
// peers do and let the path limit bound the whole.
const maxLocal = 128

// ErrAddress says that a text is no mailbox address (RFC 5321 §4.1.2).
var ErrAddress = errors.New("not a valid mail address")

// Address is a mailbox: local part and domain. The zero Address is the null
// reverse-path <>.
type Address struct {
	// Local is the local part without quotes and backslashes. It is kept as
	// the peer wrote it: only its own domain may fold its case.
	Local  string
	Domain Domain
}

// ParseAddress reads "local@domain", with a quoted local part if need be, and
// UTF-8 in both halves (RFC 6531 §3.3). It takes neither angle brackets nor
// display names. The empty string is an error: the null path is a matter of
// the SMTP grammar.
func ParseAddress(s string) (Address, error) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || !utf8.ValidString(s) {
		return Address{}, ErrAddress
	}
	local, err := ParseLocal(s[:at])
	if err != nil {
		return Address{}, err
	}
	d, err := ParseDomain(s[at+1:])
	if err != nil {
		return Address{}, err
	}
	return Address{Local: local, Domain: d}, nil
}

// ParseLocal reads a Local-part: a Dot-string or a Quoted-string
// (RFC 5321 §4.1.2), and returns it without its quoting.
func ParseLocal(s string) (string, error) {
	if strings.HasPrefix(s, `"`) {
		return unquoteLocal(s)
	}
	if len(s) > maxLocal || !isDotString(s) {
		return "", ErrAddress
	}
	return s, nil
}

func unquoteLocal(s string) (string, error) {
	if len(s) < 3 || s[len(s)-1] != '"' {
		return "", ErrAddress
	}
	var b strings.Builder
	inner := s[1 : len(s)-1]
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch c {
		case '\\':
			i++
			if i == len(inner) {
				return "", ErrAddress
			}
			c = inner[i]
		case '"':
			return "", ErrAddress
		}
		if c < ' ' || c == 0x7f {
			return "", ErrAddress
		}
		b.WriteByte(c)
	}
	if b.Len() > maxLocal {
		return "", ErrAddress
	}
	return b.String(), nil
}

// isDotString tells whether s needs no quotes: atoms with a dot between each two
// (RFC 5321 §4.1.2).
func isDotString(s string) bool {
	for {
		atom, rest, more := strings.Cut(s, ".")
		if atom == "" || !isAtom(atom) {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}

// isAtom tells whether s consists of atext alone (RFC 5322 §3.2.3, widened to
// UTF-8 by RFC 6531 §3.3).
func isAtom(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf,
			c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// IsNull tells whether a is the null reverse-path.
func (a Address) IsNull() bool { return a.Local == "" && a.Domain.IsZero() }

// IsASCII tells whether a needs no SMTPUTF8, given that the domain is sent as
// A-labels.
func (a Address) IsASCII() bool { return isASCII(a.Local) }

// String returns the address as it is shown to people and to SMTPUTF8 peers,
// quoted if need be. The null path is the empty string; a bare local part
// ("postmaster") stands alone.
func (a Address) String() string { return a.join(a.Domain.String()) }

// ASCII returns the address with its domain as A-labels, for peers without
// SMTPUTF8. The local part stays as it is: see IsASCII.
func (a Address) ASCII() string { return a.join(a.Domain.ASCII) }

// AppendASCII appends what ASCII returns.
func (a Address) AppendASCII(b []byte) []byte {
	b = append(b, quoteLocal(a.Local)...)
	if a.Domain.ASCII != "" {
		b = append(append(b, '@'), a.Domain.ASCII...)
	}
	return b
}

// Header returns the address as it stands in a header field: with A-labels,
// unless the local part needs UTF-8 anyway.
func (a Address) Header() string {
	if a.IsASCII() {
		return a.ASCII()
	}
	return a.String()
}

func (a Address) join(domain string) string {
	local := quoteLocal(a.Local)
	if domain == "" {
		return local
	}
	return local + "@" + domain
}

func quoteLocal(s string) string {
	if s == "" || isDotString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// Key returns the form by which our own users are found: both halves without
// case, NFC, the domain as A-labels.
func (a Address) Key() string {
	local := a.Local
	if isASCII(local) {
		local = strings.ToLower(local)
	} else {
		local = norm.NFC.String(strings.ToLower(local))
	}
	return Address{Local: local, Domain: a.Domain}.ASCII()
}

// Postmaster is the local part that every domain must accept (RFC 5321 §4.5.1).
const Postmaster = "postmaster"

// IsPostmaster tells whether a local part is postmaster, in any case of ASCII:
// letters that only look or fold alike are another's.
func IsPostmaster(local string) bool {
	return len(local) == len(Postmaster) && strings.EqualFold(local, Postmaster)
}

// WithoutTag cuts the sub-address off: user+tag becomes user. It tells whether
// there was one.
func (a Address) WithoutTag() (Address, bool) {
	base, _, tagged := strings.Cut(a.Local, "+")
	if !tagged || base == "" {
		return a, false
	}
	a.Local = base
	return a, true
}
