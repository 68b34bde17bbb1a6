package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
)

// RouteChange is a route as it is to be. Without a password it keeps the one that it
// has; ProxyPassword is that of the proxy's user.
type RouteChange struct {
	Route         route.Route `json:"route"`
	Password      string      `json:"password,omitempty"`
	ProxyPassword string      `json:"proxy_password,omitempty"`
}

// RouteName names a route.
type RouteName struct {
	Name string `json:"name"`
}

func (s *Service) handleRoutes(mux *http.ServeMux) {
	handle(mux, RouteSet, s.routeSet)
	handle(mux, RouteRemove, s.routeRemove)
	handle(mux, RouteList, s.routeList)
	handle(mux, RouteRuleSet, s.routeRuleSet)
	handle(mux, RouteRuleRemove, s.routeRuleRemove)
	handle(mux, RouteRuleList, s.routeRuleList)
}

func (s *Service) routeSet(ctx context.Context, in RouteChange) (Empty, error) {
	in.Route.Secret, in.Route.ProxySecret = route.Secret(in.Password), route.Secret(in.ProxyPassword)
	err := s.Routes.Set(ctx, in.Route)
	if err == nil {
		s.Queue.Mended(route.Site(in.Route.Name))
	}
	return Empty{}, named(in.Route.Name, err)
}

func (s *Service) routeRemove(ctx context.Context, in RouteName) (Empty, error) {
	n, err := s.Queue.Bound(ctx, route.Site(in.Name))
	if err == nil && n > 0 {
		err = fmt.Errorf("mail in the queue goes by this route, to %d recipients: give it another way with 'hayauma queue reroute --route %s --to ...' first", n, in.Name)
	}
	if err == nil {
		err = s.Routes.Remove(ctx, in.Name)
	}
	return Empty{}, named(in.Name, err)
}

func (s *Service) routeList(context.Context, Empty) ([]route.Route, error) {
	return s.Routes.Routes(), nil
}

func (s *Service) routeRuleSet(ctx context.Context, in route.Rule) (Empty, error) {
	r, err := s.ruleByID(ctx, in)
	if err == nil {
		err = s.Routes.SetRule(ctx, r)
	}
	return Empty{}, err
}

func (s *Service) routeRuleRemove(ctx context.Context, in route.Rule) (Empty, error) {
	r, err := s.ruleByID(ctx, in)
	if err == nil {
		err = s.Routes.RemoveRule(ctx, r)
	}
	return Empty{}, err
}

func (s *Service) routeRuleList(ctx context.Context, _ Empty) ([]route.Rule, error) {
	out := s.Routes.Rules()
	for i, r := range out {
		var err error
		if out[i], err = s.ruleByName(ctx, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ruleByID has an account by its id that is given by its address, and so a tenant.
func (s *Service) ruleByID(ctx context.Context, r route.Rule) (route.Rule, error) {
	switch r.What {
	case route.Account:
		a, err := mail.ParseAddress(r.Value)
		if err != nil {
			return r, named(r.Value, err)
		}
		acc, err := s.Directory.Find(ctx, a)
		if err != nil {
			return r, named(r.Value, err)
		}
		r.Value = acc.ID.String()
	case route.Tenant:
		tenant, err := s.tenant(ctx, r.Value)
		if err != nil {
			return r, err
		}
		r.Value = tenant.String()
	}
	return r, nil
}

// ruleByName is the other way round; an account that is gone stays an id.
func (s *Service) ruleByName(ctx context.Context, r route.Rule) (route.Rule, error) {
	id, err := mail.ParseID(r.Value)
	switch {
	case err != nil || r.What != route.Account && r.What != route.Tenant:
	case r.What == route.Tenant:
		tenants, err := s.Directory.Tenants(ctx)
		if err != nil {
			return r, err
		}
		r.Value = cmp.Or(tenants[id], r.Value)
	case r.What == route.Account:
		acc, err := s.Directory.Get(ctx, id)
		if err != nil && !errors.Is(err, account.ErrNoAccount) {
			return r, err
		}
		if err == nil {
			r.Value = acc.Address.String()
		}
	}
	return r, nil
}

// chosen is the site of somebody's mail, and the rule that says so, nil if none does.
func (s *Service) chosen(ctx context.Context, by correspondent, to mail.Domain) (site string, r *route.Rule, err error) {
	relay, err := s.Directory.Relay(ctx, to)
	if err != nil {
		return "", nil, err
	}
	q := route.Question{To: to, From: by.from.Domain, Account: by.Account, Tenant: by.Tenant, Relay: relay != nil}
	if found, ok := s.Routes.Choose(q); ok {
		if found, err = s.ruleByName(ctx, found); err != nil {
			return "", nil, err
		}
		r = &found
	}
	return s.Routes.SiteFor(q), r, nil
}
