package smtp_test

import (
	"bytes"
	"errors"
	"io"
)

// refContent is ReadContent as a byte state machine: slow, and simple enough to
// be seen to be right. Only CR LF . CR LF ends a content, where the beginning
// of the content counts as behind CR LF.
func refContent(input []byte) (out []byte, used int, bare, ended bool) {
	const (
		lineStart = iota // behind CR LF
		dot              // behind a dot at the start of a line
		dotCR            // behind that dot and CR
		text             // within a line
		cr               // behind a CR within a line
	)
	state := lineStart
	for i, c := range input {
		switch state {
		case lineStart:
			if c == '.' {
				state = dot // the first dot of a line never belongs to the text
				continue
			}
			state = text
		case dot:
			if c == '\r' {
				state = dotCR
				continue
			}
			state = text
		case dotCR:
			if c == '\n' {
				return out, i + 1, bare, true
			}
			out = append(out, '\r')
			bare = true
			state = text
		case cr:
			if c == '\n' {
				out = append(out, c)
				state = lineStart
				continue
			}
			bare = true
			state = text
		}
		switch c {
		case '\r':
			state = cr
		case '\n':
			bare = true // state stays text: no line begins behind a LF alone
		}
		out = append(out, c)
	}
	return out, len(input), bare, false
}

// refLine is ReadLine on a whole input: the line, what is left, and the error.
func refLine(input []byte, maxLine int, tooLong, bareLF error) (line, rest []byte, err error) {
	i := bytes.IndexByte(input, '\n')
	switch {
	case i < 0:
		return nil, nil, io.EOF
	case i+1 > maxLine:
		return nil, input[i+1:], tooLong
	case i == 0 || input[i-1] != '\r' || bytes.IndexByte(input[:i-1], '\r') >= 0:
		return nil, input[i+1:], bareLF
	}
	return input[:i-1], input[i+1:], nil
}

// chunks is a source that gives its bytes in pieces of given sizes, again and
// again from the first.
type chunks struct {
	data  []byte
	sizes []int
	next  int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if len(c.sizes) > 0 {
		n = max(1, c.sizes[c.next%len(c.sizes)])
		c.next++
	}
	n = copy(p[:min(n, len(p))], c.data)
	c.data = c.data[n:]
	return n, nil
}

var errSink = errors.New("the sink is full")

// failing is a sink that fails from its n-th byte.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errSink
	}
	return len(p), nil
}
