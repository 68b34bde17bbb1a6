package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	kernel "github.com/hayauma/hayauma/internal/socket"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's document
// proxy-protocol.txt describes it.

const (
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
	maxV1       = 107 // octets with CRLF, as the document counts them
	fixedV2     = 16  // signature, command, family, length
	// maxV2 bounds addresses and what a load balancer adds to them; the
	// largest additions are names out of TLS.
	maxV2 = fixedV2 + 4096
)

// Errors of a PROXY header.
var (
	errProxy       = errors.New("this is no PROXY header")
	errProxyLong   = errors.New("the PROXY header is too long")
	errProxyDamage = errors.New("the PROXY header's checksum is wrong")
)

// header is what a PROXY header says.
type header struct {
	// known is false where the proxy speaks for itself or does not know: the
	// socket's addresses hold.
	known               bool
	source, destination netip.AddrPort
	size                int // octets that the header took
}

// parseProxy reads the header at the start of b; done is false as long as more
// octets are needed to tell.
func parseProxy(b []byte) (h header, done bool, err error) {
	switch {
	case hasStart(b, signatureV2):
		return parseV2(b)
	case hasStart(b, "PROXY "):
		return parseV1(b)
	}
	return header{}, false, errProxy
}

// hasStart tells whether b begins with s, or s with b.
func hasStart(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

func parseV1(b []byte) (header, bool, error) {
	end := bytes.IndexByte(b[:min(len(b), maxV1)], '\n')
	switch {
	case end < 0 && len(b) >= maxV1:
		return header{}, false, errProxyLong
	case end < 0:
		return header{}, false, nil
	case b[end-1] != '\r':
		return header{}, false, errProxy
	}
	h := header{size: end + 1}
	words := strings.Split(string(b[:end-1]), " ")
	if words[1] == "UNKNOWN" {
		return h, true, nil // what follows is to be ignored
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return header{}, false, errProxy
	}
	var ok1, ok2 bool
	v4 := words[1] == "TCP4"
	h.source, ok1 = endpointV1(words[2], words[4], v4)
	h.destination, ok2 = endpointV1(words[3], words[5], v4)
	if !ok1 || !ok2 {
		return header{}, false, errProxy
	}
	h.known = true
	return h, true, nil
}

func endpointV1(host, port string, v4 bool) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Is4() != v4 || addr.Zone() != "" {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

// Parts of a version 2 header.
const (
	commandLocal, commandProxy = 0x20, 0x21

	familyUnknown, familyTCP4, familyTCP6, familyUnix = 0x00, 0x11, 0x21, 0x31

	typeCRC32C = 0x03
)

func parseV2(b []byte) (header, bool, error) {
	if len(b) < fixedV2 {
		return header{}, false, nil
	}
	h := header{size: fixedV2 + int(binary.BigEndian.Uint16(b[14:]))}
	command, family := b[12], b[13]
	switch {
	case command != commandLocal && command != commandProxy:
		return header{}, false, errProxy
	case h.size > maxV2:
		return header{}, false, errProxyLong
	case len(b) < h.size:
		return header{}, false, nil
	case command == commandLocal:
		return h, true, nil // the rest is to be skipped
	}
	size := 0 // of one address
	switch family {
	case familyUnknown:
		return h, true, nil
	case familyTCP4:
		size = 4
	case familyTCP6:
		size = 16
	case familyUnix:
		size = 108 - 2 // two paths, and no ports
	default:
		return header{}, false, errProxy
	}
	rest := b[fixedV2:h.size]
	if len(rest) < 2*size+4 {
		return header{}, false, errProxy
	}
	if err := checkAdditions(b[:h.size], fixedV2+2*size+4); err != nil {
		return header{}, false, err
	}
	if family == familyUnix {
		return h, true, nil
	}
	source, _ := netip.AddrFromSlice(rest[:size])
	destination, _ := netip.AddrFromSlice(rest[size : 2*size])
	ports := rest[2*size:]
	h.known = true
	h.source = netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(ports))
	h.destination = netip.AddrPortFrom(destination.Unmap(), binary.BigEndian.Uint16(ports[2:]))
	return h, true, nil
}

// checkAdditions walks the type-length-value entries from an offset on and
// compares the checksum if one is among them.
func checkAdditions(b []byte, at int) error {
	for at < len(b) {
		if len(b)-at < 3 {
			return errProxy
		}
		kind, n := b[at], int(binary.BigEndian.Uint16(b[at+1:]))
		at += 3
		if n > len(b)-at {
			return errProxy
		}
		if kind == typeCRC32C {
			if n != 4 || checksum(b, at) != binary.BigEndian.Uint32(b[at:]) {
				return errProxyDamage
			}
		}
		at += n
	}
	return nil
}

// checksum is that of a header whose own checksum, at an offset, is zero.
func checksum(b []byte, at int) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[:at])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, b[at+4:])
}

// proxied is a connection of which a proxy told who is at its other end.
type proxied struct {
	net.Conn
	ahead         []byte // read together with the header
	local, remote net.Addr
}

func (c *proxied) LocalAddr() net.Addr  { return c.local }
func (c *proxied) RemoteAddr() net.Addr { return c.remote }

// Pending is how many octets wait to be read, as package socket tells it. What the
// client's host has taken it cannot tell: the socket is the proxy's.
func (c *proxied) Pending() int {
	if n := kernel.Pending(c.Conn); n > 0 || len(c.ahead) == 0 {
		return len(c.ahead) + n
	}
	return len(c.ahead)
}

// Read implements io.Reader.
func (c *proxied) Read(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil
	}
	return n, nil
}

// readProxy reads the header that a connection must begin with. io.EOF says
// that the proxy closed without a word.
func readProxy(c net.Conn, limit time.Duration) (net.Conn, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	buf := make([]byte, 256)
	got := 0
	for {
		if got == len(buf) {
			larger := make([]byte, min(4*len(buf), maxV2))
			copy(larger, buf)
			buf = larger
		}
		n, err := c.Read(buf[got:])
		got += n
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) && got > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		h, done, err := parseProxy(buf[:got])
		if err != nil {
			return nil, err
		}
		if done {
			return h.apply(c, buf[h.size:got])
		}
	}
}

func (h header) apply(c net.Conn, ahead []byte) (net.Conn, error) {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	p := &proxied{Conn: c, ahead: ahead, local: c.LocalAddr(), remote: c.RemoteAddr()}
	if h.known {
		p.local, p.remote = tcpAddr(h.destination), tcpAddr(h.source)
	}
	return p, nil
}
