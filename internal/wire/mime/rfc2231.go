package mime

import (
	"strconv"
	"strings"
)

// maxSegments bounds the continuations of one parameter.
const maxSegments = 1000

// decodeExtended joins and decodes the parameters name*, name*0, name*0* ...
// RFC 2231 §3, §4
func decodeExtended(params []Param, name string) (string, bool) {
	var raw []byte
	charset, found := "", false
	if p, ok := extended(params, name, "*"); ok {
		var text string
		charset, text = cutCharset(p)
		return charsetText(charset, percent(nil, text)), true
	}
	for n := range min(maxSegments, len(params)) {
		suffix := "*" + strconv.Itoa(n)
		if p, ok := extended(params, name, suffix); ok {
			raw = append(raw, p...)
		} else if p, ok := extended(params, name, suffix+"*"); ok {
			if n == 0 {
				charset, p = cutCharset(p)
			}
			raw = percent(raw, p)
		} else {
			break
		}
		found = true
	}
	if !found {
		return "", false
	}
	return charsetText(charset, raw), true
}

func extended(params []Param, name, suffix string) (string, bool) {
	for _, p := range params {
		if len(p.Name) == len(name)+len(suffix) && strings.HasSuffix(p.Name, suffix) &&
			strings.EqualFold(p.Name[:len(name)], name) {
			return p.Value, true
		}
	}
	return "", false
}

// cutCharset splits charset'language'text.
func cutCharset(s string) (charset, text string) {
	charset, rest, ok := strings.Cut(s, "'")
	if !ok {
		return "", s
	}
	_, text, ok = strings.Cut(rest, "'")
	if !ok {
		return "", s
	}
	return charset, text
}

// percent appends s to dst with %XX decoded; a broken escape stands for itself.
func percent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, ok := hexByte(s[i+1], s[i+2]); ok {
				dst = append(dst, c)
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

func hexByte(a, b byte) (byte, bool) {
	x, okX := hexDigit(a)
	y, okY := hexDigit(b)
	return x<<4 | y, okX && okY
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
