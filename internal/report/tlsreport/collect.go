package tlsreport

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

const (
	// maxPolicy is the most octets of a policy that a report shows: as much as
	// MTA-STS allows.
	maxPolicy = 64 << 10
	// maxReason is the most characters of why something failed.
	maxReason = 200
)

// Add counts a result. It does not block.
func (r *Reports) Add(t outbound.TLSResult) {
	if !r.o.Settings().On {
		return
	}
	day := key{dayOf(r.o.Now()), t.Domain}
	id, body := mark(policyOf(t))
	count := row{id: rowKey{policy: id}, body: body, succeeded: 1}
	if t.Failure != "" {
		count.succeeded, count.failed = 0, 1
	}
	failures := failuresOf(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mem.add(day, count) {
		r.o.Metrics.drop(1)
		return
	}
	for _, f := range failures {
		if !r.mem.add(day, row{id: rowKey{id, f.id}, body: f.body, failed: 1}) {
			r.o.Metrics.drop(1)
		}
	}
	if r.mem.half() {
		r.storeSoon()
	}
}

func (r *Reports) storeSoon() {
	select {
	case r.full <- struct{}{}:
	default:
	}
}

// policyOf is the policy of a result.
func policyOf(t outbound.TLSResult) tlsrpt.Policy {
	p := tlsrpt.Policy{Type: t.Policy, Domain: t.Domain, Lines: bounded(t.Lines)}
	switch t.Policy {
	case tlsrpt.STS:
		p.MX = bounded(t.Patterns)
	case tlsrpt.TLSA:
		// RFC 8460 §1.1: the TLSA base domain. Where the records could not be had, that
		// is what they were asked for first.
		p.Domain = strings.TrimSuffix(cmp.Or(t.Base, t.Host), ".")
	}
	return p
}

// bounded are the first lines of a policy.
func bounded(lines []string) []string {
	size := 0
	for i, line := range lines {
		if size += len(line); size > maxPolicy {
			return lines[:i]
		}
	}
	return lines
}

// failure is one of a result, by its fingerprint.
type failure struct{ id, body string }

// failuresOf are what went wrong: with the connection, and with a policy. The reason is
// not part of the fingerprint, since it may hold times and ports: that of the first
// failure stands for all of its kind.
func failuresOf(t outbound.TLSResult) (out []failure) {
	for _, f := range []tlsrpt.Failure{
		{Type: t.Failure, Sender: addr(t.Local), Host: host(t), Receiver: addr(t.Addr.Addr()), Reason: t.Reason},
		{Type: t.PolicyFailure, Host: host(t), Reason: t.PolicyReason},
	} {
		if f.Type == "" {
			continue
		}
		if !tlsrpt.IsResult(f.Type) {
			f.Type = tlsrpt.OtherFailure
		}
		reason := inWords(f.Reason)
		f.Reason = ""
		id, body := mark(f)
		if f.Reason = reason; reason != "" {
			_, body = mark(f)
		}
		out = append(out, failure{id, body})
	}
	return out
}

func host(t outbound.TLSResult) string { return strings.TrimSuffix(t.Host, ".") }

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// inWords is what may be stored and shown: bounded, printable text.
func inWords(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if r := []rune(text); len(r) > maxReason {
		text = string(r[:maxReason])
	}
	return text
}
