package testkit

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// stepKind says what a line of a dialog does.
type stepKind int

const (
	stepComment stepKind = iota // and empty lines
	stepSend
	stepExpect
	stepEnd      // the client says no more
	stepDo       // something happens
	stepClose    // the client closes
	stepClosed   // the server has to close
	stepStartTLS // the client shakes hands
)

// step is one line of a dialog.
type step struct {
	kind    stepKind
	number  int    // of the line in the file, from 1
	source  string // the line as written
	conn    string // "" or the digit after C and S
	bytes   string // what is sent, CRLF included, or the exact line expected, without, or what happens
	pattern *regexp.Regexp
}

// parseScript reads a dialog.
func parseScript(text string) ([]step, error) {
	var steps []step
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		s.number, s.source = i+1, line
		steps = append(steps, s)
	}
	return steps, nil
}

func parseStep(line string) (step, error) {
	if line == "" || strings.HasPrefix(line, "#") {
		return step{kind: stepComment}, nil
	}
	if m := directiveForm.FindStringSubmatch(line); m != nil {
		kinds := map[string]stepKind{"end": stepEnd, "close": stepClose, "closed": stepClosed, "starttls": stepStartTLS}
		return step{kind: kinds[m[1]], conn: m[2]}, nil
	}
	if m := happensForm.FindStringSubmatch(line); m != nil {
		return step{kind: stepDo, bytes: m[1]}, nil
	}
	m := lineForm.FindStringSubmatch(line)
	if m == nil {
		return step{}, fmt.Errorf("%q is no dialog line", line)
	}
	side, conn, mark, text := m[1], m[2], m[3], m[4]
	raw := strings.HasSuffix(conn, "64")
	conn = strings.TrimSuffix(strings.TrimSuffix(conn, "64"), "/")
	s := step{kind: stepSend, conn: conn}
	if side == "S" {
		s.kind = stepExpect
	}
	switch {
	case raw && (side == "S" || mark != ":"):
		return step{}, fmt.Errorf("base64 is for C lines only")
	case raw:
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return step{}, err
		}
		s.bytes = string(data)
	case mark == "=":
		data, err := strconv.Unquote(`"` + text + `"`)
		if err != nil {
			return step{}, fmt.Errorf("escapes of %q: %w", text, err)
		}
		s.bytes = data
	case mark == "~" && side == "C":
		return step{}, fmt.Errorf("a pattern is for S lines only")
	case mark == "~":
		pattern, err := regexp.Compile(`^(?:` + text + `)$`)
		if err != nil {
			return step{}, err
		}
		s.pattern = pattern
	case side == "C":
		s.bytes = text + "\r\n"
	default:
		s.bytes = text
	}
	return s, nil
}

// matches compares a received line (without CRLF) and keeps the pattern's
// named groups in vars.
func (s step) matches(line string, vars map[string]string) bool {
	if s.pattern == nil {
		return expand(s.bytes, vars) == line
	}
	groups := s.pattern.FindStringSubmatch(line)
	if groups == nil {
		return false
	}
	for i, name := range s.pattern.SubexpNames() {
		if name != "" {
			vars[name] = groups[i]
		}
	}
	return true
}

// expand replaces ${name} by what a pattern's group (?P<name>...) matched
// before. An unknown name stays as it is.
func expand(text string, vars map[string]string) string {
	for name, value := range vars {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

// expectation writes a received line as the S line that expects it.
func expectation(conn, line string) string {
	plain := utf8.ValidString(line) && !strings.HasSuffix(line, " ") && !strings.ContainsFunc(line, func(r rune) bool {
		return r != ' ' && !unicode.IsGraphic(r)
	})
	switch {
	case !plain:
		quoted := strconv.Quote(line)
		quoted = quoted[1 : len(quoted)-1]
		if strings.HasSuffix(quoted, " ") {
			quoted = quoted[:len(quoted)-1] + `\x20` // editors cut spaces at a line's end
		}
		return "S" + conn + "= " + quoted
	case line == "":
		return "S" + conn + ":"
	}
	return "S" + conn + ": " + line
}

// rewritten merges received lines into a block of S steps: an expectation that
// matches stays as it is written (patterns too), comments keep their place,
// what did not come goes, what is new is added.
func rewritten(conn string, block []step, got []string, vars map[string]string) []string {
	var out []string
	next := 0
	for _, line := range got {
		found := -1
		for i := next; i < len(block) && found < 0; i++ {
			if block[i].kind == stepExpect && block[i].matches(line, vars) {
				found = i
			}
		}
		if found < 0 {
			out = append(out, expectation(conn, line))
			continue
		}
		out = append(out, commentsOf(block[next:found])...)
		out = append(out, block[found].source)
		next = found + 1
	}
	return append(out, commentsOf(block[next:])...)
}

func commentsOf(steps []step) []string {
	var out []string
	for _, s := range steps {
		if s.kind == stepComment {
			out = append(out, s.source)
		}
	}
	return out
}
