package outbound

import (
	"context"
	"strconv"

	"github.com/hayauma/hayauma/internal/mail"
)

// Way is how mail for a site would go out now.
type Way struct {
	Site  string `json:"site"`
	By    string `json:"by"`              // what leads there: "smart host", "address literal", "MX" or "no MX"
	Hosts []Stop `json:"hosts,omitempty"` // in the order in which they are tried
	Reply string `json:"reply,omitempty"` // what becomes of a message if no host can be reached, or why there is none
	TLS   string `json:"tls"`
}

// Rule is a limit that holds for a site, and where it stands.
type Rule struct {
	Limit string `json:"limit"`
	Value string `json:"value"`
	From  string `json:"from"` // the name of a setting
}

// Stop is a host on the way.
type Stop struct {
	Name       string   `json:"name"`
	Preference int      `json:"preference"`
	Proven     bool     `json:"proven,omitempty"`    // DNSSEC vouches for its name, or the operator does
	Addresses  []string `json:"addresses,omitempty"` // with the port, in the order in which they are tried
	Fault      string   `json:"fault,omitempty"`     // why there are none
}

// Way makes the look-ups that an attempt would make, and connects to nobody. Hosts of
// the same preference are tried in any order, this one among them.
func (o *Outbound) Way(ctx context.Context, site mail.Domain) Way {
	set := o.settings()
	w := Way{Site: site.ASCII, By: o.by(site, set), TLS: tlsRule(set.SmartHost)}
	hosts, fault := o.survey(ctx, site.ASCII, set)
	if fault != nil {
		w.Reply = said(fault)
		return w
	}
	left := maxAddresses
	for _, h := range hosts {
		s := Stop{Name: h.name, Preference: int(h.preference), Proven: h.known}
		for _, t := range h.targets[:min(len(h.targets), left)] {
			s.Addresses = append(s.Addresses, t.addr.String())
		}
		left -= len(s.Addresses)
		if h.fault != nil {
			s.Fault = said(h.fault)
		}
		w.Hosts = append(w.Hosts, s)
		if w.By == "MX" && h.implicit {
			w.By = "no MX"
		}
	}
	return w
}

// by is what leads to the hosts, as far as it is known before a look-up.
func (o *Outbound) by(site mail.Domain, set Settings) string {
	if set.SmartHost.Host != "" {
		return "smart host"
	}
	if _, literal := site.Literal(); literal {
		return "address literal"
	}
	return "MX"
}

// tlsRule tells in words what is asked of the connection.
func tlsRule(smart SmartHost) string {
	switch {
	case smart.Host == "":
		return "if the host offers it; its certificate is not verified"
	case smart.TLS == "starttls", smart.TLS == "implicit":
		return "always; the certificate is verified (" + smart.TLS + ")"
	case smart.TLS == "none":
		return "never"
	}
	return "if the host offers it; its certificate is not verified"
}

// said is a finding as a message's reply would have it.
func said(f *mail.Fault) string {
	return strconv.Itoa(f.Code()) + " " + f.Enhanced() + " " + f.Public
}
