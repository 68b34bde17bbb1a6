package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// fetchTimeout is for the whole of it (RFC 8461 §3.3).
const fetchTimeout = time.Minute

// What a failed fetch is called in reports (RFC 8460 §4.3.2.2).
const (
	FetchFailed   = "sts-policy-fetch-error"
	PolicyInvalid = "sts-policy-invalid"
	WebPKIInvalid = "sts-webpki-invalid"
)

// Result is what a report calls an error of Fetch.
func Result(err error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, new(Error)):
		return PolicyInvalid
	case errors.As(err, &certificate):
		return WebPKIInvalid
	}
	return FetchFailed
}

// Fetcher gets policies from where domains publish them.
type Fetcher struct {
	Resolver *dnsx.Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Roots    func() *x509.CertPool                                             // nil, also of what it returns: the system's
	Own      func() []netip.Prefix                                             // networks besides the Internet where policy hosts may be; nil = none
}

// Fetch returns the policy that a domain publishes now. Nothing is kept of it.
func (f *Fetcher) Fetch(ctx context.Context, domain string) (Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	url := "https://mta-sts." + domain + "/.well-known/mta-sts.txt"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Policy{}, fmt.Errorf("fetch the MTA-STS policy of %s: %w", domain, err)
	}
	request.Header.Set("User-Agent", "hayauma")
	request.Header.Set("Accept", "text/plain")
	// A transport without a proxy, a cache or a connection that stays.
	// Strangers choose the addresses of their policy hosts.
	dialer := &dnsx.Dialer{Resolver: f.Resolver, Dial: f.Dial, Public: true, Own: f.Own}
	transport := &http.Transport{
		DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: MaxSize,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if f.Roots != nil {
		transport.TLSClientConfig.RootCAs = f.Roots()
	}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request) // which follows nobody: RFC 8461 §3.3
	if err != nil {
		return Policy{}, fmt.Errorf("fetch the MTA-STS policy of %s: %w", domain, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	text, err := read(answer)
	if err != nil {
		return Policy{}, fmt.Errorf("fetch %s: %w", url, err)
	}
	return Parse(text)
}

func read(answer *http.Response) (string, error) {
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the web server answers %d", answer.StatusCode)
	}
	kind := answer.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); media != "text/plain" || err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", fmt.Errorf("the web server sends %.80q, which is not text/plain", kind)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, MaxSize+1))
	return string(text), err
}
