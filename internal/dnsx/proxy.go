package dnsx

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/proxy"
)

// Proxy is a host through which connections leave. The zero Proxy is none.
type Proxy struct {
	scheme         string // socks5 or http
	addr           string // host:port
	user, password string // empty = no login
}

// Errors of a proxy.
var (
	// ErrProxy says how a proxy is written.
	ErrProxy = errors.New("write a proxy like socks5://127.0.0.1:1080, or http://127.0.0.1:3128 for one that knows CONNECT; its user stands before the host, like socks5://user@127.0.0.1:1080")
	// ErrProxyPassword: a password has no user, or cannot be sent.
	ErrProxyPassword = fmt.Errorf("the user of a proxy and the password go together: give both, or none for no login, of up to %d octets each in one line", maxProxyWord)
	// ErrProxyLogin: the proxy lets nobody in with this login, or without one.
	ErrProxyLogin = errors.New("the proxy refuses the login")
	// ErrProxyFamily: the proxy knows no addresses of this family.
	ErrProxyFamily = errors.New("the proxy knows no addresses of this family")
)

// maxProxyWord bounds user and password (RFC 1929 §2).
const maxProxyWord = 255

// ParseProxy reads a proxy; an empty text is none. The password of its user never stands
// in the text, which is shown to people.
func ParseProxy(s, password string) (Proxy, error) {
	if s == "" && password == "" {
		return Proxy{}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "socks5" && u.Scheme != "http" || u.Hostname() == "" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Proxy{}, ErrProxy
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
		return Proxy{}, ErrProxy
	}
	p := Proxy{scheme: u.Scheme, addr: u.Host, user: u.User.Username(), password: password}
	// RFC 7617 §2: no colon in the user.
	if _, shown := u.User.Password(); shown || u.User != nil && p.user == "" || strings.Contains(p.user, ":") {
		return Proxy{}, ErrProxy
	}
	if (p.user == "") != (password == "") || len(p.user) > maxProxyWord || len(password) > maxProxyWord || strings.ContainsFunc(p.user+password, unicode.IsControl) {
		return Proxy{}, ErrProxyPassword
	}
	return p, nil
}

// String is the proxy as it is written, without the password.
func (p Proxy) String() string {
	if p.scheme == "" {
		return ""
	}
	u := url.URL{Scheme: p.scheme, Host: p.addr}
	if p.user != "" {
		u.User = url.User(p.user)
	}
	return u.String()
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
	var login *proxy.Auth // RFC 1929
	if p.user != "" {
		login = &proxy.Auth{User: p.user, Password: p.password}
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d, err := proxy.SOCKS5("tcp", p.addr, login, forward{dial})
		if err != nil {
			return nil, err
		}
		by, ok := d.(proxy.ContextDialer)
		if !ok {
			return nil, errors.ErrUnsupported
		}
		conn, err := by.DialContext(ctx, network, addr)
		switch {
		case err == nil:
		case refusesLogin(err):
			err = fmt.Errorf("%w: %w", ErrProxyLogin, err)
		case strings.Contains(err.Error(), "address type not supported"): // RFC 1928 §6; there are words for it alone
			err = fmt.Errorf("%w: %w", ErrProxyFamily, err)
		}
		return conn, err
	}
}

// refusesLogin tells whether an error of package proxy says that the login is wrong, or
// lacks. There are words for it alone.
func refusesLogin(err error) bool {
	text := err.Error()
	return strings.Contains(text, "username/password authentication failed") || strings.Contains(text, "no acceptable authentication methods")
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
	answer, login := "", ""
	if p.user != "" { // RFC 7617 §2
		login = "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password)) + "\r\n"
	}
	if _, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", addr, addr, login); err == nil {
		answer, err = header(conn)
	}
	status := strings.Fields(answer)
	switch {
	case !stop() && ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && (len(status) < 2 || !strings.HasPrefix(status[0], "HTTP/1.") || len(status[1]) != 3 || status[1][0] != '2'):
		line, _, _ := strings.Cut(answer, "\r\n")
		err = fmt.Errorf("it answers %.100q", line)
		if len(status) > 1 && (status[1] == "407" || status[1] == "401") { // 401: tinyproxy, of a wrong login
			err = fmt.Errorf("%w: %w", ErrProxyLogin, err)
		}
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
