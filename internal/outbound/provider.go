package outbound

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"golang.org/x/net/publicsuffix"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
)

// Provider names who takes the mail of a site: the registrable domain of its most
// preferred mail exchanger, of equal ones the first by name; a route is its own. "" = it
// cannot be told now, or nobody does.
func (o *Outbound) Provider(ctx context.Context, site string) string {
	if _, ok := route.OfSite(site); ok {
		return site
	}
	switch set := o.terms(ctx, site); {
	case set.via == nil:
	case set.relay != nil:
		return registrable(set.via.hosts[0].Name)
	default:
		return set.via.hosts[0].Name
	}
	if _, literal := (mail.Domain{ASCII: site}).Literal(); literal {
		return site
	}
	records, err := o.o.Resolver.MX(ctx, site)
	switch {
	case errors.Is(err, dnsx.ErrNoData):
		return registrable(site)
	case err != nil || len(records) == 0:
		return ""
	}
	best := slices.MinFunc(records, func(a, b dnsx.MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(registrable(a.Host), registrable(b.Host)))
	})
	return registrable(best.Host)
}

// providerOf names whose a host is that answered: a domain's owner can name a provider's host
// before one that is not. Hosts that the operator names are one provider.
func (w *worker) providerOf(host string) string {
	if w.provider == "" || w.provider == w.site || w.set.via != nil || host == "" {
		return w.provider
	}
	return registrable(host)
}

// registrable is the part of a name that somebody registered, by the public suffix
// list; the name itself where nobody can.
func registrable(name string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name
}
