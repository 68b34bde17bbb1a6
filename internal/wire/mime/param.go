package mime

import "strings"

// boundary is the boundary of a multipart, "" if it has none that can match.
func boundary(params []Param) string {
	value, _ := DecodeParam(params, "boundary")
	// RFC 2046 §5.1.1: a boundary does not end with white space, and a
	// delimiter line may.
	value = strings.TrimRight(value, " \t")
	if len(value) > maxDelimiter-8 || strings.ContainsAny(value, "\r\n") {
		return ""
	}
	return value
}

// parseParams reads "; name=value" pairs and keeps at most limit.
// RFC 2045 §5.1
func parseParams(s string, limit int) []Param {
	var list []Param
	for len(list) < limit {
		s = skipFill(s, ";")
		if s == "" {
			break
		}
		var name, value string
		i := strings.IndexAny(s, "=;")
		if i < 0 || s[i] == ';' {
			// No value: nothing that could be told to a client.
			if i < 0 {
				break
			}
			s = s[i:]
			continue
		}
		name = strings.TrimSpace(s[:i])
		value, s = paramValue(s[i+1:])
		if isToken(name) {
			if list == nil {
				list = make([]Param, 0, 2)
			}
			list = append(list, Param{Name: name, Value: value})
		}
	}
	return list
}

// paramValue reads a value and returns what follows it.
func paramValue(s string) (value, rest string) {
	s = skipFill(s, "")
	if strings.HasPrefix(s, `"`) {
		value, n := unquote(s)
		return value, s[n:]
	}
	end := strings.IndexByte(s, ';')
	if end < 0 {
		end = len(s)
	}
	value = s[:end]
	// White space is not allowed in a bare value, but file names have it.
	if i := strings.Index(value, " ("); i >= 0 {
		value = value[:i]
	}
	return strings.TrimSpace(value), s[end:]
}

// unquote reads the quoted string that s begins with; n is its length in s.
// An end that is missing is at the end of s.
func unquote(s string) (text string, n int) {
	end := strings.IndexAny(s[1:], `"\`)
	if end < 0 {
		return s[1:], len(s)
	}
	if s[1+end] == '"' {
		return s[1 : 1+end], end + 2
	}
	var b strings.Builder
	for n = 1; n < len(s); n++ {
		switch s[n] {
		case '"':
			return b.String(), n + 1
		case '\\':
			if n++; n < len(s) {
				b.WriteByte(s[n])
			}
		default:
			b.WriteByte(s[n])
		}
	}
	return b.String(), len(s)
}

// skipFill skips white space, comments and the bytes of also.
func skipFill(s, also string) string {
	for s != "" {
		switch c := s[0]; {
		case c == ' ' || c == '\t':
			s = s[1:]
		case c == '(':
			s = s[commentSize(s):]
		case strings.IndexByte(also, c) >= 0:
			s = s[1:]
		default:
			return s
		}
	}
	return s
}

// commentSize is the size of the comment that s begins with.
// RFC 5322 §3.2.2
func commentSize(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// cutToken reads a bare word up to white space, a comment or one of stops and
// skips the filling behind it.
func cutToken(s, stops string) (word, rest string) {
	s = skipFill(s, "")
	end := strings.IndexAny(s, stops+"(")
	if end < 0 {
		end = len(s)
	}
	return strings.TrimSpace(s[:end]), skipFill(s[end:], "")
}

// splitList reads a list of words with commas.
func splitList(s string, limit int) []string {
	var list []string
	for len(list) < limit {
		var word string
		word, s = cutToken(s, ",")
		if word != "" {
			list = append(list, word)
		}
		i := strings.IndexByte(s, ',')
		if i < 0 {
			break
		}
		s = s[i+1:]
	}
	return list
}

// isToken tells whether s is a token of RFC 2045 §5.1; 8-bit is tolerated.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// DecodeParam returns the value of a parameter: RFC 2231 segments are joined
// and decoded, as are the encoded words that many programs put there instead.
func DecodeParam(params []Param, name string) (string, bool) {
	plain, found := "", false
	for _, p := range params {
		if strings.EqualFold(p.Name, name) {
			plain, found = p.Value, true
			break
		}
	}
	if text, ok := decodeExtended(params, name); ok {
		return text, true
	}
	if !found {
		return "", false
	}
	if strings.Contains(plain, "=?") {
		plain = DecodeWords(plain)
	}
	return plain, true
}
