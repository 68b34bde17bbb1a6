package mime

import "strings"

// DecodeWords decodes the encoded words of an unfolded header value to valid
// UTF-8. What is no encoded word, or has an unknown charset, stands as it is.
// Words that touch other text are decoded too, since many programs write them,
// and neighbours of one charset are joined before decoding, since many cut a
// character in two.
// RFC 2047 §5, §6.2
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	var out strings.Builder
	var run wordRun
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, ok := cutWord(s[i:])
		if !ok {
			run.flush(&out)
			out.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		// RFC 2047 §6.2: white space between two encoded words is not shown.
		if gap := s[:i]; !run.open || strings.Trim(gap, " \t") != "" {
			run.flush(&out)
			out.WriteString(gap)
		}
		if !run.open || !strings.EqualFold(run.charset, w.charset) {
			run.flush(&out)
			run.charset, run.open = w.charset, true
		}
		run.bytes = w.decode(run.bytes)
		s = s[i+w.size:]
	}
	run.flush(&out)
	out.WriteString(s)
	return strings.ToValidUTF8(out.String(), "\ufffd")
}

// wordRun is a row of encoded words of one charset.
type wordRun struct {
	charset string
	bytes   []byte
	open    bool
}

func (r *wordRun) flush(out *strings.Builder) {
	if r.open {
		out.WriteString(charsetText(r.charset, r.bytes))
	}
	r.open, r.bytes = false, r.bytes[:0]
}

// Longer than RFC 2047 §2 allows (75 in all), since many words are; bounded,
// since every beginning of a word is followed by a search for its end.
const (
	maxWord    = 16 << 10
	maxCharset = 64
)

// word is one encoded word.
type word struct {
	charset string
	base64  bool
	text    string
	size    int // in the value, with its marks
}

// cutWord reads the encoded word that s begins with.
// RFC 2047 §2; RFC 2231 §5 (charset*language)
func cutWord(s string) (word, bool) {
	charset, rest, ok := strings.Cut(s[2:], "?")
	if !ok || charset == "" || len(charset) > maxCharset || strings.ContainsAny(charset, " \t=\"") || len(rest) < 3 || rest[1] != '?' {
		return word{}, false
	}
	w := word{}
	w.charset, _, _ = strings.Cut(charset, "*")
	switch rest[0] {
	case 'B', 'b':
		w.base64 = true
	case 'Q', 'q':
	default:
		return word{}, false
	}
	rest = rest[2:]
	end := strings.Index(rest[:min(len(rest), maxWord)], "?=")
	if end < 0 {
		return word{}, false
	}
	w.text = rest[:end]
	w.size = 2 + len(charset) + 3 + end + 2
	if enc, raw := charsetEncoding(w.charset); enc == nil && !raw {
		return word{}, false
	}
	return w, true
}

func (w word) decode(dst []byte) []byte {
	if w.base64 {
		var q quantum
		for i := range len(w.text) {
			dst = q.add(dst, w.text[i])
		}
		return q.end(dst)
	}
	// RFC 2047 §4.2
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		if c == '_' {
			c = ' '
		} else if c == '=' && i+2 < len(w.text) {
			if x, ok := hexByte(w.text[i+1], w.text[i+2]); ok {
				c = x
				i += 2
			}
		}
		dst = append(dst, c)
	}
	return dst
}
