package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/mail"
)

const (
	maxEnvID = 100 // octets as sent (RFC 3461 §4.4)
	maxORCPT = 500 // octets as sent, the whole parameter (§4.2)
)

// ParseNotify reads the NOTIFY parameter (RFC 3461 §4.1).
func ParseNotify(s string) (mail.Notify, error) {
	var n mail.Notify
	for word := range strings.SplitSeq(s, ",") {
		bit := notifyBit(word)
		if bit == 0 || n&bit != 0 || n&mail.NotifyNever != 0 || bit == mail.NotifyNever && n != 0 {
			return 0, ErrParam
		}
		n |= bit
	}
	return n, nil
}

func notifyBit(word string) mail.Notify {
	switch strings.ToUpper(word) {
	case "NEVER":
		return mail.NotifyNever
	case "SUCCESS":
		return mail.NotifySuccess
	case "FAILURE":
		return mail.NotifyFailure
	case "DELAY":
		return mail.NotifyDelay
	}
	return 0
}

// FormatNotify is the inverse of ParseNotify.
func FormatNotify(n mail.Notify) string {
	var words []string
	for _, word := range []string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} {
		if n&notifyBit(word) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ",")
}

// ParseRet reads the RET parameter (RFC 3461 §4.3).
func ParseRet(s string) (string, error) {
	if s = strings.ToUpper(s); s != "FULL" && s != "HDRS" {
		return "", ErrParam
	}
	return s, nil
}

// ParseEnvID reads the ENVID parameter: printable ASCII in xtext (RFC 3461 §4.4).
func ParseEnvID(s string) (string, error) {
	id, err := DecodeXtext(s)
	if err != nil || id == "" || len(s) > maxEnvID || !printable(id) || !isASCII(id) {
		return "", ErrParam
	}
	return id, nil
}

// ParseORCPT reads the ORCPT parameter, "type;address", and decodes the address
// (RFC 3461 §4.2, RFC 6533 §3).
func ParseORCPT(s string) (string, error) {
	kind, address, has := strings.Cut(s, ";")
	if !has || len(s) > maxORCPT || !validKeyword(kind) {
		return "", ErrParam
	}
	var err error
	if strings.EqualFold(kind, "utf-8") {
		address, err = decodeUnitext(address)
	} else if address, err = DecodeXtext(address); !isASCII(address) {
		kind = "utf-8" // what Postfix calls rfc822 nevertheless
	}
	if err != nil || address == "" || !printable(address) {
		return "", ErrParam
	}
	return kind + ";" + address, nil
}

// FormatORCPT is the inverse of ParseORCPT, in ASCII.
func FormatORCPT(s string) string {
	kind, address, _ := strings.Cut(s, ";")
	if !strings.EqualFold(kind, "utf-8") {
		return kind + ";" + EncodeXtext(address)
	}
	var b strings.Builder
	for _, c := range address {
		if c < '!' || c > '~' || c == '+' || c == '=' || c == '\\' {
			fmt.Fprintf(&b, `\x{%02X}`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return kind + ";" + b.String()
}

// decodeUnitext reads utf-8-addr-xtext and utf-8-addr-unitext, where a backslash
// begins the number of a character (RFC 6533 §3).
func decodeUnitext(s string) (string, error) {
	var b strings.Builder
	for s != "" {
		at := strings.IndexByte(s, '\\')
		if at < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:at])
		digits, rest, has := strings.Cut(strings.TrimPrefix(s[at:], `\x{`), "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if !has || err != nil || len(digits) < 2 || !utf8.ValidRune(rune(n)) {
			return "", ErrParam
		}
		b.WriteRune(rune(n))
		s = rest
	}
	return b.String(), nil
}

// printable tells whether s can stand in a header field.
func printable(s string) bool {
	for _, c := range s {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == utf8.RuneError {
			return false
		}
	}
	return true
}
