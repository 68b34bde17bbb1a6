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
	Way    *outbound.Way   `json:"way,omitempty"`
	Limits []outbound.Rule `json:"limits,omitempty"`
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
	way := s.Outbound.Way(ctx, d)
	out.Way, out.Limits = &way, s.Limits()
	return out, nil
}
