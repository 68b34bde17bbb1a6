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
	"os"
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

// Public is an error of Fetch in words that strangers may read: what their side did, and
// nothing that the error tells of ours, such as addresses and resolvers.
func Public(err error) string {
	var invalid Error
	var answer answerError
	switch {
	case errors.As(err, &invalid):
		return invalid.Error()
	case errors.As(err, &answer):
		return answer.Error()
	case Result(err) == WebPKIInvalid:
		return untrusted(err)
	case errors.Is(err, dnsx.ErrNotPublic):
		return "the policy host has no public address"
	case errors.Is(err, dnsx.ErrNotFound), errors.Is(err, dnsx.ErrNoData):
		return "the policy host has no address"
	case errors.Is(err, dnsx.ErrTemporary):
		return "the address of the policy host cannot be looked up"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "the policy host does not answer in time"
	}
	return "the policy host cannot be reached, or breaks off"
}

// untrusted says what is wrong with a certificate.
func untrusted(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.HostnameError)):
		return "the certificate of the policy host is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the policy host has expired"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "the certificate of the policy host is of an unknown authority"
	}
	return "the certificate of the policy host cannot be verified"
}

// Fetcher gets policies from where domains publish them.
type Fetcher struct {
	Resolver *dnsx.Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Roots    func() *x509.CertPool                                             // nil, also of what it returns: the system's
	Own      func() []netip.Prefix                                             // networks besides the Internet where policy hosts may be; nil = none
	IPv4Only func() bool                                                       // see dnsx.Dialer
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
	dialer := &dnsx.Dialer{Resolver: f.Resolver, Dial: f.Dial, Public: true, Own: f.Own, IPv4Only: f.IPv4Only}
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

// answerError says why an answer of the web server is no policy.
type answerError string

func (e answerError) Error() string { return "the web server " + string(e) }

func read(answer *http.Response) (string, error) {
	if answer.StatusCode != http.StatusOK {
		return "", answerError(fmt.Sprintf("answers %d", answer.StatusCode))
	}
	kind := answer.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); media != "text/plain" || err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", answerError(fmt.Sprintf("sends %.80q, which is not text/plain", kind))
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, MaxSize+1))
	return string(text), err
}
