package imap

import "strconv"

// octets is what the string writers take.
type octets interface{ ~string | ~[]byte }

// maxQuoted is the longest text that is sent as a quoted string.
const maxQuoted = 1000

// quotable reports whether s can be a quoted string: 7-bit without CR, LF and
// NUL, and not so long that a client's line buffer would suffer.
//
// RFC 3501 §9 quoted
func quotable[T octets](s T) bool {
	if len(s) > maxQuoted {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c == 0 || c == '\r' || c == '\n' || c >= 0x80 {
			return false
		}
	}
	return true
}

func appendQuoted[T octets](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

func appendLiteralSize(dst []byte, size int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, '}', '\r', '\n')
}

// AppendString appends s as a string: quoted if that can be, else a literal.
// NUL, which neither may hold, is left out.
//
// RFC 3501 §4.3
func AppendString[T octets](dst []byte, s T) []byte {
	if quotable(s) {
		return appendQuoted(dst, s)
	}
	nuls := 0
	for i := range len(s) {
		if s[i] == 0 {
			nuls++
		}
	}
	dst = appendLiteralSize(dst, int64(len(s)-nuls))
	if nuls == 0 {
		return append(dst, s...)
	}
	for i := range len(s) {
		if s[i] != 0 {
			dst = append(dst, s[i])
		}
	}
	return dst
}

// AppendAString appends s as an atom where it is one, else as a string.
//
// RFC 3501 §9 astring
func AppendAString[T octets](dst []byte, s T) []byte {
	if len(s) == 0 || len(s) == 3 && upper(string(s)) == "NIL" {
		return AppendString(dst, s)
	}
	for i := range len(s) {
		if !isAStringChar(s[i]) {
			return AppendString(dst, s)
		}
	}
	return append(dst, s...)
}

// AppendNString appends s as a string, or NIL if it is empty.
//
// RFC 3501 §9 nstring
func AppendNString[T octets](dst []byte, s T) []byte {
	if len(s) == 0 {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s)
}
