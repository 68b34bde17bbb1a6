package mtasts

import (
	"errors"
	"strings"
)

// ErrNoRecord says that a domain does not announce a policy.
var ErrNoRecord = errors.New("no TXT record announces an MTA-STS policy")

// version begins the record and stands in the policy.
const version = "STSv1"

// RecordID returns the id that the TXT records of "_mta-sts" and the domain
// announce, the strings of each joined. ErrNoRecord if there is not exactly one
// record that begins as it must, or if that one is malformed (RFC 8461 §3.1).
func RecordID(records []string) (string, error) {
	found := ""
	for _, r := range records {
		head, rest, more := strings.Cut(r, ";")
		if !more || trim(head) != "v="+version || head[0] != 'v' {
			continue
		}
		if found != "" {
			return "", ErrNoRecord
		}
		found = rest
	}
	return idOf(found)
}

// idOf reads the fields behind the version.
func idOf(fields string) (id string, err error) {
	list := strings.Split(fields, ";")
	if n := len(list); n > 1 && trim(list[n-1]) == "" {
		list = list[:n-1]
	}
	for _, f := range list {
		name, value, ok := strings.Cut(trim(f), "=")
		switch {
		case !ok, !isName(name), value == "", !every(value, isExtension):
			return "", ErrNoRecord
		case name != "id" || id != "": // of two, the first counts (RFC 8461 §3.2)
		case len(value) > 32 || !every(value, isAlphanumeric):
			return "", ErrNoRecord
		default:
			id = value
		}
	}
	if id == "" {
		return "", ErrNoRecord
	}
	return id, nil
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isName tells whether s names a field of a record or a policy.
func isName(s string) bool {
	return s != "" && len(s) <= 32 && isAlphanumeric(s[0]) && every(s, func(c byte) bool {
		return isAlphanumeric(c) || c == '_' || c == '-' || c == '.'
	})
}

func isExtension(c byte) bool { return c > ' ' && c < 0x7f && c != '=' && c != ';' }

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func every(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}
