package control

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// LoginFilter says which failed logins are meant.
type LoginFilter struct {
	Account string `json:"account,omitempty"` // its address; empty = of all names
	Limit   int    `json:"limit,omitempty"`   // the last so many, at most MaxLogins; 0 = DefaultLogins
}

// How many failed logins are listed.
const (
	DefaultLogins = 100
	MaxLogins     = 10_000
)

func (s *Service) loginList(ctx context.Context, in LoginFilter) (out []event.Event, err error) {
	if in.Limit < 0 || in.Limit > MaxLogins {
		return nil, fmt.Errorf("a list has from 1 to %d failed logins, not %d", MaxLogins, in.Limit)
	}
	if in.Limit == 0 {
		in.Limit = DefaultLogins
	}
	if in.Account == "" {
		return s.Log.Logins(ctx, 0, in.Limit)
	}
	_, err = s.onAccount(in.Account, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		if err != nil {
			return err
		}
		out, err = s.Log.Logins(ctx, acc.ID, in.Limit)
		return err
	})
	return out, err
}
