package outbound

import (
	"context"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// Policy is the TLS policy of a domain that takes mail.
type Policy struct {
	Source  string     `json:"source"`         // "MTA-STS"
	Mode    string     `json:"mode,omitempty"` // "enforce", "testing" or "none"; empty = announced, but none could be had
	ID      string     `json:"id,omitempty"`
	MX      []string   `json:"mx,omitempty"` // patterns of those that it names
	Fetched *time.Time `json:"fetched,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
	Failure string     `json:"failure,omitempty"` // why there is none, or no newer one: a result type of RFC 8460 and words
}

// explainTLS tells what is asked of the connections to a site, and which policy asks
// for it, nil if there is none.
func (o *Outbound) explainTLS(ctx context.Context, set terms, site string) (*Policy, string) {
	words := set.demand.words(tlsRule(set), false)
	if o.o.STS == nil || !set.MTASTS || set.via != nil || strings.HasPrefix(site, "[") {
		return nil, words
	}
	held, err := o.o.STS.Lookup(ctx, site)
	if err != nil {
		return &Policy{Source: "MTA-STS", Failure: "it cannot be told here: " + reason(err)}, words
	}
	if held.Mode == "" && held.Failure == "" {
		return nil, words
	}
	p := &Policy{Source: "MTA-STS", Mode: string(held.Mode), ID: held.ID, MX: held.MX}
	if held.Failure != "" {
		p.Failure = held.Failure + ": " + held.Cause
	}
	if held.Mode != "" {
		p.Fetched, p.Expires = &held.Fetched, &held.Expires
	}
	switch held.Mode {
	case mtasts.Enforce:
		words = set.demand.words("always; the certificate is verified (MTA-STS)", true)
	case mtasts.Testing:
		words = set.demand.words("if the host offers it; what the policy asks for is only reported (MTA-STS)", false)
	}
	return p, words
}

// explainHost tells what the policy says of a host, "" where there is none.
func (o *Outbound) explainHost(ctx context.Context, set terms, site string, t target) string {
	r := o.rule(ctx, set, site, t)
	switch {
	case r.told != "":
		return r.told
	case r.policy == "":
		return ""
	case r.unnamed == nil:
		return "named by the policy"
	case r.must:
		return "not named by the policy: it gets no mail"
	}
	return "not named by the policy: it is reported"
}

// explainBarred is what a message gets if policies bar all hosts that have an
// address, else "".
func (o *Outbound) explainBarred(ctx context.Context, set terms, site string, targets []target) string {
	reply := ""
	for _, t := range targets {
		f := o.rule(ctx, set, site, t).barred()
		if f == nil {
			return ""
		}
		reply = said(f)
	}
	return reply
}
