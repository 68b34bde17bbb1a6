package dnsx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// Proxy is a host through which connections leave. The zero Proxy is none.
type Proxy struct {
	scheme string // socks5 or http
	addr   string // host:port
}

// ErrProxy says how a proxy is written.
var ErrProxy = errors.New("write a proxy like socks5://127.0.0.1:1080, or http://127.0.0.1:3128 for one that knows CONNECT; it has no login")

// ParseProxy reads a proxy; an empty text is none.
func ParseProxy(s string) (Proxy, error) {
	if s == "" {
		return Proxy{}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "socks5" && u.Scheme != "http" || u.User != nil || u.Hostname() == "" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Proxy{}, ErrProxy
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
		return Proxy{}, ErrProxy
	}
	return Proxy{u.Scheme, u.Host}, nil
}

// dialFunc is net.Dialer.DialContext.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// By returns what connects through the proxy, which itself is reached by dial.
func (p Proxy) By(dial dialFunc) dialFunc {
	switch p.scheme {
	case "socks5":
		return p.socks(dial)
	case "http":
		return func(ctx context.Context, _, addr string) (net.Conn, error) { return p.connect(ctx, dial, addr) }
	}
	return dial
}

// forward is how package proxy wants to be told of a dial.
type forward struct{ dial dialFunc }

func (f forward) Dial(network, addr string) (net.Conn, error) {
	return f.dial(context.Background(), network, addr)
}

func (f forward) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f.dial(ctx, network, addr)
}

func (p Proxy) socks(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d, err := proxy.SOCKS5("tcp", p.addr, nil, forward{dial})
		if err != nil {
			return nil, err
		}
		by, ok := d.(proxy.ContextDialer)
		if !ok {
			return nil, errors.ErrUnsupported
		}
		return by.DialContext(ctx, network, addr)
	}
}

// maxConnectAnswer bounds the header of an answer to CONNECT.
const maxConnectAnswer = 8 << 10

// connect asks a proxy for a tunnel (RFC 9110 §9.3.6).
func (p Proxy) connect(ctx context.Context, dial dialFunc, addr string) (net.Conn, error) {
	conn, err := dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", p.addr, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // what waits ends
	answer := ""
	if _, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", addr, addr); err == nil {
		answer, err = header(conn)
	}
	status := strings.Fields(answer)
	switch {
	case !stop() && ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && (len(status) < 2 || !strings.HasPrefix(status[0], "HTTP/1.") || len(status[1]) != 3 || status[1][0] != '2'):
		line, _, _ := strings.Cut(answer, "\r\n")
		err = fmt.Errorf("it answers %.100q", line)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proxy %s: %w", p.addr, err), conn.Close())
	}
	return conn, nil
}

// header reads up to the blank line and nothing behind it: there the host speaks.
func header(r io.Reader) (string, error) {
	var b strings.Builder
	one := make([]byte, 1)
	for b.Len() < maxConnectAnswer {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		b.WriteByte(one[0])
		if one[0] == '\n' && strings.HasSuffix(b.String(), "\r\n\r\n") {
			return b.String(), nil
		}
	}
	return "", errors.New("its answer does not end")
}
