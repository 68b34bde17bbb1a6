package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/source"
)

// SourcePool names a pool of source addresses.
type SourcePool struct {
	Pool string `json:"pool"`
}

// SourceName names a source address.
type SourceName struct {
	Address string `json:"address"`
}

// SourceQuestion asks for the warm-up of a pool, or of all; Ahead is how many days to
// come are told.
type SourceQuestion struct {
	Pool  string `json:"pool,omitempty"`
	Ahead int    `json:"ahead"`
}

// SourceRoute is from which of our addresses mail for a destination goes out.
type SourceRoute struct {
	Pool   string         `json:"pool,omitempty"`   // empty = none: the system chooses the address
	System string         `json:"system,omitempty"` // that one, as far as it can be told
	Offers []source.Offer `json:"addresses,omitempty"`
	Wait   string         `json:"wait,omitempty"` // what a message is told that has to wait for an address
}

func (s *Service) handleSources(mux *http.ServeMux) {
	handle(mux, SourcePoolSet, s.sourcePoolSet)
	handle(mux, SourcePoolRemove, s.sourcePoolRemove)
	handle(mux, SourcePoolList, s.sourcePoolList)
	handle(mux, SourceAdd, s.sourceAdd)
	handle(mux, SourceRemove, s.sourceRemove)
	handle(mux, SourcePlan, s.sourcePlan)
	handle(mux, SourceRuleSet, s.sourceRuleSet)
	handle(mux, SourceRuleRemove, s.sourceRuleRemove)
	handle(mux, SourceRuleList, s.sourceRuleList)
}

func (s *Service) sourcePoolSet(ctx context.Context, in source.PoolChange) (source.Pool, error) {
	return s.Sources.SetPool(ctx, in)
}

func (s *Service) sourcePoolRemove(ctx context.Context, in SourcePool) (Empty, error) {
	return Empty{}, s.Sources.RemovePool(ctx, in.Pool)
}

func (s *Service) sourcePoolList(context.Context, Empty) ([]source.Pool, error) {
	return s.Sources.Pools(), nil
}

func (s *Service) sourceAdd(ctx context.Context, in source.Addition) (source.Address, error) {
	return s.Sources.AddAddress(ctx, in)
}

func (s *Service) sourceRemove(ctx context.Context, in SourceName) (Empty, error) {
	return Empty{}, s.Sources.RemoveAddress(ctx, in.Address)
}

func (s *Service) sourcePlan(_ context.Context, in SourceQuestion) ([]source.Plan, error) {
	return s.Sources.Plans(in.Pool, in.Ahead)
}

// sourceRule is a rule as it is kept: people name an account by its address.
func (s *Service) sourceRule(ctx context.Context, in source.Rule) (source.Rule, error) {
	if in.Kind == source.Tenant {
		tenant, err := s.tenant(ctx, in.Name)
		in.Name = tenant.String()
		return in, err
	}
	if in.Kind != source.Account {
		return in, nil
	}
	_, err := s.onAccount(in.Name, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		in.Name = acc.ID.String()
		return err
	})
	return in, err
}

func (s *Service) sourceRuleSet(ctx context.Context, in source.Rule) (Empty, error) {
	rule, err := s.sourceRule(ctx, in)
	if err == nil {
		err = s.Sources.SetRule(ctx, rule)
	}
	return Empty{}, err
}

func (s *Service) sourceRuleRemove(ctx context.Context, in source.Rule) (Empty, error) {
	rule, err := s.sourceRule(ctx, in)
	if err != nil {
		return Empty{}, err
	}
	had, err := s.Sources.RemoveRule(ctx, rule)
	if err == nil && !had {
		err = fmt.Errorf("there is no rule for %s %s: 'hayauma source rule list' shows those that there are", in.Kind, in.Name)
	}
	return Empty{}, err
}

func (s *Service) sourceRuleList(ctx context.Context, _ Empty) ([]source.Rule, error) {
	out := s.Sources.Rules()
	tenants, err := s.Directory.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if id, err := mail.ParseID(out[i].Name); err == nil && out[i].Kind == source.Tenant {
			out[i].Name = cmp.Or(tenants[id], out[i].Name)
		}
		if id, err := mail.ParseID(out[i].Name); err == nil && out[i].Kind == source.Account {
			acc, err := s.Directory.Get(ctx, id)
			if errors.Is(err, account.ErrNoAccount) {
				continue // it went while we looked
			}
			if err != nil {
				return nil, named(out[i].Name, err)
			}
			out[i].Name = acc.Address.String()
		}
	}
	return out, nil
}

// systemSource is the address that the system takes for a connection. Nothing is
// sent: a UDP socket is given its way.
func systemSource(ctx context.Context, to string) string {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", to)
	if err != nil {
		return "" // there is no way to it
	}
	defer func() { _ = conn.Close() }() // nothing was written
	host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	return host
}

// sourceRoute tells from where somebody's mail goes to a provider.
func (s *Service) sourceRoute(ctx context.Context, by correspondent, provider string, way outbound.Route) *SourceRoute {
	r := new(SourceRoute)
	if way.Pooled {
		r.Pool = s.Sources.ForSender(by.Sender)
	}
	if r.Pool == "" {
		if hosts := way.Hosts; len(hosts) > 0 && len(hosts[0].Addresses) > 0 {
			r.System = systemSource(ctx, hosts[0].Addresses[0])
		}
		return r
	}
	r.Offers = s.Sources.Offers(r.Pool, provider)
	if err := s.Sources.Ready(r.Pool, provider); err != nil {
		r.Wait = err.Error()
	}
	return r
}
