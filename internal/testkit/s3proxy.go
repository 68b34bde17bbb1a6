package testkit

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// S3Fault is what happens to one request on its way through an S3Proxy.
type S3Fault struct {
	// Delay passes before the request goes on. It goes on even if the client
	// has given up by then.
	Delay time.Duration
	// Status is answered instead of passing the request on, with Code as S3's
	// word for the error.
	Status int
	Code   string
	// Cut ends the connection instead of passing the request on.
	Cut bool
	// Lost passes the request on and ends the connection instead of answering.
	Lost bool
	// Wrong changes one octet of the answer's body, Short cuts its second half.
	Wrong, Short bool
	// Until, if set, holds the request until it is closed. Like Delay.
	Until <-chan struct{}
}

// S3Proxy stands between a client and an S3 server and does harm.
type S3Proxy struct {
	Endpoint string // "127.0.0.1:port"

	target string
	server *httptest.Server
	client *http.Client
	mu     sync.Mutex
	fault  func(*http.Request) S3Fault
	seen   int
	octets int64
}

// NewS3Proxy starts a proxy that does no harm yet.
func NewS3Proxy(t testing.TB, target string) *S3Proxy {
	t.Helper()
	p := &S3Proxy{target: target, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	p.Endpoint = strings.TrimPrefix(p.server.URL, "http://")
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
		p.client.CloseIdleConnections()
	})
	return p
}

// Set has every further request ask f what happens to it; nil does no harm.
func (p *S3Proxy) Set(f func(*http.Request) S3Fault) {
	p.mu.Lock()
	p.fault = f
	p.mu.Unlock()
}

// Always does the same to every request.
func (p *S3Proxy) Always(f S3Fault) { p.Set(func(*http.Request) S3Fault { return f }) }

// Requests is how many requests came so far.
func (p *S3Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// Octets is how many octets of answers' bodies went to clients so far.
func (p *S3Proxy) Octets() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.octets
}

func (p *S3Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen++
	var f S3Fault
	if p.fault != nil {
		f = p.fault(r)
	}
	p.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || f.Cut {
		cut(w)
		return
	}
	if f.Delay > 0 {
		<-time.After(f.Delay)
	}
	if f.Until != nil {
		<-f.Until
	}
	if f.Status != 0 {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, "<Error><Code>"+f.Code+"</Code><Message>on purpose</Message></Error>") // the client may be gone
		return
	}
	p.pass(w, r, body, f)
}

// pass asks the server and gives its answer on. Neither waits for the client.
func (p *S3Proxy) pass(w http.ResponseWriter, r *http.Request, body []byte, f S3Fault) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, "http://"+p.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		cut(w)
		return
	}
	req.Header, req.Host = r.Header.Clone(), r.Host // both are signed
	res, err := p.client.Do(req)
	if err != nil {
		cut(w)
		return
	}
	answer, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err != nil || cerr != nil || f.Lost {
		cut(w)
		return
	}
	if f.Wrong && len(answer) > 0 {
		answer[len(answer)/2] ^= 1
	}
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	}
	if f.Short {
		answer = answer[:len(answer)/2]
	}
	p.mu.Lock()
	p.octets += int64(len(answer))
	p.mu.Unlock()
	w.WriteHeader(res.StatusCode)
	// The client may be gone. Where the answer is short, the server ends the
	// connection, because it has promised more.
	_, _ = w.Write(answer)
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close() // there is nothing more to do with it
	}
}
