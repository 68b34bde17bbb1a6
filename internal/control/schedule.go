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

// SenderName names whose mail is meant: an account by its address, "stream:NAME" or
// "tenant:NAME".
type SenderName struct {
	Sender string `json:"sender"`
}

// SenderSchedule is how often and for how long the mail of a sender is tried; what is
// empty is as for everybody.
type SenderSchedule struct {
	SenderName
	Retry    string `json:"retry,omitempty"`    // waits between attempts: 5m 1h
	Lifetime string `json:"lifetime,omitempty"` // 2d
	Changed  string `json:"changed,omitempty"`
}

func (s *Service) handleSchedules(mux *http.ServeMux) {
	handle(mux, ScheduleSet, s.scheduleSet)
	handle(mux, ScheduleRemove, s.scheduleRemove)
	handle(mux, ScheduleList, s.scheduleList)
}

func (s *Service) scheduleSet(ctx context.Context, in SenderSchedule) (Empty, error) {
	who, err := s.sender(ctx, in.Sender)
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
	return Empty{}, s.Schedules.Set(ctx, who, set)
}

func (s *Service) scheduleRemove(ctx context.Context, in SenderName) (Empty, error) {
	who, err := s.sender(ctx, in.Sender)
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, named(in.Sender, s.Schedules.Remove(ctx, who))
}

// sender finds who is meant.
func (s *Service) sender(ctx context.Context, name string) (retry.Sender, error) {
	if stream, ok := strings.CutPrefix(name, "stream:"); ok && stream != "" {
		return retry.Sender{Scope: retry.Stream, Name: stream}, nil
	}
	if tenant, ok := strings.CutPrefix(name, "tenant:"); ok {
		id, err := s.tenant(ctx, tenant)
		return retry.ForTenant(id), err
	}
	var who retry.Sender
	_, err := s.onAccount(name, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		who = retry.ForAccount(acc.ID)
		return err
	})
	return who, err
}

func (s *Service) scheduleList(ctx context.Context, _ Empty) ([]SenderSchedule, error) {
	rows, err := s.Schedules.Rows(ctx)
	if err != nil {
		return nil, err
	}
	tenants, err := s.Directory.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]SenderSchedule, 0, len(rows))
	for _, r := range rows {
		one := SenderSchedule{SenderName: SenderName{string(r.Scope) + ":" + r.Name}, Retry: retry.FormatWaits(r.Waits), Changed: stamp(mail.FromMicros(r.Changed))}
		if r.Lifetime > 0 {
			one.Lifetime = config.FormatDuration(r.Lifetime)
		}
		id, err := mail.ParseID(r.Name)
		switch {
		case r.Scope == retry.Account && err == nil:
			acc, err := s.Directory.Get(ctx, id)
			if err == nil {
				one.Sender = acc.Address.String()
			} else if !errors.Is(err, account.ErrNoAccount) {
				return nil, err
			}
		case r.Scope == retry.Tenant && err == nil:
			one.Sender = string(retry.Tenant) + ":" + tenants[id]
		}
		out = append(out, one)
	}
	return out, nil
}
