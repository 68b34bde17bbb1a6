package testkit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Proxy is a proxy on a real socket that speaks SOCKS5 (RFC 1928) and CONNECT.
type Proxy struct {
	Addr string // "ip:port"

	to map[string]string

	mu    sync.Mutex
	login string // "user:password", empty = none is asked for
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

// Want has it let in only who logs in so, by RFC 1929 or Basic (RFC 7617).
func (p *Proxy) Want(user, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.login = user + ":" + password
}

func (p *Proxy) wanted() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.login
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
		addr, err = socksRequest(conn, in, p.wanted())
	} else {
		var r *http.Request
		if r, err = http.ReadRequest(in); err == nil && r.Method == http.MethodConnect {
			addr = r.Host
			said := r.Header.Get("Proxy-Authorization")
			if want := p.wanted(); want != "" && said != "Basic "+base64.StdEncoding.EncodeToString([]byte(want)) {
				no = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n\r\n"
				if said != "" { // as tinyproxy does
					no = "HTTP/1.0 401 Unauthorized\r\n\r\n"
				}
				_, _ = io.WriteString(conn, no)
				return
			}
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

// socksRequest reads what a SOCKS5 client asks for that logs in as is wanted.
func socksRequest(conn io.Writer, in io.Reader, want string) (string, error) {
	b := make([]byte, 256)
	if _, err := io.ReadFull(in, b[:2]); err != nil {
		return "", err
	}
	n := b[1]
	if _, err := io.ReadFull(in, b[:n]); err != nil {
		return "", err
	}
	method := byte(0)
	if want != "" {
		method = 2
	}
	if !bytes.Contains(b[:n], []byte{method}) {
		_, err := conn.Write([]byte{5, 0xff})
		return "", errors.Join(err, errors.New("no method that is wanted"))
	}
	if _, err := conn.Write([]byte{5, method}); err != nil {
		return "", err
	}
	if want != "" {
		if err := socksLogin(conn, in, want); err != nil {
			return "", err
		}
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

// socksLogin is RFC 1929 §2.
func socksLogin(conn io.Writer, in io.Reader, want string) error {
	version := make([]byte, 1)
	if _, err := io.ReadFull(in, version); err != nil {
		return err
	}
	var said []string
	for range 2 {
		size := make([]byte, 1)
		if _, err := io.ReadFull(in, size); err != nil {
			return err
		}
		word := make([]byte, size[0])
		if _, err := io.ReadFull(in, word); err != nil {
			return err
		}
		said = append(said, string(word))
	}
	if version[0] != 1 || strings.Join(said, ":") != want {
		_, err := conn.Write([]byte{1, 1})
		return errors.Join(err, fmt.Errorf("version %d, login %q", version[0], said))
	}
	_, err := conn.Write([]byte{1, 0})
	return err
}
