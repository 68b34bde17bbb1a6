package app

import (
	"context"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/account/bearer"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// buildBans makes the list of those who guess at passwords, with the bans of the
// last run, and the gate that asks it and tells the history of failures.
func (a *app) buildBans(ctx context.Context) error {
	a.bans = ban.New(ban.Options{DB: a.store.db, Limit: a.cfg.Load().Limits.InForce().LoginFailuresPerAddress, Logger: a.log})
	a.logins = event.NewLogins(event.LoginOptions{
		DB: a.store.db, IDs: a.store.ids, Logger: a.log, Metrics: event.NewLoginMetrics(a.metrics),
		Account: func(ctx context.Context, login string) (account.Account, bool, error) {
			return a.gate.Named(ctx, login)
		},
	})
	a.gate = account.NewGate(account.GateOptions{
		Directory: a.directory, Bans: a.bans, SCRAM: func() bool { return a.cfg.Load().Auth.SCRAM },
		Tokens: bearer.New(bearer.Options{Settings: a.tokens}), ClientCAs: a.clientCAs.Load,
		Failed: a.logins.Failed, Logger: a.log,
	})
	return a.bans.Load(ctx)
}
