package mail

import (
	"strconv"
	"strings"
)

// ReplyLine is a reply as people read it, in one line: code, enhanced code and words. Each
// of the codes may be missing, or stand in the words already.
func ReplyLine(code int, enhanced, words string) string {
	line := strings.NewReplacer("\r\n", " ", "\n", " ").Replace(words)
	number := ""
	if code > 0 {
		number = strconv.Itoa(code)
		if rest, ok := strings.CutPrefix(line+" ", number+" "); ok {
			line = strings.TrimSuffix(rest, " ")
		}
	}
	if enhanced != "" && !strings.Contains(line, enhanced) {
		line = enhanced + " " + line
	}
	return strings.TrimSpace(number + " " + line)
}
