package mailbox

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Inbox is the name that every account has.
const Inbox = "INBOX"

// cleanName returns the stored form of a name: NFC, INBOX in upper case, no
// delimiter at its end.
func (l limits) cleanName(name string) (string, error) {
	if len(name) > 2*l.nameBytes || !utf8.ValidString(name) {
		return "", ErrBadName
	}
	// RFC 3501 §6.3.3: a delimiter at the end only says that children follow.
	name = strings.TrimSuffix(norm.NFC.String(name), "/")
	if name == "" || len(name) > l.nameBytes || name[0] == '#' || strings.Count(name, "/") >= l.depth {
		return "", ErrBadName
	}
	for _, r := range name {
		// "%" and "*" would be wildcards when a client lists the name.
		if unicode.IsControl(r) || r == '%' || r == '*' || r == '\u2028' || r == '\u2029' {
			return "", ErrBadName
		}
	}
	first, rest, nested := strings.Cut(name, "/")
	if nested && (first == "" || strings.Contains("/"+rest+"/", "//")) {
		return "", ErrBadName
	}
	// RFC 3501 §5.1: INBOX in any case.
	if strings.EqualFold(first, Inbox) {
		name = Inbox + name[len(first):]
	}
	return name, nil
}

// lookUp is cleanName for a name that should exist.
func (l limits) lookUp(name string) (string, error) {
	clean, err := l.cleanName(name)
	if err != nil {
		return "", ErrNoMailbox
	}
	return clean, nil
}

// parents are the names above a name, from the top.
func parents(name string) []string {
	var up []string
	for i, c := range name {
		if c == '/' {
			up = append(up, name[:i])
		}
	}
	return up
}
