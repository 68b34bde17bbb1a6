package explain

import (
	"strconv"
	"strings"
	"unicode"
)

// maxText bounds what is read of a reply, in octets. Real ones are far shorter.
const maxText = 2 << 10

// reply is a reply in parts.
type reply struct {
	code     int    // 0 = none
	enhanced string // "5.7.26", empty = none
	text     string // in one line, without the codes in front
}

// String is the reply in one line.
func (r reply) String() string {
	line := r.text
	if r.enhanced != "" {
		line = r.enhanced + " " + line
	}
	if r.code != 0 {
		line = strconv.Itoa(r.code) + " " + line
	}
	return strings.TrimSpace(line)
}

// class is the first digit, 0 where there is no code. The basic code counts: it
// is what the sending server obeys (RFC 5321 §4.2.1).
func (r reply) class() byte {
	switch {
	case r.code != 0:
		return byte('0' + r.code/100)
	case r.enhanced != "":
		return r.enhanced[0]
	}
	return 0
}

// parse takes a reply out of what people paste: the reply itself in one line or
// several, "smtp; 550 ...", "host mx.example said: 550 ... (in reply to RCPT TO
// command)", a code alone.
func parse(raw string) reply {
	text := tidy(raw)
	var r reply
	if at := findCode(text); at >= 0 {
		r.code = int(text[at]-'0')*100 + int(text[at+1]-'0')*10 + int(text[at+2]-'0')
		text = text[at+3:]
		rest := strings.TrimLeft(text, `-, "`)
		if enhanced, after, ok := cutEnhanced(rest); ok {
			r.enhanced, rest = enhanced, after
		}
		text = dropMarks(rest, r, strings.Contains(raw, "\n"))
	} else if enhanced, after, ok := cutEnhanced(text); ok {
		r.enhanced, text = enhanced, after
	}
	if r.enhanced == "" {
		r.enhanced = findEnhanced(text, r.class())
	}
	r.text = trim(text)
	return r
}

// tidy makes one line of valid UTF-8 without control characters.
func tidy(raw string) string {
	text := strings.ToValidUTF8(raw[:min(len(raw), maxText)], "")
	text = strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) || unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
	return trim(strings.Join(strings.Fields(text), " "))
}

// trim takes off what others put around a reply.
func trim(text string) string {
	text, _, _ = strings.Cut(text, " (in reply to ")
	if !strings.Contains(text, "(") {
		text = strings.TrimRight(text, `) ,"`) // of "(reason: 550 ...)"
	}
	return strings.Trim(text, ` ,"`)
}

// findCode returns where a basic code stands: at the beginning, or behind a mark
// that comes before a quoted reply. Other numbers of three digits are left, and so are
// ports ("mx.example:587"): no code has a second digit over 5 (RFC 5321 §4.2).
func findCode(text string) int {
	for at := 0; at+3 <= len(text); at++ {
		if !codeAt(text, at) || at > 0 && text[at+1] > '5' {
			continue
		}
		before := strings.TrimRight(text[:at], " ")
		if before == "" || strings.HasSuffix(before, "said") || strings.ContainsRune(`;:('"<`, rune(before[len(before)-1])) {
			return at
		}
	}
	return -1
}

// codeAt says whether a basic code may stand here, by itself.
func codeAt(text string, at int) bool {
	word := text[at:]
	if word[0] < '2' || word[0] > '5' || !digit(word[1]) || !digit(word[2]) {
		return false
	}
	return len(word) == 3 || strings.ContainsRune(` -,`, rune(word[3]))
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// cutEnhanced splits "5.1.1 text", "(#5.1.1) text" and the like.
func cutEnhanced(text string) (enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(text, " ")
	word = strings.Trim(word, `()[]#:;,"'`)
	if _, _, ok := splitEnhanced(word); !ok {
		return "", text, false
	}
	return word, strings.TrimLeft(rest, `-, "`), true
}

// findEnhanced looks for a code in the middle of the words, such as "(#5.1.1)".
// It must be of the class of the basic code, if there is one.
func findEnhanced(text string, class byte) string {
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return strings.ContainsRune(` ()[]#:;,="'`, c) }) {
		word = strings.TrimSuffix(word, ".")
		if _, _, ok := splitEnhanced(word); ok && (class == 0 || word[0] == class) {
			return word
		}
	}
	return ""
}

// splitEnhanced gives subject and detail of "5.7.26" (RFC 3463 §2).
func splitEnhanced(code string) (subject, detail string, ok bool) {
	class, rest, _ := strings.Cut(code, ".")
	subject, detail, _ = strings.Cut(rest, ".")
	if class != "2" && class != "4" && class != "5" {
		return "", "", false
	}
	for _, part := range []string{subject, detail} {
		n, err := strconv.Atoi(part)
		if err != nil || len(part) > 3 || strconv.Itoa(n) != part {
			return "", "", false
		}
	}
	return subject, detail, true
}

// dropMarks takes the codes off the later lines of a reply, which tidy has put
// behind the first.
func dropMarks(text string, r reply, lines bool) string {
	code := strconv.Itoa(r.code)
	marks := []string{"-"}
	if r.enhanced != "" {
		marks = []string{"-" + r.enhanced + " ", " " + r.enhanced + " ", "-"}
	}
	if lines {
		marks = append(marks, " ")
	}
	text = " " + text + " "
	for _, mark := range marks {
		text = strings.ReplaceAll(text, " "+code+mark, " ")
	}
	return strings.Join(strings.Fields(text), " ")
}
