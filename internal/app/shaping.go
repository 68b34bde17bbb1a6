package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/shaping"
)

// buildShaping makes what knows how much the providers bear.
func (a *app) buildShaping(ctx context.Context) (err error) {
	kinds := []string{ruleActed}
	for _, k := range queue.ChangeKinds() {
		kinds = append(kinds, string(k))
	}
	a.journal = shaping.NewJournal(shaping.JournalOptions{DB: a.store.db, IDs: a.store.ids, Logger: a.log, Metrics: shaping.NewJournalMetrics(a.metrics, kinds...)})
	if a.retries, err = retry.Open(ctx, a.store.db); err != nil {
		return err
	}
	a.shaping, err = shaping.Open(ctx, shaping.Options{DB: a.store.db, Defaults: a.shapingDefaults})
	return err
}

// ruleActed is the kind of an event: a rule of the operator's has changed what follows
// from a reply.
const ruleActed = "rule"

// changed writes down what the queue tells of a provider, and ends what it has too many of.
func (a *app) changed(c queue.Change) {
	if c.Kind == queue.Slowed || c.Kind == queue.Fewer {
		a.outbound.Fewer()
	}
	a.journal.Note(shaping.Event{Provider: c.Provider, Kind: string(c.Kind), About: c.Site, Text: c.Why})
}

// shapingDefaults are the limits of providers that nothing is known of.
func (a *app) shapingDefaults() shaping.Set {
	o := a.cfg.Load().Outbound
	return shaping.Set{
		shaping.Connections: {Key: shaping.Connections, Value: strconv.Itoa(o.PerDestination), From: "outbound.per_destination"},
		shaping.Messages:    {Key: shaping.Messages, Value: strconv.Itoa(o.MessagesPerConnection), From: "outbound.messages_per_connection"},
		shaping.Retry:       {Key: shaping.Retry, Value: retry.FormatWaits(a.cfg.Load().Queue.Retry), From: retry.Setting},
		shaping.TLS:         {Key: shaping.TLS, Value: "opportunistic", From: "RFC 7435"},
		shaping.Recipients:  {Key: shaping.Recipients, Value: "100", From: "RFC 5321 §4.5.3.1.8"},
	}
}

// providedWaits are the waits that a provider asks for, nil if it has those of everybody,
// which a sender's own may shorten.
func providedWaits(set shaping.Set) []time.Duration {
	if set[shaping.Retry].From == retry.Setting {
		return nil
	}
	return set.Waits()
}

// schedule is how often and for how long a message is tried, by what the operator has set
// for its sender or the recipient's domain.
func (a *app) schedule(m *queue.Message, to mail.Domain) (waits []time.Duration, lifetime time.Duration, there bool) {
	s := a.retries.For(retry.Mail{Account: m.Account, Stream: m.Stream, Tenant: m.Tenant, To: to.ASCII})
	return s.Waits, s.Lifetime, s.LifetimeOf.Scope == retry.Domain
}

// limitsFor remembers what holds for providers: it is asked several times for each
// message, and changes when somebody changes it. Those that have limits of their own are
// few.
type limitsFor struct {
	mu      sync.Mutex
	cfg     *config.Config
	version uint64
	known   map[string]providerLimits
}

type providerLimits struct {
	queue    queue.Limits
	outbound outbound.Limits
}

func (a *app) limitsOf(provider string) providerLimits {
	cfg, version := a.cfg.Load(), a.shaping.Version()
	m := &a.limitsFor
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || m.cfg != cfg || m.version != version {
		m.cfg, m.version, m.known = cfg, version, map[string]providerLimits{}
		for _, own := range a.shaping.Providers() {
			m.known[own] = a.reckon(own)
		}
		m.known[shaping.Everyone] = a.reckon(shaping.Everyone)
	}
	if l, ok := m.known[provider]; ok {
		return l
	}
	return m.known[shaping.Everyone]
}

// reckon puts the limits of a provider together.
func (a *app) reckon(provider string) providerLimits {
	set := a.shaping.For(provider)
	rate, per := set.Rate()
	return providerLimits{
		queue:    queue.Limits{Connections: set.Number(shaping.Connections), Rate: rate, Per: per, Retry: providedWaits(set)},
		outbound: outbound.Limits{Messages: set.Number(shaping.Messages), Recipients: set.Number(shaping.Recipients)},
	}
}

// queueLimits are what the queue keeps to.
func (a *app) queueLimits(provider string) queue.Limits { return a.limitsOf(provider).queue }

// transactionLimits are what a connection to a provider keeps to.
func (a *app) transactionLimits(provider string) outbound.Limits {
	return a.limitsOf(provider).outbound
}

// demand is what the operator asks of connections to a site.
func (a *app) demand(site, provider string) outbound.Demand {
	rule, despite, from := a.shaping.TLSRule(site, provider)
	return outbound.Demand{TLS: rule, Despite: despite, From: from}
}

// advise says what a provider's reply asks for.
func (a *app) advise(provider string, o *queue.Outcome) queue.Advice {
	d := a.shaping.Advise(provider, o.Code, o.Enhanced, o.Reply)
	class := a.classes.Of(classify.Reply{Code: o.Code, Enhanced: o.Enhanced, Text: o.Reply, Host: o.Host, Ours: o.Ours})
	return queue.Advice{For: d.For, Pause: d.Pause, Why: d.Why, Fewer: class == classify.Rate,
		Limits: queue.Limits{Connections: d.Connections, Rate: d.Rate, Per: d.Per}, Rule: d.Rule}
}

// judge says what a rule of the operator's makes of a reply.
func (a *app) judge(provider string, said outbound.Reply) outbound.Ruling {
	r := a.shaping.Judge(provider, shaping.Said(said))
	if r.Do != "" {
		a.journal.Note(shaping.Event{Provider: provider, Kind: ruleActed, About: fmt.Sprintf("reply rule %d", r.Rule),
			Text: strings.Join(strings.Fields(fmt.Sprintf("%s: %d %s %s", r.Do, said.Code, said.Enhanced, said.Text)), " ")})
	}
	return outbound.Ruling{Turn: r.Do == shaping.Permanent || r.Do == shaping.Temporary, Leave: r.Do == shaping.Drop, Why: r.Why}
}
