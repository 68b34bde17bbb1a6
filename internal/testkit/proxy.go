package testkit

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// Proxy is a proxy on a real socket that speaks SOCKS5 (RFC 1928) and CONNECT.
type Proxy struct {
	Addr string // "ip:port"

	to map[string]string

	mu    sync.Mutex
	asked []string
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// StartProxy starts a proxy that ends with the test. It leads to the addresses that to
// names, each to another one, and refuses all others.
func StartProxy(t testing.TB, to map[string]string) *Proxy {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), to: to, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.keep(conn)
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // nothing depends on it any more
		p.mu.Lock()
		for conn := range p.conns {
			_ = conn.Close() // its session ends by it
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *Proxy) keep(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
}

// Asked are the addresses that it was asked for, in order.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *Proxy) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }() // the peer may be gone
	in := bufio.NewReader(conn)
	first, err := in.Peek(1)
	if err != nil {
		return
	}
	yes, no := "HTTP/1.1 200 OK\r\nX: y\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n"
	var addr string
	if first[0] == 5 {
		yes, no = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"
		addr, err = socksRequest(conn, in)
	} else {
		var r *http.Request
		if r, err = http.ReadRequest(in); err == nil && r.Method == http.MethodConnect {
			addr = r.Host
		}
	}
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, addr)
	p.mu.Unlock()
	var out net.Conn
	if to, ok := p.to[addr]; ok {
		out, err = new(net.Dialer).DialContext(context.Background(), "tcp", to)
	}
	if out == nil || err != nil {
		_, _ = io.WriteString(conn, no)
		return
	}
	p.keep(out)
	p.wg.Go(func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	})
	_, _ = io.WriteString(conn, yes)
	_, _ = io.Copy(conn, out)
}

// socksRequest reads what a SOCKS5 client without a login asks for.
func socksRequest(conn io.Writer, in io.Reader) (string, error) {
	b := make([]byte, 256)
	if _, err := io.ReadFull(in, b[:2]); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(in, b[:b[1]]); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(in, b[:4]); err != nil {
		return "", err
	}
	size := map[byte]int{1: 4, 4: 16}[b[3]]
	if size == 0 {
		return "", fmt.Errorf("an address of type %d", b[3])
	}
	if _, err := io.ReadFull(in, b[:size+2]); err != nil {
		return "", err
	}
	addr, _ := netip.AddrFromSlice(b[:size])
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[size:])).String(), nil
}
