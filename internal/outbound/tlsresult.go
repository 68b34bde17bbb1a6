package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/tlspolicy/dane"
	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

// TLSResult is what TLS came to with one connection to a mail exchanger, or with
// one that was not made because of a policy: what a TLS report counts (RFC 8460).
type TLSResult struct {
	Domain string // of the recipients, A-labels

	// The policy that was applied: "sts", "tlsa" or "no-policy-found"; its lines;
	// and the patterns for host names of an MTA-STS policy.
	Policy   string
	Lines    []string
	Patterns []string
	Base     string // of "tlsa": the name below which the records stand, of which the policy is (RFC 8460 §1.1)

	Host  string         // the exchanger, as its MX record names it
	Addr  netip.AddrPort // not valid where no connection was made
	Local netip.Addr     // from where it was made

	// Failure is the result type of RFC 8460 §4.3, empty = a success; Reason is
	// more of it in words that strangers may read, or empty.
	Failure string
	Reason  string
	// PolicyFailure and PolicyReason say in the same way what kept us from a policy
	// that is announced, or from a newer one than was applied.
	PolicyFailure string
	PolicyReason  string
}

// Result types.
const (
	noSTARTTLS   = tlsrpt.NoSTARTTLS
	otherHost    = tlsrpt.OtherHost
	expired      = tlsrpt.Expired
	notTrusted   = tlsrpt.NotTrusted
	otherFailure = tlsrpt.OtherFailure

	tlsaInvalid   = tlsrpt.TLSAInvalid
	dnssecInvalid = tlsrpt.DNSSECInvalid
)

// resultOf is what a report calls a failed handshake.
func resultOf(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.HostnameError)), errors.Is(err, dane.ErrName):
		return otherHost
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired
	case errors.As(err, &invalid), errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(x509.ConstraintViolationError)):
		return notTrusted
	}
	return otherFailure
}

// timedOut tells of failures that need no report (RFC 8460 §4.3.4).
func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// failed notes what went wrong with TLS on a connection, for its report, which strangers
// read. The first failure counts.
func (c *client) failed(result, reason string) {
	if ours := new(x509.SystemRootsError).Error(); strings.HasPrefix(reason, ours) {
		reason = ours // and not in which of our files
	}
	if c.failure == "" {
		c.failure, c.reason = result, reason
	}
}

// account tells of a connection that is used, once for each site: that its mail shares the
// connection with another's is no reason to tell it less.
func (w *worker) account(c *client) {
	if w.o.o.Report == nil || slices.Contains(c.counted, w.site) {
		return
	}
	if len(c.counted) > 0 {
		c.failure, c.reason = "", "" // by the rule of another
	}
	c.counted = append(c.counted, w.site)
	c.appraise()
	w.report(c.target(), c.holds, c)
}

// report tells of a connection that got as far as TLS, or of a host that a policy
// bars (c is nil).
func (w *worker) report(t target, r rule, c *client) {
	if c == nil && r.policy == "" { // it is not known which one bars the host
		return
	}
	// Where we want no TLS nothing is known of the host's.
	if w.o.o.Report == nil || r.never != "" || w.set.via != nil || strings.HasPrefix(w.site, "[") {
		return
	}
	result := TLSResult{
		Domain: w.site, Policy: r.policy, Lines: r.lines, Patterns: r.patterns, Base: r.base, Host: t.host,
		PolicyFailure: r.failure, PolicyReason: r.reason,
	}
	if r.policy == "" {
		result.Policy = noPolicy
	}
	if c != nil {
		result.Addr, result.Failure, result.Reason = t.addr, c.failure, c.reason
		result.Local = c.source
	}
	if r.unnamed != nil && result.Failure == "" {
		result.Failure, result.Reason = otherFailure, "the policy does not name this host"
		if r.policy == tlsaPolicy {
			result.Failure, result.Reason = dnssecInvalid, r.unnamed.Public
		}
	}
	w.o.o.Report(result)
}

// appraise finds out, for the report, what a policy that decides nothing would have
// said of a connection that is used.
func (c *client) appraise() {
	t, ok := c.conn.(*tls.Conn)
	if !ok {
		c.failed(noSTARTTLS, "")
		return
	}
	if err := c.judge(c.holds, t); err != nil {
		c.failed(resultOf(err), reason(err))
	}
}
