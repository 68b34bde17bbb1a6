package sasl

import (
	"strings"
	"unicode/utf8"
)

// gs2 is the header that SCRAM and OAUTHBEARER begin with (RFC 5801 §4).
type gs2 struct {
	raw     string // as it came, with its last comma
	flag    byte   // n: no channel binding; y: the server offers none; p: bound
	binding string // the kind, with p
	authzid string
}

// parseGS2 takes a header off the front of a message.
func parseGS2(message string) (h gs2, rest string, err error) {
	flag, rest, one := strings.Cut(message, ",")
	authzid, rest, two := strings.Cut(rest, ",")
	if !one || !two {
		return h, "", ErrSyntax
	}
	h.raw = message[:len(message)-len(rest)]
	kind, bound := strings.CutPrefix(flag, "p=")
	switch {
	case bound && isBindingName(kind):
		h.flag, h.binding = 'p', kind
	case flag == "n", flag == "y":
		h.flag = flag[0]
	default:
		// RFC 5801 §4 has "F" for mechanisms that are not standard: none here.
		return h, "", ErrSyntax
	}
	if authzid == "" {
		return h, rest, nil
	}
	name, named := strings.CutPrefix(authzid, "a=")
	if !named {
		return h, "", ErrSyntax
	}
	h.authzid, err = decodeName(name)
	return h, rest, err
}

// isBindingName is cb-name (RFC 5802 §7).
func isBindingName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && r != '.' && r != '-'
	}) < 0
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// decodeName reads saslname (RFC 5802 §5.1): "=2C" is a comma, "=3D" an equals
// sign, and any other "=" an error.
func decodeName(s string) (string, error) {
	if s == "" || !utf8.ValidString(s) || strings.ContainsAny(s, ",\x00") {
		return "", ErrSyntax
	}
	first, rest, found := strings.Cut(s, "=")
	name := first
	for found {
		switch {
		case strings.HasPrefix(rest, "2C"):
			name += ","
		case strings.HasPrefix(rest, "3D"):
			name += "="
		default:
			return "", ErrSyntax
		}
		first, rest, found = strings.Cut(rest[2:], "=")
		name += first
	}
	return name, nil
}

// encodeName writes saslname.
func encodeName(s string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s)
}
