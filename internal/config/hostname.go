package config

import "strings"

// badHostname returns why s is no host name in ASCII form, or "".
// RFC 1123 §2.1: letters, digits and hyphens, parted by dots.
func badHostname(s string) string {
	if strings.HasSuffix(s, ".") {
		return "must not end with a dot"
	}
	if len(s) > 253 {
		return "is longer than 253 bytes"
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		switch {
		case l == "" || len(l) > 63:
			return "has a part that is empty or longer than 63 bytes"
		case l[0] == '-' || l[len(l)-1] == '-':
			return "has a part that begins or ends with a hyphen"
		}
		for i := range len(l) {
			if b := l[i]; !asciiLetter(b) && !asciiDigit(b) && b != '-' {
				return "may hold only ASCII letters, digits, hyphens and dots (other letters in their xn-- form)"
			}
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "is a number, not a name"
	}
	return ""
}

func asciiLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

func asciiDigit(b byte) bool { return '0' <= b && b <= '9' }

// plainAddress tells whether s looks like local@domain; the accounts decide
// later whether it is anybody's.
func plainAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || len(s) > 320 || at > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' }) < 0 &&
		!strings.ContainsRune(s[:at], '@')
}
