package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/listen"
)

// Run serves until ctx ends, then lets sessions and attempts finish within the
// grace time. Its error is one sentence for people.
func Run(ctx context.Context, o Options) (err error) {
	tuneMemory()
	if err := checkSocketPath(o.Config.DataDir); err != nil {
		return err
	}
	a, err := openWhenFree(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.store.close()) }()
	services, err := a.buildDoors()
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	grace := a.graceAfter(ctx)
	stopWork := a.background(ctx)
	defer stopWork()
	defer end()
	socket, err := a.serveControl(ctx, grace)
	if err != nil {
		return err
	}
	defer socket()
	defer a.web.start()()
	defer a.doors.Stop(grace)
	defer end() // however it comes, it is the end for all of them at once
	if err := a.doors.Start(ctx, services(o.Config)); err != nil {
		return err
	}
	a.awaitQueue(ctx)
	a.warn(o.Config)
	a.log.Info("serving", "hostname", o.Config.Hostname, "version", o.Version, "data_dir", o.Config.DataDir)
	if o.Ready != nil {
		o.Ready()
	}
	err = a.wait(ctx, services)
	a.log.Info("shutting down")
	return err
}

// awaitQueue gives the queue, which has begun already, a moment to be at work, so
// that a server that calls itself ready is so to /readyz as well.
func (a *app) awaitQueue(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for a.queue.Health() != nil && ctx.Err() == nil {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// wait serves reloads until ctx ends, or the database is of no more use to this
// process: whoever looks after it shall start another, and clients go elsewhere
// than to a server that can only put them off.
func (a *app) wait(ctx context.Context, services func(*config.Config) []listen.Service) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.store.db.Broken():
			return fmt.Errorf("the server ends, since only a new start can use the database again: %w", a.store.db.Health())
		case <-a.o.Reload:
			if err := a.reload(ctx, services); err != nil {
				a.log.Error("settings not reloaded, the old ones stay", "error", err)
			}
		}
	}
}

// reload reads the settings again. Either all of them take effect or none.
func (a *app) reload(ctx context.Context, services func(*config.Config) []listen.Service) error {
	cfg, err := config.Load(a.o.ConfigPath)
	if err != nil {
		return err
	}
	changes := config.Diff(a.cfg.Load(), cfg)
	if len(changes.Restart) > 0 {
		return fmt.Errorf("these settings need a restart: %v", changes.Restart)
	}
	// What can fail comes first and changes nothing if it does.
	out, err := outwardOf(cfg)
	if err != nil {
		return err
	}
	authorities, err := cfg.Auth.ClientCAs()
	if err != nil {
		return err
	}
	useCertificate, err := a.certs.Prepare(certOptions(cfg))
	if err != nil {
		return err
	}
	if err := a.doors.Reload(ctx, services(cfg)); err != nil {
		return err
	}
	useCertificate()
	a.outward.Store(out)
	a.clientCAs.Store(authorities)
	a.resolver.Use(cfg.DNS.Resolver)
	a.cfg.Store(cfg)
	a.limits.SetLimits(connectionLimits(cfg, openFiles()))
	a.bans.SetLimit(cfg.Limits.InForce().LoginFailuresPerAddress)
	a.store.use(cfg)
	if a.o.Level != nil {
		a.o.Level.Set(cfg.Log.SlogLevel())
	}
	a.log.Info("settings reloaded", "changed", changes.Reload)
	a.warn(cfg)
	return nil
}

// warn tells of settings that are allowed but rarely meant.
func (a *app) warn(cfg *config.Config) {
	for _, w := range append(cfg.Warnings(), tooFewFiles(cfg, openFiles())...) {
		a.log.Warn("check the settings", "warning", w)
	}
}

// graceAfter ends the grace time after ctx does: when sessions and calls that still work
// are cut off. The queue ends with ctx as well and keeps to the same time by itself.
func (a *app) graceAfter(ctx context.Context) context.Context {
	grace, over := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(a.cfg.Load().Timeouts.ShutdownGrace, over) })
	return grace
}

func (a *app) proxies() []netip.Prefix { return a.cfg.Load().Proxy.Networks }

// fronts tells who may speak for others by XCLIENT.
func (a *app) fronts(host netip.Addr) bool { return among(a.cfg.Load().SMTP.Fronts, host) }

// old tells whose bare newlines are mended.
func (a *app) old(host netip.Addr) bool { return among(a.cfg.Load().SMTP.Normalize, host) }

// trusted tells who speaks for many, or is this machine itself.
func (a *app) trusted(host netip.Addr) bool {
	c := a.cfg.Load()
	return host.IsLoopback() || among(c.SMTP.Fronts, host) || among(c.Relay.Networks, host) || among(c.Proxy.Networks, host)
}

// among tells whether a host is in networks, which have no zones.
func among(networks []netip.Prefix, host netip.Addr) bool {
	host = host.WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(host) })
}

func certOptions(c *config.Config) certs.Options {
	return certs.Options{DataDir: c.DataDir, Hostname: c.Hostname, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile}
}
