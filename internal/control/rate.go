package control

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

// LimitChange sets limits of an account or a domain, by the names of the
// settings in [submission]. One without Default and Set changes nothing.
type LimitChange struct {
	Name    string           `json:"name"`              // the address, or the domain
	Default bool             `json:"default,omitempty"` // what was set before is taken away
	Set     map[string]int64 `json:"set,omitempty"`     // 0 = no limit
}

// HoldInfo is an account that may not send.
type HoldInfo struct {
	Address string `json:"address"` // or the id, where the account is gone
	Since   string `json:"since"`   // RFC 3339
	Reason  string `json:"reason"`
}

func (s *Service) handleRates(mux *http.ServeMux) {
	handle(mux, AccountLimit, s.accountLimit)
	handle(mux, DomainLimit, s.domainLimit)
	handle(mux, HoldList, s.holdList)
	handle(mux, HoldRelease, s.holdRelease)
}

func (s *Service) accountLimit(ctx context.Context, in LimitChange) (out []rate.Usage, err error) {
	_, err = s.onAccount(in.Name, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		if err != nil {
			return err
		}
		out, err = s.limit(ctx, rate.ForAccount(acc.ID), in)
		return err
	})
	return out, err
}

func (s *Service) domainLimit(ctx context.Context, in LimitChange) (out []rate.Usage, err error) {
	_, err = s.onDomain(DomainName{in.Name}, func(d mail.Domain) error {
		local, err := s.Directory.IsLocal(ctx, d)
		if err != nil {
			return err
		}
		if relay, err := s.Directory.Relay(ctx, d); err != nil || !local && relay == nil {
			return cmp.Or(err, account.ErrNoDomain)
		}
		out, err = s.limit(ctx, rate.ForDomain(d), in)
		return err
	})
	return out, err
}

func (s *Service) limit(ctx context.Context, n rate.Subject, in LimitChange) ([]rate.Usage, error) {
	if in.Default {
		if err := s.Rates.ClearLimits(ctx, n); err != nil {
			return nil, err
		}
	}
	if len(in.Set) > 0 {
		if err := s.Rates.SetLimits(ctx, n, in.Set); err != nil {
			return nil, err
		}
	}
	return s.Rates.Usage(ctx, n)
}

func (s *Service) holdList(ctx context.Context, _ Empty) ([]HoldInfo, error) {
	holds, err := s.Rates.Holds(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]HoldInfo, 0, len(holds))
	for _, h := range holds {
		info := HoldInfo{Address: h.Account.String(), Since: rfc3339(h.Since), Reason: h.Reason}
		acc, err := s.Directory.Get(ctx, h.Account)
		switch {
		case err == nil:
			info.Address = acc.Address.String()
		case !errors.Is(err, account.ErrNoAccount):
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

func (s *Service) holdRelease(ctx context.Context, in AccountName) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		if err != nil {
			return err
		}
		return s.Rates.Unhold(ctx, acc.ID)
	})
}
