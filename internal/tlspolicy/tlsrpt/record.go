// Package tlsrpt reads the records by which mail domains ask for reports on TLS, and
// writes such reports (RFC 8460).
package tlsrpt

import (
	"errors"
	"net/url"
	"strings"
)

// ErrNoRecord says that a domain does not ask for reports.
var ErrNoRecord = errors.New("no TXT record asks for TLS reports")

const (
	version = "TLSRPTv1"
	// Bounds of what is taken from a record.
	maxURIs = 10
	maxURI  = 2000 // octets
)

// Record says where a domain wants its reports.
type Record struct {
	HTTPS []string // to be posted to
	Mail  []string // "mailto:" URIs
}

// ParseRecord reads the TXT records of "_smtp._tls" and the domain, the strings of
// each joined. ErrNoRecord if there is not exactly one that begins as it must, if that
// one is malformed, or if it names nothing that a report could be sent to (RFC 8460 §3).
// URIs of other schemes are passed over.
func ParseRecord(records []string) (Record, error) {
	found := ""
	for _, r := range records {
		head, rest, more := strings.Cut(r, ";")
		if !more || strings.TrimRight(head, " \t") != "v="+version {
			continue
		}
		if found != "" {
			return Record{}, ErrNoRecord
		}
		found = rest + ";" // not empty, and what may end a record may stand twice
	}
	return parseFields(strings.TrimSuffix(found, ";"))
}

// parseFields reads what stands behind the version.
func parseFields(text string) (r Record, err error) {
	list := strings.Split(text, ";")
	if n := len(list); n > 1 && trim(list[n-1]) == "" {
		list = list[:n-1]
	}
	for _, f := range list {
		name, value, ok := strings.Cut(trim(f), "=")
		switch {
		case !ok, !isName(name), value == "":
			return Record{}, ErrNoRecord
		case name == "rua":
			r.add(value)
		case !every(value, func(c byte) bool { return c > ' ' && c < 0x7f && c != '=' }):
			return Record{}, ErrNoRecord
		}
	}
	if len(r.HTTPS)+len(r.Mail) == 0 {
		return Record{}, ErrNoRecord
	}
	return r, nil
}

// add takes over the URIs of a list, of those that can be used.
func (r *Record) add(list string) {
	for uri := range strings.SplitSeq(list, ",") {
		uri = trim(uri)
		// RFC 8460 §3: exclamation points must be encoded.
		if len(uri) > maxURI || !every(uri, func(c byte) bool { return c > ' ' && c < 0x7f && c != '!' }) {
			continue
		}
		u, err := url.Parse(uri)
		if err != nil || len(r.HTTPS)+len(r.Mail) >= maxURIs {
			continue
		}
		switch {
		case u.Scheme == "https" && u.Hostname() != "" && u.User == nil && u.Fragment == "":
			r.HTTPS = append(r.HTTPS, uri)
		case u.Scheme == "mailto" && strings.Contains(u.Opaque, "@"):
			r.Mail = append(r.Mail, uri)
		}
	}
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isName tells whether s names a field of a record.
func isName(s string) bool {
	return s != "" && len(s) <= 32 && isAlphanumeric(s[0]) && every(s, func(c byte) bool {
		return isAlphanumeric(c) || c == '_' || c == '-' || c == '.'
	})
}

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
