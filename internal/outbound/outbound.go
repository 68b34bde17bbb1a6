// Package outbound takes messages to the mail servers of their recipients.
package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/source"
)

// SmartHost is a server that takes all mail for others.
type SmartHost struct {
	Host     string // name or address; empty = none
	Port     int
	User     string // empty = no login
	Password string
	// TLS is "starttls" or "implicit", which verify the certificate, or
	// "opportunistic" or "none". A password is never sent without TLS.
	TLS string
}

// Settings are what may change by a reload.
type Settings struct {
	Port                  int // on the destination's MX
	SmartHost             SmartHost
	Proxy                 string // through which mail without a route leaves, with its user; empty = none
	ProxyPassword         string // of its user; empty = no login
	MessagesPerConnection int
	ByData                bool          // CHUNKING is not used
	MTASTS                bool          // MTA-STS policies are obeyed
	IPv4Only              bool          // no mail goes to IPv6 addresses that DNS names
	ConnectTimeout        time.Duration // to one address
	IdleTimeout           time.Duration // a connection without work is kept; 0 = not
	Grace                 time.Duration // for a running transaction when the server stops
	Timeouts              Timeouts
}

// Limits are what a provider bears of one sender.
type Limits struct {
	Messages   int // a connection; 0 = as Settings say
	Recipients int // a transaction; 0 = a hundred
}

// Options are what an Outbound is made of.
type Options struct {
	Hostname func() string
	Resolver *dnsx.Resolver
	Blobs    blob.Store
	Route    func(name string) (route.Route, bool) // nil = there are none
	Settings func() Settings
	Limits   func(provider string) Limits                                      // nil = there are none
	Bears    func(provider string) int                                         // connections at once now, those without work too; nil = any number
	Demand   func(site, provider string) Demand                                // of the operator; nil = there are none
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Internet func(six bool) error                                              // whether this machine has a way there by a family; nil = the network
	TLS      func() *tls.Config                                                // roots for smart hosts and policies; nil = the system's
	// Sources say from which of our addresses a message goes out; nil = the system
	// says it. DialFrom connects from one of them; nil = by the network.
	Sources  *source.Store
	DialFrom func(ctx context.Context, from netip.Addr, network, addr string) (net.Conn, error)
	// LastSource tells from which of them the last attempt of a message for a recipient was
	// made, not valid if that is not known. nil = it never is.
	LastSource func(ctx context.Context, message mail.ID, to mail.Address) (netip.Addr, error)
	IsOurs     func(netip.AddrPort) bool // one of our listeners; nil = none
	// Relay tells how mail for a relay domain goes on, nil if a site is none. nil =
	// there are none.
	Relay  func(ctx context.Context, site string) (*Relay, error)
	STS    *sts.Store      // nil = nobody has an MTA-STS policy
	Report func(TLSResult) // called once for each connection to an exchanger and site that it serves; must not block; nil = nobody counts
	// From is the envelope sender under which a message leaves for a recipient;
	// alone = for no other recipient. nil = its own.
	From func(ctx context.Context, m *queue.Message, to mail.Address) (from mail.Address, alone bool, err error)
	// EnvID names a message that an account here submitted, for reports that come
	// later. nil = nothing does.
	EnvID func(ctx context.Context, m *queue.Message) (string, error)
	// Judge is the operator's say on what a remote replied; provider is empty without
	// Limits. nil = there is none.
	Judge   func(provider string, r Reply) Ruling
	Logger  *slog.Logger
	Metrics *Metrics // nil = none
}

// Outbound is a queue.Deliverer. It may be used by many goroutines.
type Outbound struct {
	o        Options
	pool     *pool
	chunks   *chunks
	families *families
	doors    *doors
}

var _ queue.Deliverer = (*Outbound)(nil)

// New returns an Outbound. Close ends the connections that it keeps.
func New(o Options) *Outbound {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: noKeepAlive}).DialContext
	}
	if o.Bears == nil {
		o.Bears = func(string) int { return math.MaxInt }
	}
	if o.Internet == nil {
		o.Internet = internet
	}
	if o.DialFrom == nil {
		o.DialFrom = dialFrom
	}
	if o.TLS == nil {
		o.TLS = func() *tls.Config { return new(tls.Config) }
	}
	if o.IsOurs == nil {
		o.IsOurs = func(netip.AddrPort) bool { return false }
	}
	if o.From == nil {
		o.From = func(_ context.Context, m *queue.Message, _ mail.Address) (mail.Address, bool, error) {
			return m.From, false, nil
		}
	}
	return &Outbound{o: o, pool: newPool(o.Bears), chunks: new(chunks), families: newFamilies(o.Internet), doors: newDoors()}
}

// Close takes leave of the hosts whose connections were kept for more work.
func (o *Outbound) Close() { o.pool.close() }

// Fewer ends connections without work to providers that bear fewer than they have, soon. It
// may be called where Bears may not.
func (o *Outbound) Fewer() { o.pool.fewer() }

func (o *Outbound) settings() Settings {
	set := o.o.Settings()
	set.Timeouts = set.Timeouts.withDefaults()
	if set.Port == 0 {
		set.Port = 25
	}
	if set.ConnectTimeout <= 0 {
		set.ConnectTimeout = 30 * time.Second
	}
	if set.MessagesPerConnection <= 0 {
		set.MessagesPerConnection = 1
	}
	return set
}

// Deliver implements queue.Deliverer: one worker with at most one connection at
// a time.
func (o *Outbound) Deliver(ctx context.Context, site string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	w := &worker{o: o, ctx: ctx, site: site}
	w.refresh()
	defer w.leave()
	for job := next(); job != nil; job = next() {
		done(job, w.serve(job))
	}
}

// worker is one call of Deliver.
type worker struct {
	o    *Outbound
	ctx  context.Context // of this call; ends when the server stops
	site string
	set  terms
	read time.Time       // when the terms were
	c    *client         // nil = none
	hook *http.Transport // nil = none

	before []queue.Try // addresses tried in vain for the message at hand

	group string     // the pool of source addresses that the message at hand leaves by; empty = none
	tried netip.Addr // of that pool: for the connection that was begun last
	met   netip.Addr // of that pool: from which the message was greylisted last; not valid if it was not

	provider   string
	recipients int // in one transaction
}

// termsHold is how long a worker keeps to the terms that it has read: it may have work
// for hours.
const termsHold = time.Second

// refresh takes over what the operator has changed.
func (w *worker) refresh() {
	now := time.Now()
	if !w.read.IsZero() && now.Sub(w.read) < termsHold {
		return
	}
	way := w.set.way
	w.read, w.set, w.recipients = now, w.o.terms(w.ctx, w.site), maxRecipients
	w.limit()
	if w.hook != nil && w.set.way != way {
		w.hook.CloseIdleConnections()
		w.hook = nil
	}
}

// limit takes over what the site's provider bears.
func (w *worker) limit() {
	if w.o.o.Limits == nil && w.o.o.Sources == nil {
		return
	}
	w.provider = cmp.Or(w.o.Provider(w.ctx, w.site), w.site)
	if w.o.o.Limits == nil {
		return
	}
	l := w.o.o.Limits(w.provider)
	w.set.MessagesPerConnection = cmp.Or(l.Messages, w.set.MessagesPerConnection)
	w.recipients = min(w.recipients, cmp.Or(l.Recipients, w.recipients))
}

// leave keeps the connection for the next worker of this site, or ends it.
func (w *worker) leave() {
	if w.hook != nil {
		w.hook.CloseIdleConnections()
	}
	c := w.c
	switch {
	case c == nil:
	case w.usable() && w.set.IdleTimeout > 0 && w.ctx.Err() == nil:
		w.o.pool.put(c, w.set.IdleTimeout)
	default:
		c.quit()
	}
}

func (w *worker) usable() bool {
	most := w.set.MessagesPerConnection
	if told := w.c.ext.maxMails; told > 0 {
		most = min(most, told)
	}
	return !w.c.broken && !w.c.leaves && !w.c.lingers(time.Now()) && w.c.in.Buffered() == 0 && w.c.served < most && w.c.way == w.set.way
}

// serve delivers one message to its recipients at this site.
func (w *worker) serve(job *queue.Job) []queue.Outcome {
	t := newTransaction(w, job)
	w.before = nil
	w.refresh()
	w.set.demand = w.o.demand(w.set, w.site, w.provider).wished(w.set, job.Message.Envelope)
	if w.ctx.Err() != nil {
		return nil // the queue takes it back untried
	}
	if err := t.open(); err != nil {
		t.unread(err)
		t.settle(aside(mail.Temporary(mail.SystemError, unreadable)))
		return t.outcomes()
	}
	defer t.close()
	if via := w.set.via; via != nil && via.url != "" {
		return w.post(t)
	}
	w.group = w.poolOf(t.m)
	w.met = w.metFrom(t)
	for stale := false; len(t.pending) > 0; {
		if !stale && !t.mayBegin() {
			return t.untried()
		}
		if len(t.pending) == 0 {
			break // who is left was put off
		}
		if problem := w.connected(t.m.Envelope, t.pending[0].Address.Domain); problem != nil {
			if w.ctx.Err() != nil {
				return t.untried()
			}
			t.settle(*problem)
			break
		}
		if stale = t.run(w.c); stale {
			// RFC 5321 does not say what an idle connection is worth: one found
			// dead before MAIL was answered is replaced and is no attempt.
			w.c.close()
			w.c = nil
		}
	}
	w.elsewhere(t)
	return t.outcomes()
}

// connected makes sure that there is a connection for one more transaction, to a
// host that a message may go to, for recipients of a domain at least.
func (w *worker) connected(env mail.Envelope, domain mail.Domain) *problem {
	if p := w.sourced(); p != nil {
		return p
	}
	key := poolKey(w.group, w.site)
	if w.c == nil {
		w.c = w.o.pool.takeSite(key)
	}
	for ; w.c != nil; w.c = w.o.pool.takeSite(key) {
		if w.usable() && w.set.leads(w.c) && w.fits(w.c) && w.c.welcomes(domain.ASCII) && w.safe(w.c, env) == nil {
			return nil
		}
		w.c.quit()
	}
	p := w.o.plan(w.ctx, w.site, w.set)
	if w.adopt(p, env, domain) {
		return nil
	}
	c, problem := w.connect(p, env)
	w.c = c
	return problem
}

// shared names the connections to a host that sites may take over from each other.
func (w *worker) shared(host string) string { return poolKey(w.set.way, host) }

// adopt takes over an idle connection to one of the most preferred hosts of the site
// that was made for another one.
func (w *worker) adopt(p plan, env mail.Envelope, domain mail.Domain) bool {
	tried := ""
	for _, t := range p.targets {
		if t.preference != p.targets[0].preference || t.host == tried {
			continue
		}
		tried = t.host
		key := poolKey(w.group, w.shared(t.host))
		for c := w.o.pool.takeHost(key); c != nil; c = w.o.pool.takeHost(key) {
			c.site, c.known, c.domain = w.site, t.known, t.domain
			if w.c = c; w.usable() && c.addr.Port() == t.addr.Port() && w.fits(c) && c.welcomes(domain.ASCII) && w.safe(c, env) == nil {
				w.account(c)
				return true
			}
			c.quit()
		}
	}
	w.c = nil
	return false
}

// problem is why there is nothing better to report than a failure: a finding of
// ours, or what a remote said.
type problem struct {
	result    queue.Result
	code      int
	enhanced  string
	text      string
	ours      bool
	quotes    bool // ours with the words of a web hook in them: its codes are HTTP's
	loops     bool // the host is this server
	login     bool // the host refuses our login
	missed    bool // no host could be reached, whatever the message
	strained  bool // the host bears less than it was given
	host      string
	addr      netip.AddrPort
	source    netip.Addr
	tls       string
	after     time.Duration // it asked to be left alone for so long
	pause     time.Duration // the same, for any message
	reports   bool          // the remote tells the sender of success itself
	watches   bool          // the remote keeps to the sender's time itself
	aside     bool          // it is about us or the message, and says nothing of the site
	elsewhere bool          // another host of the site may take the message now
	wait      time.Duration // when an attempt is worth it again; 0 = it is not known
}

// again is how long a host that greylists is left alone, 0 if it does not; before says
// whether the last attempt met that already.
func (p problem) again(before bool) time.Duration {
	if p.after > 0 {
		return p.after
	}
	if p.ours || p.result != queue.TryLater {
		return p.wait
	}
	return again(p.code, p.enhanced, p.text, before)
}

// overloaded tells whether a host says of itself that it has no room or takes nothing now
// (RFC 3463 §3.4), and not to make a stranger come again.
func (p problem) overloaded() bool {
	return !p.ours && (p.enhanced == "4.3.1" || p.enhanced == "4.3.2") && !greylists(p.code, p.enhanced, strings.ToLower(p.text))
}

// strains tells whether the host bears less than it was given.
func (p problem) strains() bool {
	return p.result != queue.CutOff && (p.strained || p.code == 421 || p.overloaded())
}

// unreadable is what people are told of a message that our disk or database keeps back.
const unreadable = "The message could not be read here"

// aside is a finding that says nothing of the site: it would be the same for any other.
func aside(f *mail.Fault) problem {
	p := finding(f)
	p.aside = true
	return p
}

// finding is a failure in our own words.
func finding(f *mail.Fault) problem {
	result := queue.TryLater
	if f.Class == mail.Permanent {
		result = queue.Refused
	}
	return problem{result: result, code: f.Code(), enhanced: f.Enhanced(), text: f.Public, ours: true}
}
