package socket

import (
	"net"
	"os"
)

// Records lies between TLS and its connection. TLS takes all that has come, and does not
// tell what of that nobody has read from it yet. While Shut is set it gets nothing more, as
// if its time were over, so that a read from it returns what it holds or fails for now.
type Records struct {
	net.Conn
	Shut bool

	head   int    // octets of a record's head that have come
	length uint16 // the last two of them
	body   int    // octets of the record that are to come behind its head
}

// headSize is the type of a record, its version and its length (RFC 8446 §5.1).
const headSize = 5

// Read implements io.Reader.
func (r *Records) Read(p []byte) (int, error) {
	if r.Shut {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := r.Conn.Read(p)
	r.follow(p[:n])
	return n, err
}

// Partial tells whether only the beginning of a record has come, out of which TLS gives
// nothing. Its sender had the whole of it.
func (r *Records) Partial() bool { return r.head > 0 || r.body > 0 }

// follow keeps in mind where records end.
func (r *Records) follow(p []byte) {
	for len(p) > 0 {
		if r.body > 0 {
			n := min(r.body, len(p))
			r.body -= n
			p = p[n:]
			continue
		}
		r.length = r.length<<8 | uint16(p[0])
		p = p[1:]
		if r.head++; r.head == headSize {
			r.head, r.body = 0, int(r.length)
		}
	}
}
