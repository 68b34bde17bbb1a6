package outbound

import (
	"cmp"
	"context"
	"crypto/tls"

	"github.com/hayauma/hayauma/internal/mail"
)

// Demand is what the operator asks of connections to a destination.
type Demand struct {
	TLS string // "none", "opportunistic", "required" or "verified"; empty = nothing is asked
	// Despite says that a policy of the domain, which asks for more than "none" or
	// "opportunistic", does not hold.
	Despite bool
	From    string // in words: who says so
}

// demand returns what is asked of connections to a site; hosts that the operator names
// (smart host, route, next hosts of a relay domain) have settings of their own.
func (o *Outbound) demand(set terms, site, provider string) Demand {
	if o.o.Demand == nil || set.via != nil {
		return Demand{}
	}
	return o.o.Demand(site, cmp.Or(provider, site))
}

// Appointed names what the operator himself has mail for a site go to, where no Demand
// counts: "route NAME", "smart host" or "next host" (of a relay domain). Empty = its mail
// exchangers. The error is temporary.
func (o *Outbound) Appointed(ctx context.Context, site string) (string, error) {
	switch t := o.terms(ctx, site); {
	case t.lost != nil:
		return "", t.lost
	case t.via != nil:
		return t.via.words(), nil
	}
	return "", nil
}

// wished is what holds for a message. Its sender may put the policies of recipients' domains
// aside (RFC 8689 §4.2.2), not what the operator insists on.
func (d Demand) wished(set terms, env mail.Envelope) Demand {
	if !env.TLSOptional || d.Despite || set.via != nil {
		return d
	}
	switch d.TLS {
	case "", "opportunistic":
		return Demand{TLS: "opportunistic", Despite: true, From: "TLS-Required: No"}
	case "none":
		d.Despite = true
	}
	return d
}

// on is a rule as the operator wants it. What he asks for besides a policy never makes
// it weaker, unless he says so.
func (d Demand) on(r rule, proof func(tls.ConnectionState) error) rule {
	switch d.TLS {
	case "none", "opportunistic":
		if d.Despite && r.must {
			r.must = false
			if r.policy == "" { // it could not be told which one there is
				r.unnamed = nil
			}
			if r.told != "" {
				r.told += "; it does not hold (" + d.From + ")"
			}
		}
		if d.TLS == "none" && !r.must {
			r.never = "none: " + d.From
		}
	case "verified":
		r.insists, r.proof = d.From, proof
	case "required":
		r.insists = d.From
	}
	return r
}

// enforced is what a connection must have: by the policy where that proves the host,
// else by what the operator insists on as well.
func (r rule) enforced() rule {
	if r.insists == "" || r.must && r.verify != nil {
		return r
	}
	if !r.must {
		r.unnamed, r.base = nil, ""
	}
	r.must, r.name, r.source = true, "your TLS rule ("+r.insists+")", "TLS rule"
	r.verify, r.asks = r.proof, "PKIX"
	return r
}

// words tells what is asked of the connection; policy says it without the operator, and
// firm that a policy does.
func (d Demand) words(policy string, firm bool) string {
	from := " (" + d.From + ")"
	switch {
	case d.TLS == "verified" && !firm:
		return "always; the certificate is verified" + from
	case d.TLS == "required" && !firm:
		return "always; the certificate is not verified" + from
	case d.TLS == "none" && d.Despite:
		return "never, whatever policies say" + from
	case d.TLS == "opportunistic" && d.Despite:
		return "if the host offers it, whatever policies say" + from
	case d.TLS == "none" && firm:
		return policy + "; your rule none" + from + " is weaker and does not hold"
	case d.TLS == "none":
		return "never" + from
	}
	return policy
}
