package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a reply that a server sends to us. RFC 5321 §4.5.3.1.5 asks for
// lines of 512 octets; servers in the wild send longer ones, which are cut.
const (
	maxReplyLine   = 2000
	maxReplyLines  = 200
	maxReplyOctets = 64 << 10
)

// Errors of a reply. The connection is out of step after either.
var (
	ErrReply        = errors.New("not an SMTP reply")
	ErrReplyTooLong = errors.New("the reply is too long")
)

// Reply is what a server says to one command (RFC 5321 §4.2).
type Reply struct {
	Code     int      // 200 to 599
	Enhanced string   // "4.2.2" (RFC 2034), empty = none given
	Lines    []string // the text without codes, printable UTF-8; at least one
}

// Class is the first digit of the code.
func (r Reply) Class() int { return r.Code / 100 }

// Text is the text in one piece, its lines joined by "\n".
func (r Reply) Text() string { return strings.Join(r.Lines, "\n") }

// String is the reply as it stands on the wire.
func (r Reply) String() string {
	var b strings.Builder
	for i, line := range r.Lines {
		mark := "-"
		if i == len(r.Lines)-1 {
			mark = " "
		}
		b.WriteString(strconv.Itoa(r.Code) + mark)
		if r.Enhanced != "" {
			b.WriteString(r.Enhanced + " ")
		}
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

// ReplyReader reads the replies of a server. It takes lines that end in LF
// alone, since nothing depends on it here.
type ReplyReader struct{ in *bufio.Reader }

// replyBuffer is for the replies that come at once: that to EHLO is the longest.
const replyBuffer = 512

// NewReplyReader reads from src.
func NewReplyReader(src io.Reader) *ReplyReader {
	return &ReplyReader{in: bufio.NewReaderSize(src, replyBuffer)}
}

// Buffered is how many octets were read ahead.
func (r *ReplyReader) Buffered() int { return r.in.Buffered() }

// Await waits for the beginning of the next reply, and keeps it.
func (r *ReplyReader) Await() error {
	_, err := r.in.Peek(1)
	return err
}

// Read returns the next reply. Of a reply whose lines have different codes the
// last one counts.
func (r *ReplyReader) Read() (Reply, error) {
	var raw []string
	octets := 0
	for {
		line, n, err := r.line(maxReplyOctets - octets)
		if err != nil {
			return Reply{}, err
		}
		octets += n
		code, last, text, ok := cutReply(line)
		if !ok {
			return Reply{}, fmt.Errorf("%w: %q", ErrReply, clean(line[:min(len(line), 100)]))
		}
		raw = append(raw, text)
		if last {
			return newReply(code, raw), nil
		}
		if len(raw) == maxReplyLines {
			return Reply{}, ErrReplyTooLong
		}
	}
}

// line reads one line without its end, cut to maxReplyLine, and says how many
// octets it took.
func (r *ReplyReader) line(limit int) (string, int, error) {
	var line []byte
	n := 0
	for {
		part, err := r.in.ReadSlice('\n')
		n += len(part)
		if err == nil && line == nil { // as nearly always
			return strings.TrimRight(string(part[:min(len(part), maxReplyLine)]), "\r\n"), n, nil
		}
		line = append(line, part[:min(len(part), maxReplyLine-len(line))]...)
		switch {
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), n, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) && n > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", n, err
		case n > limit:
			return "", n, ErrReplyTooLong
		}
	}
}

// cutReply splits "250-text" or "250 text"; a code alone is a last line.
func cutReply(line string) (code int, last bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, true, "", true
	}
	switch line[3] {
	case ' ', '\t':
		return code, true, line[4:], true
	case '-':
		return code, false, line[4:], true
	}
	return 0, false, "", false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// newReply takes the enhanced code off the lines that carry it.
func newReply(code int, raw []string) Reply {
	reply := Reply{Code: code, Lines: make([]string, len(raw))}
	for i, text := range raw {
		text = clean(text)
		if enhanced, rest, ok := cutEnhanced(text, code/100); ok && (reply.Enhanced == "" || reply.Enhanced == enhanced) {
			reply.Enhanced, text = enhanced, rest
		}
		reply.Lines[i] = text
	}
	return reply
}

// cutEnhanced splits "5.1.1 text" (RFC 2034 §4). The class must be that of the
// code.
func cutEnhanced(text string, class int) (enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || parts[0] != strconv.Itoa(class) || class == 3 {
		return "", "", false
	}
	for _, part := range parts {
		if part == "" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return "", "", false
		}
	}
	return word, rest, true
}

// clean makes what a peer sent harmless to show: no control characters, valid
// UTF-8.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == utf8.RuneError {
			return '?'
		}
		return c
	}, s)
}
