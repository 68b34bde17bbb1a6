package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue/retry"
)

// MailName names which mail is meant: an account's by its address, that for a domain as
// "domain:NAME", for all below one as "domain:*.NAME", "stream:NAME" or "tenant:NAME".
type MailName struct {
	For string `json:"for"`
}

// MailSchedule is how often and for how long mail is tried; what is empty is as for all
// other.
type MailSchedule struct {
	MailName
	Retry    string `json:"retry,omitempty"`    // waits between attempts: 5m 1h
	Lifetime string `json:"lifetime,omitempty"` // 2d
	Changed  string `json:"changed,omitempty"`
}

func (s *Service) handleSchedules(mux *http.ServeMux) {
	handle(mux, ScheduleSet, s.scheduleSet)
	handle(mux, ScheduleRemove, s.scheduleRemove)
	handle(mux, ScheduleList, s.scheduleList)
}

func (s *Service) scheduleSet(ctx context.Context, in MailSchedule) (Empty, error) {
	which, err := s.which(ctx, in.For)
	if err != nil {
		return Empty{}, err
	}
	var set retry.Schedule
	if in.Retry != "" {
		if set.Waits, err = retry.ParseWaits(in.Retry); err != nil {
			return Empty{}, err
		}
	}
	if in.Lifetime != "" {
		if set.Lifetime, err = config.ParseDuration(in.Lifetime); err != nil || set.Lifetime < time.Second {
			return Empty{}, fmt.Errorf("lifetime = %q: write a time from 1s to 365d", in.Lifetime)
		}
	}
	return Empty{}, s.Schedules.Set(ctx, which, set)
}

func (s *Service) scheduleRemove(ctx context.Context, in MailName) (Empty, error) {
	which, err := s.which(ctx, in.For)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, named(in.For, s.Schedules.Remove(ctx, which))
}

// which finds what is meant.
func (s *Service) which(ctx context.Context, name string) (retry.Which, error) {
	if stream, ok := strings.CutPrefix(name, "stream:"); ok && stream != "" {
		return retry.Which{Scope: retry.Stream, Name: stream}, nil
	}
	if domain, ok := strings.CutPrefix(name, "domain:"); ok {
		which, err := retry.ForDomain(domain)
		return which, named(name, err)
	}
	if tenant, ok := strings.CutPrefix(name, "tenant:"); ok {
		id, err := s.tenant(ctx, tenant)
		return retry.ForTenant(id), err
	}
	var which retry.Which
	_, err := s.onAccount(name, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		which = retry.ForAccount(acc.ID)
		return err
	})
	return which, err
}

func (s *Service) scheduleList(ctx context.Context, _ Empty) ([]MailSchedule, error) {
	rows, err := s.Schedules.Rows(ctx)
	if err != nil {
		return nil, err
	}
	tenants, err := s.Directory.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]MailSchedule, 0, len(rows))
	for _, r := range rows {
		one := MailSchedule{Retry: retry.FormatWaits(r.Waits), Changed: stamp(mail.FromMicros(r.Changed))}
		if r.Lifetime > 0 {
			one.Lifetime = config.FormatDuration(r.Lifetime)
		}
		if one.For, err = s.nameOf(ctx, r.Which, tenants); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// nameOf is the inverse of which; an account that is gone stays an id.
func (s *Service) nameOf(ctx context.Context, w retry.Which, tenants map[mail.ID]string) (string, error) {
	name := string(w.Scope) + ":" + w.Name
	id, err := mail.ParseID(w.Name)
	switch {
	case w.Scope == retry.Account && err == nil:
		acc, err := s.Directory.Get(ctx, id)
		if err == nil {
			name = acc.Address.String()
		} else if !errors.Is(err, account.ErrNoAccount) {
			return "", err
		}
	case w.Scope == retry.Tenant && err == nil:
		name = string(retry.Tenant) + ":" + tenants[id]
	}
	return name, nil
}
