package control

import (
	"context"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// ProviderPast says which events of providers are meant.
type ProviderPast struct {
	Provider string `json:"provider,omitempty"` // empty = all
	Seconds  int64  `json:"seconds"`            // that happened within so many before now
}

// ProviderEvent is what happened to a provider, once or several times.
type ProviderEvent struct {
	Provider string `json:"provider"`
	Kind     string `json:"kind"`
	About    string `json:"about,omitempty"` // a domain, or a rule
	First    string `json:"first"`
	Last     string `json:"last"`
	Times    int    `json:"times"`
	Text     string `json:"text,omitempty"`
}

// maxProviderEvents bounds the list.
const maxProviderEvents = 1000

func (s *Service) outboundEvents(ctx context.Context, in ProviderPast) ([]ProviderEvent, error) {
	all, err := s.Journal.Events(ctx, in.Provider, time.Now().Add(-time.Duration(in.Seconds)*time.Second), maxProviderEvents)
	if err != nil {
		return nil, err
	}
	out := make([]ProviderEvent, len(all))
	for i, e := range all {
		out[i] = ProviderEvent{Provider: e.Provider, Kind: e.Kind, About: e.About, Times: e.Times, Text: e.Text,
			First: stamp(mail.FromMicros(e.First)), Last: stamp(mail.FromMicros(e.Last))}
	}
	return out, nil
}
