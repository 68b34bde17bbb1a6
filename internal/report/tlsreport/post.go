package tlsreport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

const (
	// postTimeout is for the whole of it.
	postTimeout = time.Minute
	// maxReport is the most octets of a report (RFC 8460 §5.2 knows of receivers with
	// this limit), maxAnswer of the answer's header and of its body.
	maxReport = 10 << 20
	maxAnswer = 16 << 10
)

// Poster posts reports.
type Poster struct {
	Resolver *dnsx.Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Roots    func() *x509.CertPool                                             // nil, also of what it returns: the system's
	Own      func() []netip.Prefix                                             // networks besides the Internet where receivers may be; nil = none
	IPv4Only func() bool                                                       // see dnsx.Dialer
}

// Post hands a report to an https: URI (RFC 8460 §5.4), directly and not through a
// proxy, and follows nobody elsewhere.
func (p *Poster) Post(ctx context.Context, uri string, report []byte) error {
	if len(report) > maxReport {
		return fmt.Errorf("the report has %d octets, which is too large", len(report))
	}
	if !strings.HasPrefix(strings.ToLower(uri), "https://") {
		return errors.New("that is no https: URI")
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, bytes.NewReader(report))
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "hayauma")
	request.Header.Set("Content-Type", tlsrpt.GzipType)
	// Strangers choose the URIs.
	dialer := &dnsx.Dialer{Resolver: p.Resolver, Dial: p.Dial, Public: true, Own: p.Own, IPv4Only: p.IPv4Only}
	transport := &http.Transport{
		DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxAnswer,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if p.Roots != nil {
		transport.TLSClientConfig.RootCAs = p.Roots()
	}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the web server answers %d", answer.StatusCode)
	}
	// To its end, since some servers keep nothing of a client that leaves early; what
	// it says, or whether that arrives, does not matter.
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	return nil
}
