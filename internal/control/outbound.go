package control

import (
	"context"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
)

// Destination names an address or a domain.
type Destination struct {
	Address string `json:"address"`
}

// Explained is what would happen now to mail for a destination.
type Explained struct {
	Domain string          `json:"domain"`
	Local  bool            `json:"local,omitempty"` // it stays here, and the rest is empty
	Route  *outbound.Route `json:"route,omitempty"`
	Limits []SiteLimit     `json:"limits,omitempty"`
}

// SiteLimit is a limit that holds for a site, and where it stands.
type SiteLimit struct {
	Limit string `json:"limit"`
	Value string `json:"value"`
	From  string `json:"from"` // the name of a setting
}

func (s *Service) outboundExplain(ctx context.Context, in Destination) (Explained, error) {
	domain := in.Address[strings.LastIndexByte(in.Address, '@')+1:]
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return Explained{}, named(in.Address, err)
	}
	out := Explained{Domain: d.ASCII}
	if out.Local, err = s.Directory.IsLocal(ctx, d); err != nil || out.Local {
		return out, err
	}
	route := s.Outbound.Explain(ctx, d)
	out.Route, out.Limits = &route, s.Limits()
	return out, nil
}
