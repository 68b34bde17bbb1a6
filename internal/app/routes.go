package app

import (
	"context"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
)

// buildRoutes makes what knows by which way mail leaves.
func (a *app) buildRoutes(ctx context.Context) (err error) {
	a.routes, err = route.Open(ctx, route.Options{DB: a.store.db, Logger: a.log})
	return err
}

// siteFor is where mail goes that is not for here.
func (a *app) siteFor(o mail.Origin, env mail.Envelope, to mail.Domain) string {
	return a.routes.SiteFor(route.Question{To: to, Account: o.Account, From: env.From.Domain, Tenant: o.Tenant})
}
