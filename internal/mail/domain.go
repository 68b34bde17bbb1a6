package mail

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxDomain is the longest domain in octets (RFC 5321 §4.5.3.1.2).
const maxDomain = 255

// Domain is a mail domain in its canonical form. Two domains are the same mail
// domain exactly if the values are equal, so Domain can be a map key.
type Domain struct {
	// ASCII is the lower-case A-label form, or an address literal with its
	// brackets ("[192.0.2.1]", "[IPv6:2001:db8::1]"). Empty = no domain.
	ASCII string
	// Unicode is the U-label form where it differs from ASCII, else empty.
	Unicode string
}

// ErrDomain says that a text is no domain name and no address literal.
var ErrDomain = errors.New("not a valid domain name")

// ParseDomain reads a domain name, internationalised or not, with or without
// the root's dot, or an address literal in brackets (RFC 5321 §4.1.3).
func ParseDomain(s string) (Domain, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxDomain || !utf8.ValidString(s) {
		return Domain{}, ErrDomain
	}
	if isASCII(s) {
		return asciiDomain(strings.ToLower(s))
	}
	ascii, err := toASCII(s)
	if err != nil {
		return Domain{}, ErrDomain
	}
	return asciiDomain(ascii)
}

func toASCII(s string) (string, error) {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule()).ToASCII(s)
}

// leadsTo tells whether a Unicode form that was decoded from an ASCII one is
// read as that again. What is not could be shown as one domain and be another.
func leadsTo(unicode, ascii string) bool {
	if len(unicode) > maxDomain || isASCII(unicode) {
		return false
	}
	back, err := toASCII(unicode)
	return err == nil && back == ascii
}

func asciiDomain(s string) (Domain, error) {
	if len(s) > maxDomain {
		return Domain{}, ErrDomain
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return Domain{}, ErrDomain
		}
	}
	d := Domain{ASCII: s}
	if strings.Contains(s, "xn--") {
		u, err := idna.New(idna.Transitional(false)).ToUnicode(s)
		if err == nil && u != s && leadsTo(u, s) {
			d.Unicode = u
		}
	}
	return d, nil
}

// validLabel accepts letters, digits, hyphens and, as seen in the wild, the
// underscore; 1 to 63 octets (RFC 1035 §2.3.4).
func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func parseLiteral(s string) (Domain, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return Domain{}, ErrDomain
	}
	tag, rest, tagged := strings.Cut(inner, ":")
	if tagged && strings.EqualFold(tag, "IPv6") {
		ip, err := netip.ParseAddr(rest)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return Domain{}, ErrDomain
		}
		return Domain{ASCII: "[IPv6:" + ip.String() + "]"}, nil
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || !ip.Is4() {
		return Domain{}, ErrDomain
	}
	return Domain{ASCII: "[" + ip.String() + "]"}, nil
}

// IsZero tells whether there is no domain at all.
func (d Domain) IsZero() bool { return d.ASCII == "" }

// Literal returns the address of an address literal.
func (d Domain) Literal() (netip.Addr, bool) {
	inner, ok := strings.CutPrefix(d.ASCII, "[")
	if !ok {
		return netip.Addr{}, false
	}
	inner = strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "IPv6:")
	ip, err := netip.ParseAddr(inner)
	return ip, err == nil
}

// String returns the form for people and for SMTPUTF8 peers: Unicode where
// there is one.
func (d Domain) String() string {
	if d.Unicode != "" {
		return d.Unicode
	}
	return d.ASCII
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
