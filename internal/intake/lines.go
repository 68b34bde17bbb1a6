package intake

import "bytes"

// maxLine is what a line may have, with its CRLF (RFC 5321 §4.5.3.1.6).
const maxLine = 1000

// ruler finds out whether a content has lines that are too long for others. It is
// kept as it came in any case; a host that cuts such lines would break it.
type ruler struct {
	line int // octets of the line at hand
	long bool
}

func (r *ruler) measure(p []byte) {
	for len(p) > 0 && !r.long {
		// Far ahead first: most lines are short, and many fit into the room.
		room := min(len(p), maxLine-r.line)
		at := bytes.LastIndexByte(p[:room], '\n')
		switch {
		case at >= 0:
			r.line, p = 0, p[at+1:]
		case room < maxLine-r.line:
			r.line += room
			return
		default:
			r.long = true
		}
	}
}
