// Package app puts the parts together: it reads from top to bottom along a
// mail's way and is the only package that knows which engines are in use.
package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/bounce"
	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/explain"
	"github.com/hayauma/hayauma/internal/feedback"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/listen"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/move"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/returnpath"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/source"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// Options are what a run is made of.
type Options struct {
	Config     *config.Config
	ConfigPath string // read again by Reload
	Logger     *slog.Logger
	Level      *slog.LevelVar  // follows [log] level; nil = fixed
	Version    string          // shown by /healthz
	Ready      func()          // called once all listeners accept
	Reload     <-chan struct{} // each value reads the settings again

	serves bool // false for a command that works on the stores itself
}

// app is the whole server, or its stores alone for the command line.
type app struct {
	o       Options
	cfg     atomic.Pointer[config.Config]
	log     *slog.Logger
	metrics *prometheus.Registry

	store *storage

	directory *account.Directory
	gate      *account.Gate
	bans      *ban.List
	mailboxes *mailbox.Store
	history   *event.Log
	classes   *classify.Classifier
	paths     *returnpath.Paths
	logins    *event.Logins // those that failed
	queue     *queue.Queue
	outbound  *outbound.Outbound
	policies  *sts.Store         // of the domains that mail goes to
	reports   *tlsreport.Reports // to those domains
	resolver  *dnsx.Resolver
	outward   atomic.Pointer[outward]
	clientCAs atomic.Pointer[x509.CertPool] // nil = nobody logs in with a certificate
	policy    *policy.Policy
	ahead     *callahead.Book
	rules     *rule.Store
	rates     *rate.Limiter
	shaping   *shaping.Store
	routes    *route.Store
	sources   *source.Store    // the addresses from which mail goes out
	retries   *retry.Store     // of senders
	journal   *shaping.Journal // of the providers
	limitsFor limitsFor
	intake    *intake.Intake
	bounces   *bounce.Reporter

	certs  *certs.Manager
	limits *ratelimit.Connections
	doors  *listen.Group
	web    *web
}

// open builds everything up to the doors. It starts nothing but the engines.
func open(ctx context.Context, o Options) (*app, error) {
	a := &app{o: o, log: o.Logger, metrics: prometheus.NewRegistry()}
	a.cfg.Store(o.Config)
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var err error
	if a.store, err = openStorage(ctx, o.Config, o.serves, newStoreMetrics(a.metrics), a.log); err != nil {
		return nil, err
	}
	if err := move.Usable(ctx, a.store.db); err != nil {
		return nil, errors.Join(err, a.store.close())
	}
	a.buildDomain()
	if err := a.buildBans(ctx); err != nil {
		return nil, errors.Join(err, a.store.close())
	}
	if a.rates, err = rate.Open(ctx, rate.Options{
		DB: a.store.db, Defaults: a.sendLimits, Hold: a.holdQueue, Release: a.releaseQueue, Waiting: a.waitingQueue,
		Logger: a.log, Metrics: rate.NewMetrics(a.metrics),
	}); err != nil {
		return nil, errors.Join(err, a.store.close())
	}
	if a.sources, err = source.Open(ctx, source.Options{DB: a.store.db, Logger: a.log}); err != nil {
		return nil, errors.Join(err, a.store.close())
	}
	if err := errors.Join(a.buildShaping(ctx), a.buildRoutes(ctx), a.buildWayOut()); err != nil {
		return nil, errors.Join(err, a.store.close())
	}
	a.buildWayIn()
	return a, nil
}

// buildDomain makes those who know whose mail is whose.
func (a *app) buildDomain() {
	s := a.store
	a.mailboxes = mailbox.New(mailbox.Options{DB: s.db, Blobs: s.blobs, IDs: s.ids, Logger: a.log, Quota: a.quota})
	a.directory = account.New(account.Options{
		DB: s.db, IDs: s.ids, Logger: a.log,
		Hostname:     a.hostname,
		Postmaster:   a.postmaster,
		DefaultQuota: func() int64 { return int64(a.cfg.Load().Mail.Quota) },
		Created:      func(tx *db.Tx, acc account.Account) error { return a.mailboxes.Provision(tx, acc.ID) },
		Removed: func(tx *db.Tx, acc account.Account) error {
			return errors.Join(a.mailboxes.Erase(tx, acc.ID), a.rates.Erase(tx, acc.ID), a.retries.Erase(tx, acc.ID), a.sources.Erase(tx, acc.ID), a.bans.Erase(tx, acc.Address), a.routes.Erase(tx, acc.ID))
		},
	})
	a.history = event.NewLog(s.db, s.ids)
	a.paths = returnpath.New(returnpath.Options{
		Settings: a.returnPaths, IsLocal: a.directory.IsLocal,
		Key: func(ctx context.Context) ([]byte, error) { return a.directory.Secret(ctx, "return paths") },
	})
}

func (a *app) quota(ctx context.Context, id mail.ID) (int64, error) {
	acc, err := a.directory.Get(ctx, id)
	return a.directory.Quota(acc), err
}

func (a *app) postmaster() mail.Address {
	// The setting was checked when it was read: an empty one is no address.
	p, _ := mail.ParseAddress(a.cfg.Load().Mail.Postmaster)
	return p
}

// buildWayOut makes the queue and what empties it.
func (a *app) buildWayOut() error {
	cfg := a.cfg.Load()
	out, err := outwardOf(cfg)
	if err != nil {
		return err
	}
	if a.classes, err = classify.New(); err != nil {
		return err
	}
	a.outward.Store(out)
	a.resolver = dnsx.New(dnsx.Options{Server: cfg.DNS.Resolver, TrustAD: func() bool { return a.cfg.Load().DNS.TrustAD }})
	own := func() []netip.Prefix { return a.cfg.Load().DNS.OwnNetworks }
	ipv4Only := func() bool { return !a.cfg.Load().Outbound.IPv6 }
	a.policies = sts.New(sts.Options{
		DB: a.store.db, TXT: a.resolver.TXT,
		Fetch: (&mtasts.Fetcher{Resolver: a.resolver, Own: own, IPv4Only: ipv4Only}).Fetch, InUse: func() bool { return a.cfg.Load().Outbound.MTASTS }, Logger: a.log,
	})
	a.reports = tlsreport.New(tlsreport.Options{
		DB: a.store.db, TXT: a.resolver.TXT, Post: (&tlsreport.Poster{Resolver: a.resolver, Own: own, IPv4Only: ipv4Only}).Post, Settings: a.reportSettings,
		Logger: a.log, Metrics: tlsreport.NewMetrics(a.metrics),
	})
	a.outbound = outbound.New(outbound.Options{
		Hostname: a.hostname, Resolver: a.resolver, Blobs: a.store.blobs, Route: a.routes.Get, STS: a.policies, Report: a.reports.Add,
		Settings: a.outboundSettings, Limits: a.transactionLimits, Bears: func(provider string) int { return a.queue.Bears(provider) }, Sources: a.sources, LastSource: a.history.LastSource, Judge: a.judge, Demand: a.demand, IsOurs: a.isOurs, Relay: a.relayDomain, Logger: a.log, Metrics: outbound.NewMetrics(a.metrics),
		From: func(ctx context.Context, m *queue.Message, to mail.Address) (mail.Address, bool, error) {
			return a.paths.From(ctx, m.ID, m.From, to)
		},
		EnvID: func(ctx context.Context, m *queue.Message) (string, error) { return a.paths.EnvID(ctx, m.ID) },
	})
	a.queue = queue.New(queue.Options{
		DB: a.store.db, IDs: a.store.ids, Settings: a.queueSettings, Deliverer: deliverer{a},
		Provider: a.outbound.Provider, Limits: a.queueLimits, Advise: a.advise, Stands: a.shaping.HasRule, Changed: a.changed, Schedule: a.schedule,
		Observer: a.sources.Observer(a.rates.Observer(event.NewRecorder(a.store.ids, a.classes, event.NewMetrics(a.metrics)))),
		Logger:   a.log, Metrics: queue.NewMetrics(a.metrics),
	})
	return nil
}

// deliverer sends each recipient to who serves him.
type deliverer struct{ *app }

// Deliver implements queue.Deliverer.
func (r deliverer) Deliver(ctx context.Context, site string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	intake.NewLocal(r.intake, r.outbound).Deliver(ctx, site, next, done)
}

// buildWayIn makes what stands between the doors and the stores.
func (a *app) buildWayIn() {
	s := a.store
	a.ahead = callahead.New(callahead.Options{
		DB: s.db, Ask: a.askRecipient, Timeout: func() time.Duration { return a.cfg.Load().Relay.AskTimeout }, Logger: a.log,
		Metrics: callahead.NewMetrics(a.metrics),
	})
	a.rules = rule.New(rule.Options{DB: s.db, IDs: s.ids, StandsFor: a.directory.StandsFor})
	a.policy = policy.New(policy.Options{
		Directory:     a.directory,
		RelayNetworks: func() []netip.Prefix { return a.cfg.Load().Relay.Networks },
		CheckSender:   func() bool { return a.cfg.Load().SMTP.CheckSender },
		Resolver:      a.resolver,
		CheckFrom:     func() bool { return a.cfg.Load().Submission.CheckFrom },
		Ahead:         a.ahead,
	})
	a.intake = intake.New(intake.Options{
		DB: s.db, Blobs: s.blobs, IDs: s.ids, Directory: a.directory, Mailboxes: a.mailboxes, Queue: a.queue, Rates: a.rates, Site: a.siteFor,
		Reports:  feedback.New(feedback.Options{Paths: a.paths, Directory: a.directory, History: a.history}),
		Settings: a.intakeSettings, Metrics: intake.NewMetrics(a.metrics), Logger: a.log,
	})
	a.bounces = bounce.New(bounce.Options{
		DB: s.db, Blobs: s.blobs, IDs: s.ids, Queue: a.queue, Intake: a.intake,
		Hostname: a.hostname, Logger: a.log,
		Explain: a.explainer(),
	})
}

// explainer says what a reply means to the sender whose message came back: also one
// that was temporary has nothing to wait for any more. Its book takes some MiB, so that
// it is opened when a report needs it, and forgotten when nothing holds it any more.
func (a *app) explainer() func(reply, language string) string {
	var mu sync.Mutex
	var kept weak.Pointer[explain.Book]
	return func(reply, language string) string {
		mu.Lock()
		defer mu.Unlock()
		b := kept.Value()
		if b == nil {
			var err error
			if b, err = explain.Open(); err != nil {
				a.log.Error("reports go out without an explanation", "error", err)
				return ""
			}
			kept = weak.Make(b)
		}
		e := b.Reply(reply)
		do := explain.Text{EN: "What to do: ", JA: "対処: "}
		l := explain.Language(language)
		return e.Meaning.In(l) + "\n" + do.In(l) + e.GivenUp.In(l)
	}
}

func (a *app) isOurs(ap netip.AddrPort) bool { return a.doors != nil && a.doors.IsOurs(ap) }

func (a *app) control() *control.Service {
	return &control.Service{
		Directory: a.directory, Bans: a.bans, Mailboxes: a.mailboxes, Queue: a.queue, Log: a.history,
		Intake: a.intake, Policy: a.policy, Rules: a.rules, Rates: a.rates, Blobs: a.store.blobs, Verify: a.verify,
		Outbound: a.outbound, Classes: a.classes, Shaping: a.shaping, Journal: a.journal, Schedules: a.retries, Routes: a.routes, Sources: a.sources, Retry: a.retryLimits,
		Reports: a.reports, Ahead: a.ahead,
	}
}

// verify checks every checksum and reference of the stores.
func (a *app) verify(ctx context.Context) ([]string, error) {
	var found faults
	err := a.store.db.Check(ctx, found.add)
	err = errors.Join(err, a.store.blobs.Check(ctx, references(), found.add))
	return found.list(), err
}

// MaxFaults bounds what Verify tells in full. If there are more faults, one
// more line says how many.
const MaxFaults = 1000

// faults are what a check finds.
type faults struct {
	told []string
	more int
}

func (f *faults) add(fault string) {
	if len(f.told) < MaxFaults {
		f.told = append(f.told, fault)
	} else {
		f.more++
	}
}

func (f *faults) list() []string {
	out := append([]string{}, f.told...)
	if f.more > 0 {
		out = append(out, fmt.Sprintf("and %d more", f.more))
	}
	return out
}

// background runs what works without being asked and returns a function that
// stops it in the order of the mail's way: what is accepted is still committed, and
// what the last attempts came to is still counted. The queue hands out nothing more as soon
// as ctx ends: its attempts finish while the sessions do.
func (a *app) background(ctx context.Context) (stop func()) {
	var behind, workers sync.WaitGroup
	behindCtx, endBehind := context.WithCancel(context.Background())
	workCtx, endWork := context.WithCancel(context.Background())
	behind.Go(func() { a.intake.Run(behindCtx) })
	behind.Go(func() { a.reports.Run(behindCtx) })
	behind.Go(func() { a.journal.Run(behindCtx) })
	workers.Go(func() {
		<-workCtx.Done()
		a.ahead.Close()
	})
	workers.Go(func() {
		_ = a.queue.Run(ctx) // nil: it tries again what fails, see its Health
		a.outbound.Close()
	})
	workers.Go(func() { a.bounces.Run(workCtx) })
	workers.Go(func() { a.keep(workCtx) })
	workers.Go(func() { a.mailboxes.Watch(workCtx) })
	workers.Go(func() { a.directory.Watch(workCtx) })
	workers.Go(func() { a.rules.Watch(workCtx) })
	workers.Go(func() { a.routes.Watch(workCtx) })
	workers.Go(func() { a.bans.Watch(workCtx) })
	workers.Go(func() { a.logins.Run(workCtx) })
	workers.Go(func() { a.rates.Run(workCtx) })
	workers.Go(func() { a.policies.Run(workCtx) })
	return func() {
		endWork()
		workers.Wait()
		endBehind()
		behind.Wait()
	}
}
