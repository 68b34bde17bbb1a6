package testkit

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// PolicyHost is a web server on loopback that publishes MTA-STS policies, each
// under "mta-sts." and its domain.
type PolicyHost struct {
	Addr  string       // its "127.0.0.1:port"
	Asked atomic.Int32 // requests so far

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
}

// StartPolicyHost starts one that ends with the test, at "ip:port"; empty = at
// 127.0.0.1 and a free port.
func StartPolicyHost(t testing.TB, addr string, config *tls.Config) *PolicyHost {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("policy host: %v", err)
	}
	p := &PolicyHost{Addr: listener.Addr().String(), handlers: map[string]http.HandlerFunc{}}
	server := httptest.NewUnstartedServer(p)
	_ = server.Listener.Close() // the one that is taken is another
	server.Listener, server.TLS = listener, config
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return p
}

// Publish answers with a policy from now on.
func (p *PolicyHost) Publish(domain, policy string) {
	p.Answer(domain, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, policy) // a client that left is its own test's matter
	})
}

// Answer answers in any way from now on; nil = with 404.
func (p *PolicyHost) Answer(domain string, how http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers["mta-sts."+domain] = how
}

// ServeHTTP implements http.Handler.
func (p *PolicyHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Asked.Add(1)
	host, _, _ := strings.Cut(r.Host, ":")
	p.mu.Lock()
	how := p.handlers[host]
	p.mu.Unlock()
	if how == nil || r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
		how = http.NotFound
	}
	how(w, r)
}
