package app

import (
	"context"
	"errors"
	"runtime/debug"
	"time"
)

// How often the house is kept.
const (
	sweepEvery = time.Hour
	keysEvery  = 10 * time.Second
	certsEvery = 12 * time.Hour
	firstSweep = 5 * time.Minute
)

// keep gives back what nobody needs any more and renews what runs out.
func (a *app) keep(ctx context.Context) {
	sweep := time.NewTimer(firstSweep)
	defer sweep.Stop()
	keys := time.NewTicker(keysEvery)
	defer keys.Stop()
	renew := time.NewTicker(certsEvery)
	defer renew.Stop()
	for {
		select {
		case <-sweep.C:
			a.sweep(ctx)
			sweep.Reset(sweepEvery)
		case <-keys.C:
			if _, err := a.history.SortKeys(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("finding messages by their Message-ID gets slower", "error", err)
			}
		case <-renew.C:
			if err := a.certs.Reload(); err != nil {
				a.log.Error("certificate not renewed, the old one stays", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// sweep drops old history, the mail of removed accounts and dead bodies, in
// this order, since each frees what the next one finds.
func (a *app) sweep(ctx context.Context) {
	events, err := a.history.Prune(ctx, time.Now().Add(-a.cfg.Load().Storage.Events))
	if err == nil {
		err = a.journal.Prune(ctx, time.Now().Add(-a.cfg.Load().Storage.Events))
	}
	if err == nil {
		_, err = a.mailboxes.Reap(ctx)
	}
	if err == nil {
		err = a.bans.Sweep(ctx)
	}
	if err == nil {
		err = errors.Join(a.sources.Sweep(ctx), a.ahead.Prune(ctx))
	}
	if err == nil {
		swept, serr := a.store.blobs.Sweep(ctx, references())
		err = serr
		a.log.Info("house kept", "events", events, "bodies", swept.Bodies, "octets", swept.Bytes)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Error("housekeeping stopped early, it goes on in an hour", "error", err)
	}
	debug.FreeOSMemory()
}
