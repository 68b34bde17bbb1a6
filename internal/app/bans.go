package app

import (
	"context"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
)

// buildBans makes the list of those who guess at passwords, with the bans of the
// last run, and the gate that asks it.
func (a *app) buildBans(ctx context.Context) error {
	a.bans = ban.New(ban.Options{DB: a.store.db, Limit: a.cfg.Load().Limits.InForce().LoginFailuresPerAddress, Logger: a.log})
	a.gate = account.NewGate(account.GateOptions{
		Directory: a.directory, Bans: a.bans, SCRAM: func() bool { return a.cfg.Load().Auth.SCRAM }, Logger: a.log,
	})
	return a.bans.Load(ctx)
}
