package imap

import "strconv"

// Append appends the key as a SEARCH command has it. A text that no quoted
// string can hold becomes a non-synchronising literal.
func (k Key) Append(dst []byte) []byte {
	dst = append(dst, keyNames[k.Op]...)
	switch k.Op {
	case KeyAnd:
		dst = append(dst, '(')
		dst = appendKeys(dst, k.Keys)
		dst = append(dst, ')')
	case KeyOr, KeyNot:
		dst = appendKeys(dst, k.Keys)
	case KeySeq, KeyUID:
		dst = k.Set.Append(dst)
	case KeyFlag, KeyNoFlag:
		dst = appendFlagKey(dst, k)
	case KeyHeader:
		dst = appendSent(dst, k.Field)
		dst = append(dst, ' ')
		dst = appendSent(dst, k.Text)
	case KeyFrom, KeyTo, KeyCc, KeyBcc, KeySubject, KeyBody, KeyText:
		dst = appendSent(dst, k.Text)
	case KeyBefore, KeyOn, KeySince, KeySentBefore, KeySentOn, KeySentSince:
		dst = AppendDate(dst, k.Date)
	case KeyLarger, KeySmaller:
		dst = strconv.AppendInt(dst, k.Size, 10)
	}
	return dst
}

// String returns the key as a SEARCH command has it.
func (k Key) String() string { return string(k.Append(nil)) }

func appendKeys(dst []byte, keys []Key) []byte {
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = k.Append(dst)
	}
	return dst
}

func appendFlagKey(dst []byte, k Key) []byte {
	not := k.Op == KeyNoFlag
	if k.Flag == FlagRecent {
		if not {
			return append(dst, "OLD"...)
		}
		return append(dst, "RECENT"...)
	}
	if not {
		dst = append(dst, "UN"...)
	}
	if name, ok := flagKeys[k.Flag]; ok {
		return append(dst, name...)
	}
	dst = append(dst, "KEYWORD "...)
	return append(dst, k.Flag...)
}

// appendSent appends a string as a client sends it.
func appendSent(dst []byte, s string) []byte {
	if quotable(s) {
		return appendQuoted(dst, s)
	}
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, "+}\r\n"...)
	return append(dst, s...)
}
