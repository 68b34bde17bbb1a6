package pop3

import "bytes"

// Stuffer turns a message into the body of a multi-line response: a dot at the
// start of a line is doubled, and lines end in CRLF (RFC 1939 §3). A LF without
// CR becomes CRLF, since a client that takes it for the end of a line could
// else see the end of the response in it. The zero value is ready.
type Stuffer struct {
	inLine bool // the last octet was not the end of a line
	cr     bool // the last octet was CR
}

// Append adds the next part of the message to dst.
func (s *Stuffer) Append(dst, p []byte) []byte {
	for len(p) > 0 {
		if !s.inLine && p[0] == '.' {
			dst = append(dst, '.')
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.inLine, s.cr = true, p[len(p)-1] == '\r'
			return append(dst, p...)
		}
		dst = append(dst, p[:i]...)
		if i > 0 && p[i-1] == '\r' || i == 0 && s.cr {
			dst = append(dst, '\n')
		} else {
			dst = append(dst, '\r', '\n')
		}
		s.inLine, s.cr = false, false
		p = p[i+1:]
	}
	return dst
}

// End adds the end of the response.
func (s *Stuffer) End(dst []byte) []byte {
	if s.inLine {
		if !s.cr {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
	}
	*s = Stuffer{}
	return append(dst, ".\r\n"...)
}

// Lines returns how many octets of p belong to its first n lines, and how many
// lines are then still wanted from what follows p.
func Lines(p []byte, n int) (octets, left int) {
	for n > 0 && octets < len(p) {
		i := bytes.IndexByte(p[octets:], '\n')
		if i < 0 {
			return len(p), n
		}
		octets += i + 1
		n--
	}
	return octets, n
}
