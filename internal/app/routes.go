package app

import (
	"context"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/route"
)

// buildRoutes makes what knows by which way mail leaves.
func (a *app) buildRoutes(ctx context.Context) (err error) {
	a.routes, err = route.Open(ctx, route.Options{DB: a.store.db, Logger: a.log})
	return err
}

// siteFor is where mail goes that is not for here.
func (a *app) siteFor(ctx context.Context, by intake.Sender, to mail.Domain) string {
	relay, err := a.directory.Relay(ctx, to)
	return a.routes.SiteFor(route.Question{
		To: to, Account: by.Account, From: by.From, Tenant: by.Tenant,
		Relay: relay != nil || err != nil, // if it cannot be told, it is told when the mail goes
	})
}

// askRecipient asks the hosts to which a recipient's mail goes whether they know him.
func (a *app) askRecipient(ctx context.Context, to mail.Address) callahead.Answer {
	site := a.siteFor(ctx, intake.Sender{Tenant: account.MainTenant}, to.Domain)
	return a.outbound.AskRecipient(ctx, site, to)
}
