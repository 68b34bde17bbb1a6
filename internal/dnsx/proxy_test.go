package dnsx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestParseProxy(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		text, password string
		want           error
	}{
		{"127.0.0.1:1080", "", dnsx.ErrProxy}, {"https://h.test:1", "", dnsx.ErrProxy}, {"socks5://h.test", "", dnsx.ErrProxy},
		{"http://h.test:3128/x", "", dnsx.ErrProxy}, {"http://:3128", "", dnsx.ErrProxy}, {"socks4://h.test:1", "", dnsx.ErrProxy},
		{"http://h.test:0", "", dnsx.ErrProxy}, {"http://h.test:3128?x", "", dnsx.ErrProxy}, {"", "p", dnsx.ErrProxy},
		{"socks5://u:p@h.test:1080", "", dnsx.ErrProxy}, {"socks5://u:@h.test:1080", "p", dnsx.ErrProxy},
		{"socks5://@h.test:1080", "", dnsx.ErrProxy}, {"http://u%3av@h.test:3128", "p", dnsx.ErrProxy},
		{"socks5://u@h.test:1080", "", dnsx.ErrProxyPassword}, {"socks5://h.test:1080", "p", dnsx.ErrProxyPassword},
		{"socks5://u%0a@h.test:1080", "p", dnsx.ErrProxyPassword}, {"socks5://u@h.test:1080", "p\r\nq", dnsx.ErrProxyPassword},
		{"socks5://" + long + "@h.test:1080", "p", dnsx.ErrProxyPassword}, {"socks5://u@h.test:1080", long, dnsx.ErrProxyPassword},
	} {
		if _, err := dnsx.ParseProxy(test.text, test.password); !errors.Is(err, test.want) {
			t.Errorf("%q, %q: %v, want %v", test.text, test.password, err, test.want)
		}
	}
	for text, password := range map[string]string{"": "", "socks5://127.0.0.1:1080": "", "http://[::1]:3128/": "", "http://proxy.test:8080": "",
		"socks5://us%40h@127.0.0.1:1080": "hunter2", "http://u@h.test:3128": "hunter2 ü:@/"} {
		p, err := dnsx.ParseProxy(text, password)
		if shown := fmt.Sprintf("%v %+v %s", p, p, p); err != nil || strings.Contains(shown, "hunter2") || !strings.HasPrefix(shown, strings.TrimSuffix(text, "/")) {
			t.Errorf("%q: %q, %v", text, shown, err)
		}
	}
}

// TestProxyLogin: who has the right login is let in, by a proxy that wants none as well;
// else the error says what is wrong, and nobody reads the password in it.
func TestProxyLogin(t *testing.T) {
	t.Parallel()
	m := testkit.StartMX(t, testkit.MXOptions{})
	for _, scheme := range []string{"socks5", "http"} {
		for _, test := range []struct{ want, user, password, fails string }{
			{"", "us", "hunter2", ""},
			{"us@h.test:hunter2: ü", "us%40h.test", "hunter2: ü", ""},
			{"us:other", "us", "hunter2", "refuses the login"},
			{"us:other", "", "", "refuses the login"},
		} {
			host := testkit.StartProxy(t, map[string]string{"192.0.2.1:25": m.Addr})
			if user, password, ok := strings.Cut(test.want, ":"); ok {
				host.Want(user, password)
			}
			text := scheme + "://" + host.Addr
			if test.user != "" {
				text = scheme + "://" + test.user + "@" + host.Addr
			}
			p, err := dnsx.ParseProxy(text, test.password)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := p.By(new(net.Dialer).DialContext)(t.Context(), "tcp", "192.0.2.1:25")
			if err == nil {
				_ = conn.Close()
			}
			if got := fmt.Sprint(err); errors.Is(err, dnsx.ErrProxyLogin) != (test.fails != "") || test.fails == "" && err != nil ||
				!strings.Contains(got, test.fails) || strings.Contains(got, "hunter2") {
				t.Errorf("%s to one that wants %q: %v", text, test.want, err)
			}
		}
	}
}

// TestProxy: who speaks first behind the proxy is heard from the first octet on, a
// refusal says so, and nobody waits longer than he wants.
func TestProxy(t *testing.T) {
	t.Parallel()
	m := testkit.StartMX(t, testkit.MXOptions{})
	for _, scheme := range []string{"socks5", "http"} {
		host := testkit.StartProxy(t, map[string]string{"192.0.2.1:25": m.Addr, "[2001:db8::1]:25": m.Addr})
		p, err := dnsx.ParseProxy(scheme+"://"+host.Addr, "")
		if err != nil {
			t.Fatal(err)
		}
		dial := p.By(new(net.Dialer).DialContext)
		for _, addr := range []string{"192.0.2.1:25", "[2001:db8::1]:25"} {
			conn, err := dial(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatalf("%s: %v", scheme, err)
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 ") || err != nil {
				t.Errorf("%s: %q, %v", scheme, line, err)
			}
			_ = conn.Close()
		}
		if conn, err := dial(t.Context(), "tcp", "192.0.2.9:25"); err == nil {
			_ = conn.Close()
			t.Errorf("%s leads where it must not", scheme)
		}
		if got := strings.Join(host.Asked(), " "); got != "192.0.2.1:25 [2001:db8::1]:25 192.0.2.9:25" {
			t.Errorf("%s was asked for %s", scheme, got)
		}
		silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, _ = dnsx.ParseProxy(scheme+"://"+silent.Addr().String(), "")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if conn, err := p.By(new(net.Dialer).DialContext)(ctx, "tcp", "192.0.2.1:25"); err == nil {
			_ = conn.Close()
			t.Errorf("%s: a silent proxy has answered", scheme)
		}
		cancel()
		_ = silent.Close()
	}
}

// TestProxyFamily: a proxy that knows no addresses of a family says so in SOCKS.
func TestProxyFamily(t *testing.T) {
	t.Parallel()
	p, err := dnsx.ParseProxy("socks5://127.0.0.1:1080", "")
	if err != nil {
		t.Fatal(err)
	}
	dial := p.By(func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }() // it has said all
			in := make([]byte, 64)
			for _, answer := range []string{"\x05\x00", "\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"} {
				if _, err := theirs.Read(in); err != nil {
					return
				}
				if _, err := theirs.Write([]byte(answer)); err != nil {
					return
				}
			}
		}()
		return ours, nil
	})
	if conn, err := dial(t.Context(), "tcp", "[2001:db8::1]:25"); !errors.Is(err, dnsx.ErrProxyFamily) {
		t.Errorf("%v, %v", conn, err)
	}
}
