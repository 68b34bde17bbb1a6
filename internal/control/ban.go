package control

import (
	"context"
	"errors"
	"net/http"

	"github.com/hayauma/hayauma/internal/account/ban"
)

// BanFilter says whose bans are meant.
type BanFilter struct {
	Of  string `json:"of,omitempty"` // a login name, a network or an address in it
	All bool   `json:"all,omitempty"`
}

// Cleared is how many entries of BanList are gone.
type Cleared struct {
	Entries int `json:"entries"`
}

func (s *Service) handleBans(mux *http.ServeMux) {
	handle(mux, LoginList, s.loginList)
	handle(mux, BanList, s.banList)
	handle(mux, BanClear, s.banClear)
}

func (s *Service) banList(context.Context, Empty) ([]ban.Entry, error) { return s.Bans.List(), nil }

func (s *Service) banClear(ctx context.Context, in BanFilter) (Cleared, error) {
	if in.All {
		n, err := s.Bans.Clear(ctx, ban.Filter{All: true})
		return Cleared{n}, err
	}
	if in.Of == "" {
		return Cleared{}, errors.New("say whose bans: a login name, a network, or all")
	}
	n, err := s.Bans.Clear(ctx, ban.ParseFilter(in.Of))
	return Cleared{n}, named(in.Of, err)
}
