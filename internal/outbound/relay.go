package outbound

import (
	"cmp"
	"crypto/tls"
	"slices"

	"github.com/hayauma/hayauma/internal/route"
)

// Relay is how mail for a relay domain goes on.
type Relay struct {
	To     []route.Host // in the order in which they are tried, port 0 = Settings.Port; none = the domain's mail exchangers
	Verify bool         // of To: each has to prove who it is
}

// onward is the way on for a relay domain with next hosts of its own, nil without: then
// it goes to the domain's exchangers, and not to a smart host, which looks for them as
// well and would bring its mail back to us.
func (r *Relay) onward() *via {
	if len(r.To) == 0 {
		return nil
	}
	v := &via{tls: "opportunistic", relay: true}
	for i, h := range r.To {
		h.Preference = i
		v.hosts = append(v.hosts, h)
	}
	return v
}

// verifies tells whether the next hosts of a relay domain have to prove who they are.
func (t terms) verifies() bool { return t.relay != nil && t.via != nil && t.relay.Verify }

// leads tells whether a connection ends where mail for the site goes now, as far as
// the operator names next hosts.
func (t terms) leads(c *client) bool {
	return t.relay == nil || len(t.relay.To) == 0 || slices.ContainsFunc(t.relay.To, func(h route.Host) bool {
		return h.Name == c.host && cmp.Or(h.Port, t.Port) == int(c.addr.Port())
	})
}

// namedRule is what the operator asks of hosts that he names himself. What a way of his asks
// for is part of the handshake (see mustSecure), and stands here for the trace alone.
func (o *Outbound) namedRule(set terms, site, host string) rule {
	proof := func(s tls.ConnectionState) error { return o.verify(s, host) }
	switch {
	case set.verifies():
		return rule{source: "relay domain", name: "the relay domain " + site, must: true, asks: "PKIX", verify: proof}
	case set.via != nil && (set.via.tls == "starttls" || set.via.tls == "implicit"):
		return rule{source: set.via.words(), asks: "PKIX", verify: proof}
	}
	return rule{}
}
