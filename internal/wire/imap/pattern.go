package imap

// Pattern is the mailbox pattern of LIST and LSUB, made ready for matching.
// In it "*" stands for any text and "%" for any text without the delimiter.
//
// RFC 3501 §6.3.8
type Pattern struct {
	// letters are the octets of the pattern that are no wildcards. State i
	// of the match says that the first i of them were met.
	letters []byte
	// masks holds for each octet the states that it leads out of.
	masks map[byte]states
	// any and level are the states in which a "*" or a "%" stands.
	any, level states
}

// states is a set of small numbers.
type states []uint64

func (s states) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s states) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// NewPattern joins reference and pattern, as they came in LIST, into one.
func NewPattern(reference, pattern string) *Pattern {
	return newPattern(CanonicalMailbox(reference + pattern))
}

func newPattern(pattern string) *Pattern {
	letters := 0
	for i := range len(pattern) {
		if pattern[i] != '*' && pattern[i] != '%' {
			letters++
		}
	}
	words := letters/64 + 1
	p := &Pattern{
		letters: make([]byte, 0, letters),
		masks:   make(map[byte]states),
		any:     make(states, words),
		level:   make(states, words),
	}
	for i := range len(pattern) {
		switch c := pattern[i]; c {
		case '*':
			p.any.add(len(p.letters))
		case '%':
			p.level.add(len(p.letters))
		default:
			if p.masks[c] == nil {
				p.masks[c] = make(states, words)
			}
			p.masks[c].add(len(p.letters))
			p.letters = append(p.letters, c)
		}
	}
	return p
}

// Match reports whether name, in UTF-8, matches. The first level INBOX does
// so in any case of letters. The time grows with the length of name alone, at
// worst by a word for every 64 octets of it.
func (p *Pattern) Match(name string) bool {
	if len(p.letters) > len(name) {
		return false
	}
	inbox := 0
	if underInbox(name) {
		inbox = len(Inbox)
	}
	now := make(states, len(p.any))
	now.add(0)
	for i := range len(name) {
		c := name[i]
		exact := p.masks[c]
		var folded states
		if i < inbox {
			folded = p.masks[otherCase(c)]
		}
		var carry, alive uint64
		for w := range now {
			var step uint64
			if exact != nil {
				step = exact[w]
			}
			if folded != nil {
				step |= folded[w]
			}
			stay := p.any[w]
			if c != Delimiter {
				stay |= p.level[w]
			}
			step &= now[w]
			next := step<<1 | carry | now[w]&stay
			carry = step >> 63
			now[w] = next
			alive |= next
		}
		if alive == 0 {
			return false
		}
	}
	return now.has(len(p.letters))
}

func otherCase(c byte) byte {
	if c|0x20 >= 'a' && c|0x20 <= 'z' {
		return c ^ 0x20
	}
	return c
}
