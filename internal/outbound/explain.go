package outbound

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// Route is how mail for a site would go out now.
type Route struct {
	Site  string `json:"site"`
	By    string `json:"by"`              // what leads there: "route NAME", "smart host", "next host" (of a relay domain), "address literal", "MX" or "no MX"
	Hosts []Host `json:"hosts,omitempty"` // in the order in which they are tried
	Reply string `json:"reply,omitempty"` // what a message gets where there is nobody to try
	TLS   string `json:"tls"`
	// Policy is that of the domain, nil if there is none.
	Policy *Policy `json:"policy,omitempty"`
	Proxy  string  `json:"proxy,omitempty"` // by which it leaves
	Pooled bool    `json:"-"`               // it leaves by a pool of source addresses, if one is for it
}

// Host is one that a route leads to.
type Host struct {
	Name       string   `json:"name"`
	Preference int      `json:"preference"`
	Weight     int      `json:"weight,omitempty"`    // of a route
	Proven     bool     `json:"proven,omitempty"`    // DNSSEC vouches that mail goes there, or the operator does, or the literal says it
	Addresses  []string `json:"addresses,omitempty"` // with the port, in the order in which they are tried
	Order      string   `json:"order,omitempty"`     // why the families are not in turn, IPv6 first
	Fault      string   `json:"fault,omitempty"`     // why there are none
	Policy     string   `json:"policy,omitempty"`    // what the TLS policy says of the host
}

// Explain makes the look-ups that an attempt would make, and connects to nobody. The
// site is a domain, or in its ASCII form what a route is called there. Hosts
// of the same preference are tried in any order, this one among them. pool is that of source
// addresses which is for the mail, "" = none.
func (o *Outbound) Explain(ctx context.Context, site mail.Domain, pool string) Route {
	set := o.terms(ctx, site.ASCII)
	r := Route{Site: site.ASCII, By: by(site, set.via), Proxy: set.proxy(), Pooled: set.pooled()}
	provider := o.Provider(ctx, site.ASCII)
	set.demand = o.demand(set, site.ASCII, provider)
	r.Policy, r.TLS = o.explainTLS(ctx, set, site.ASCII)
	hosts, fault := o.survey(ctx, site.ASCII, set)
	if fault != nil {
		r.Reply = said(fault)
		return r
	}
	if len(hosts) == 1 && hosts[0].implicit {
		r.By = "no MX"
	}
	p := planOf(site.ASCII, hosts)
	if r.Pooled && pool != "" {
		p = o.reachable(p, site.ASCII, pool, cmp.Or(provider, site.ASCII))
		confine(hosts, p.targets, pool)
	}
	for _, h := range hosts {
		host := Host{Name: h.name, Preference: int(h.preference), Weight: h.weight, Proven: o.vouched(ctx, h.exchanger), Order: h.order, Policy: o.explainHost(ctx, set, site.ASCII, h.target(netip.AddrPortFrom(netip.Addr{}, uint16(set.Port))))}
		for _, t := range h.targets {
			host.Addresses = append(host.Addresses, t.String())
		}
		if h.fault != nil {
			host.Fault = said(h.fault)
		}
		r.Hosts = append(r.Hosts, host)
	}
	if !set.demand.Despite && slices.ContainsFunc(r.Hosts, func(h Host) bool { return strings.HasPrefix(h.Policy, "DANE") }) {
		r.TLS = "as DANE says of a host; else " + r.TLS
	}
	if len(p.targets) == 0 && p.fault != nil {
		r.Reply = said(p.fault)
	} else {
		r.Reply = o.explainBarred(ctx, set, site.ASCII, p.targets)
	}
	return r
}

// vouched tells whether somebody vouches that mail goes to a host. Without an MX it goes to
// the domain's own name, which no zone need be signed for: then its addresses are to be
// proven, as DANE wants them (RFC 7672 §2.2.1).
func (o *Outbound) vouched(ctx context.Context, e exchanger) bool {
	if !e.implicit {
		return e.known
	}
	bases, err := o.o.Resolver.TLSABases(ctx, e.name)
	return err == nil && len(bases) > 0
}

// confine leaves of the hosts' addresses those to which a pool has a source address, and says
// why the others are not tried.
func confine(hosts []resolved, to []target, pool string) {
	for i := range hosts {
		h := &hosts[i]
		left := slices.DeleteFunc(slices.Clone(h.targets), func(t target) bool { return !slices.Contains(to, t) })
		switch {
		case len(left) == len(h.targets):
		case len(left) == 0:
			f := mail.Temporary(mail.NoRoute, "The pool "+pool+" sends nothing by the families of its addresses")
			h.fault, h.order = f, ""
		default:
			h.order = way{six: left[0].addr.Addr().Is6()}.String() + " alone, by the pool " + pool
		}
		h.targets = left
	}
}

// by is what leads to the hosts, as far as it is known before a look-up.
func by(site mail.Domain, via *via) string {
	if via != nil {
		return via.words()
	}
	if _, literal := site.Literal(); literal {
		return "address literal"
	}
	return "MX"
}

// tlsRule tells in words what is asked of the connection.
func tlsRule(set terms) string {
	via := set.via
	switch {
	case set.verifies():
		return "always; the certificate is verified (relay domain)"
	case via == nil || via.tls == "opportunistic":
		return "if the host offers it; its certificate is not verified"
	case via.tls == "none":
		return "never"
	}
	return "always; the certificate is verified (" + via.tls + ")"
}

// said is a finding as a message's reply would have it.
func said(f *mail.Fault) string {
	return strconv.Itoa(f.Code()) + " " + f.Enhanced() + " " + f.Public
}
