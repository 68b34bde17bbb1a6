package classify

import "strings"

// text is a reply as its words. Dropped are addresses, which somebody else chose, and
// what has no letter: codes, numbers, IP addresses. So a pattern does not have to say
// where those may stand.
type text struct {
	line  string // lower case
	words []span
}

type span struct{ from, to int }

func (t text) word(i int) string { return t.line[t.words[i].from:t.words[i].to] }

// split finds the words: letters, digits, and dots, hyphens and underscores between
// them, so that a host name is one word. Apostrophes are left out, and so is a code in
// front of a line ("550-Sorry").
func split(s string) text {
	line := make([]byte, 0, len(s))
	words := make([]span, 0, len(s)/6+1)
	start, letters, address := 0, false, false
	end := func() {
		from, to := start, len(line)
		if to-from > 4 && line[from+3] == '-' && digits(line[from:from+3]) {
			from += 4
		}
		for from < to && joins(line[from]) {
			from++
		}
		for from < to && joins(line[to-1]) {
			to--
		}
		if letters && !address {
			words = append(words, span{from, to})
		}
		start, letters, address = len(line), false, false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 0x80 && !strings.HasPrefix(s[i:], "’"):
			letters = true
			line = append(line, c)
		case c >= 'A' && c <= 'Z':
			letters = true
			line = append(line, c+'a'-'A')
		case c == '.' && (i+1 == len(s) || !alphanumeric(s[i+1])):
			end() // of a sentence
		case c >= '0' && c <= '9' || joins(c):
			line = append(line, c)
		case c == '@':
			address = true
		case c == '\'':
		case c >= 0x80: // ’
			i += len("’") - 1
		default:
			end()
		}
	}
	end()
	return text{line: string(line), words: words}
}

func joins(c byte) bool { return c == '.' || c == '-' || c == '_' }

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// same says whether a word is the one of a pattern. A pattern's host name stands for
// the hosts below it as well.
func same(word, wanted string) bool {
	if len(word) <= len(wanted) {
		return word == wanted
	}
	return strings.Contains(wanted, ".") && below(word, wanted)
}

// below says whether a host is in a domain.
func below(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, domain) && host[len(host)-len(domain)-1] == '.'
}
