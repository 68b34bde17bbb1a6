package imap

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Inbox is the name of the mailbox that every account has.
const Inbox = "INBOX"

// Delimiter separates the levels of mailbox names.
const Delimiter = '/'

// base64Digits are those of modified base64, which has "," for "/" and no
// padding. RFC 3501 §5.1.3
const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"

var errMailbox = errors.New("imap: mailbox name is not valid modified UTF-7")

// CanonicalMailbox gives a name whose first level is INBOX, in any case, that
// level in upper case. RFC 3501 §5.1 asks it of INBOX itself; two trees
// "INBOX/a" and "Inbox/a" would serve nobody.
func CanonicalMailbox(name string) string {
	if !underInbox(name) {
		return name
	}
	return Inbox + name[len(Inbox):]
}

func underInbox(name string) bool {
	return len(name) >= len(Inbox) && strings.EqualFold(name[:len(Inbox)], Inbox) &&
		(len(name) == len(Inbox) || name[len(Inbox)] == Delimiter)
}

// DecodeMailbox turns a mailbox name of the wire into UTF-8 in its canonical
// form. It is strict: every name has one spelling, and anything else is an
// error. NUL is never part of a name; other control characters are let through
// where they are encoded.
//
// RFC 3501 §5.1.3
func DecodeMailbox(wire string) (string, error) {
	var out []byte
	shifted := false // a base64 section ended just before
	for i := 0; i < len(wire); {
		c := wire[i]
		switch {
		case c < 0x20 || c > 0x7e:
			return "", errMailbox
		case c != '&':
			out = append(out, c)
			i++
			shifted = false
			continue
		}
		end := strings.IndexByte(wire[i:], '-')
		if end < 0 {
			return "", errMailbox
		}
		section := wire[i+1 : i+end]
		i += end + 1
		if section == "" {
			out = append(out, '&')
			shifted = false
			continue
		}
		if shifted {
			return "", errMailbox
		}
		shifted = true
		var ok bool
		if out, ok = appendSection(out, section); !ok {
			return "", errMailbox
		}
	}
	return CanonicalMailbox(string(out)), nil
}

// appendSection decodes base64 of UTF-16 that needed to be encoded.
func appendSection(out []byte, section string) ([]byte, bool) {
	var bits uint32
	var count int
	var high rune // a surrogate that waits for its second half
	for i := range len(section) {
		digit := strings.IndexByte(base64Digits, section[i])
		if digit < 0 {
			return nil, false
		}
		bits, count = bits<<6|uint32(digit), count+6
		if count < 16 {
			continue
		}
		count -= 16
		r := rune(bits >> count & 0xffff)
		switch {
		case high != 0:
			if r = utf16.DecodeRune(high, r); r == utf8.RuneError {
				return nil, false
			}
			high = 0
		case utf16.IsSurrogate(r):
			high = r
			continue
		case r == 0 || r >= 0x20 && r <= 0x7e:
			return nil, false
		}
		out = utf8.AppendRune(out, r)
	}
	// The last digit may be filled up, with zeros alone.
	if high != 0 || count >= 6 || bits&(1<<count-1) != 0 {
		return nil, false
	}
	return out, true
}

// EncodeMailbox turns a name into modified UTF-7. What is not UTF-8 becomes
// U+FFFD.
func EncodeMailbox(name string) string { return string(AppendMailbox(nil, name)) }

// AppendMailbox appends a name in modified UTF-7, without quotes.
func AppendMailbox(dst []byte, name string) []byte {
	for i := 0; i < len(name); {
		switch c := name[i]; {
		case c == '&':
			dst = append(dst, '&', '-')
			i++
		case c >= 0x20 && c <= 0x7e:
			dst = append(dst, c)
			i++
		default:
			end := i
			for end < len(name) && (name[end] < 0x20 || name[end] > 0x7e) {
				end++
			}
			dst = encodeSection(dst, name[i:end])
			i = end
		}
	}
	return dst
}

func encodeSection(dst []byte, s string) []byte {
	var bits uint32
	var count int
	unit := func(r rune) {
		bits, count = bits<<16|uint32(r), count+16
		for count >= 6 {
			count -= 6
			dst = append(dst, base64Digits[bits>>count&0x3f])
		}
	}
	dst = append(dst, '&')
	for _, r := range s {
		if r > 0xffff {
			high, low := utf16.EncodeRune(r)
			unit(high)
			r = low
		}
		unit(r)
	}
	if count > 0 {
		dst = append(dst, base64Digits[bits<<(6-count)&0x3f])
	}
	return append(dst, '-')
}
