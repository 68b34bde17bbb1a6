package dnsx_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"127.0.0.1:1080", "https://h.test:1", "socks5://h.test", "socks5://u:p@h.test:1080", "http://h.test:3128/x", "http://:3128", "socks4://h.test:1", "http://h.test:0", "http://h.test:3128?x"} {
		if _, err := dnsx.ParseProxy(text); !errors.Is(err, dnsx.ErrProxy) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "socks5://127.0.0.1:1080", "http://[::1]:3128/", "http://proxy.test:8080"} {
		if _, err := dnsx.ParseProxy(text); err != nil {
			t.Errorf("%q: %v", text, err)
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
		p, err := dnsx.ParseProxy(scheme + "://" + host.Addr)
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
		p, _ = dnsx.ParseProxy(scheme + "://" + silent.Addr().String())
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if conn, err := p.By(new(net.Dialer).DialContext)(ctx, "tcp", "192.0.2.1:25"); err == nil {
			_ = conn.Close()
			t.Errorf("%s: a silent proxy has answered", scheme)
		}
		cancel()
		_ = silent.Close()
	}
}
