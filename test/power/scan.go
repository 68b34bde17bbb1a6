package power

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	unfinished = "<unfinished ...>"
	resumed    = " resumed>"
)

// scanner puts the calls of all threads together again.
type scanner struct {
	line    int
	waiting map[string]*pendingCall // by thread
	each    func(*call) error
}

type pendingCall struct {
	begin int
	name  string
	text  string // of the arguments so far
}

// scan reads a record and gives each finished call to each, in the order in which
// they returned. One that never returned proves nothing and is left out: what it
// may have done, it may have done at the cut right behind its return in another
// run. scan returns the number of lines.
func scan(r io.Reader, each func(*call) error) (int, error) {
	s := &scanner{waiting: map[string]*pendingCall{}, each: each}
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		text, err := br.ReadString('\n')
		if text = strings.TrimSuffix(text, "\n"); text != "" {
			s.line++
			if err := s.take(text); err != nil {
				return s.line, fmt.Errorf("record, line %d: %w", s.line, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return s.line, nil
		}
		if err != nil {
			return s.line, fmt.Errorf("record: %w", err)
		}
	}
}

func (s *scanner) take(text string) error {
	thread, rest, ok := strings.Cut(text, " ")
	if _, err := strconv.Atoi(thread); err != nil || !ok {
		return errors.New("no thread id")
	}
	rest = strings.TrimLeft(rest, " ")
	switch {
	case strings.HasPrefix(rest, "+++"), strings.HasPrefix(rest, "---"):
		return nil
	case strings.HasPrefix(rest, "<... "):
		return s.resume(thread, rest)
	}
	name, args, ok := strings.Cut(rest, "(")
	if !ok {
		return errors.New("no call")
	}
	p := &pendingCall{begin: s.line, name: name, text: args}
	if text, cut := strings.CutSuffix(args, unfinished); cut {
		p.text = text
		s.waiting[thread] = p
		return nil
	}
	return s.finish(p)
}

func (s *scanner) resume(thread, rest string) error {
	p := s.waiting[thread]
	if p == nil {
		return errors.New("a call resumes that was not begun")
	}
	delete(s.waiting, thread)
	_, tail, ok := strings.Cut(rest, resumed)
	if !ok {
		return errors.New("no end of the resumed call")
	}
	p.text += tail
	return s.finish(p)
}

// finish splits "args) = result".
func (s *scanner) finish(p *pendingCall) error {
	args, tail, err := splitArgs(p.text)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	result, ok := strings.CutPrefix(strings.TrimLeft(tail, " "), "= ")
	if !ok {
		return fmt.Errorf("%s: no result", p.name)
	}
	return s.each(&call{begin: p.begin, end: s.line, name: p.name, args: args, result: result})
}

// splitArgs splits at the commas of the outermost level up to the closing
// parenthesis and returns what follows that.
func splitArgs(text string) (args []string, tail string, err error) {
	depth, start := 0, 0
	add := func(end int) {
		if a := strings.TrimSpace(text[start:end]); a != "" || len(args) > 0 {
			args = append(args, a)
		}
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			n := quotedLen(text[i:])
			if n == 0 {
				return nil, "", errors.New("a string without its end")
			}
			i += n - 1
		case '<': // the path of a descriptor
			if n := strings.IndexByte(text[i:], '>'); n > 0 {
				i += n
			}
		case '[', '{', '(':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				add(i)
				start = i + 1
			}
		case ')':
			if depth == 0 {
				add(i)
				return args, text[i+1:], nil
			}
			depth--
		}
	}
	return nil, "", errors.New("arguments without their end")
}

// quotedLen is the length of the quoted string that text begins with, its quotes
// included; 0 if it has no end.
func quotedLen(text string) int {
	for i := 1; i < len(text); i++ {
		n := strings.IndexAny(text[i:], `"\`)
		if n < 0 {
			return 0
		}
		i += n
		if text[i] == '"' {
			return i + 1
		}
		i++ // what is escaped
	}
	return 0
}

// unquote returns the bytes of a string argument. One that strace cut short is an
// error.
func unquote(arg string) ([]byte, error) {
	n := 0
	if strings.HasPrefix(arg, `"`) {
		n = quotedLen(arg)
	}
	if n < 2 || n != len(arg) {
		return nil, fmt.Errorf("not a whole string: %.40q", arg)
	}
	arg = arg[1 : n-1]
	out := make([]byte, 0, len(arg)/2)
	for i := 0; i < len(arg); i++ {
		if arg[i] != '\\' {
			out = append(out, arg[i])
			continue
		}
		i++
		b, used, err := escaped(arg[i:])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		i += used - 1
	}
	return out, nil
}

// escaped reads what follows a backslash: one letter, or up to three octal digits.
func escaped(text string) (b byte, used int, err error) {
	if text == "" {
		return 0, 0, errors.New("a backslash at the end")
	}
	if i := strings.IndexByte("nrtvfab", text[0]); i >= 0 {
		return "\n\r\t\v\f\a\b"[i], 1, nil
	}
	for used < len(text) && used < 3 && text[used] >= '0' && text[used] <= '7' {
		b = b<<3 | (text[used] - '0')
		used++
	}
	if used == 0 { // a quote or a backslash
		return text[0], 1, nil
	}
	return b, used, nil
}
