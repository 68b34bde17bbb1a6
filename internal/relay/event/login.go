package event

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/ratelimit"
)

// Whoever guesses at passwords decides how many failures there are, but not how
// many rows: so many in a minute for one network and in all, and for those beyond
// one row of each of these networks and one of all others, which say how many. At
// the very worst that is some 50 MB a day.
const (
	loginsPerNetwork = 10
	loginsPerMinute  = 60
)

const (
	// maxLoginsWaiting is how many rows wait in memory while the database does not
	// take them.
	maxLoginsWaiting = 1000
	// loginsGather is how long failures are gathered for one commit.
	loginsGather = time.Second
	// loginsRetry is when a commit that failed is tried again.
	loginsRetry = 10 * time.Second
	// loginsGrace is for the last commit, when the server ends.
	loginsGrace = 5 * time.Second
)

// LoginOptions are what a Logins is made of.
type LoginOptions struct {
	DB  db.DB
	IDs *mail.IDs
	// Account returns the account of a login name; ok = there is one.
	Account func(ctx context.Context, login string) (acc account.Account, ok bool, err error)
	Logger  *slog.Logger
	Metrics *LoginMetrics
}

// LoginMetrics counts events of failed logins that are lost.
type LoginMetrics struct{ dropped prometheus.Counter }

// NewLoginMetrics registers the metrics with r.
func NewLoginMetrics(r prometheus.Registerer) *LoginMetrics {
	m := &LoginMetrics{dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hayauma_login_events_dropped_total", Help: "Events of failed logins that were not written, since the database took none for too long."})}
	r.MustRegister(m.dropped)
	return m
}

// Logins writes the events of failed logins, which belong to no message, behind
// the back of the login. It may be used by many goroutines.
type Logins struct {
	o    LoginOptions
	wake chan struct{} // there is something new

	mu       sync.Mutex
	minute   time.Time
	rows     int                          // of this minute
	networks map[netip.Prefix]*networkRow // that have a row of their own in it
	others   int                          // failures of all other networks
	waiting  []failure
	dropping bool // it was logged that events are lost
}

// networkRow counts failures of a network in one minute.
type networkRow struct{ rows, more int }

// failure is an event whose account is not yet known.
type failure struct {
	Event
	user string // empty: it stands for many
}

// NewLogins returns a writer; Run does its work.
func NewLogins(o LoginOptions) *Logins {
	return &Logins{o: o, wake: make(chan struct{}, 1), networks: map[netip.Prefix]*networkRow{}}
}

// Failed notes a failure, at once and in bounded memory.
func (l *Logins) Failed(f account.Failure) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	network := ratelimit.Network(f.Peer)
	n := l.networks[network]
	if l.rows >= loginsPerMinute || n != nil && n.rows >= loginsPerNetwork {
		if n == nil {
			l.others++
		} else {
			n.more++
		}
		return
	}
	if n == nil {
		n = &networkRow{}
		l.networks[network] = n
	}
	n.rows++
	l.rows++
	d := Detail{Door: f.Door, Login: f.User, Mechanism: f.Mechanism, Reason: f.Reason}
	if f.Peer.IsValid() {
		d.Peer = f.Peer.String()
	}
	if !f.Until.IsZero() {
		d.Next = f.Until.UTC().Format(time.RFC3339)
	}
	l.add(failure{Event{Kind: LoginFailed, At: mail.Micros(now), Detail: d}, f.User})
}

// turn begins a new minute: the one before gets its rows of what was beyond the
// limits. l.mu is held.
func (l *Logins) turn(now time.Time) {
	if minute := now.Truncate(time.Minute); !minute.Equal(l.minute) {
		l.sum()
		l.minute = minute
	}
}

// sum writes what was beyond the limits, and forgets the minute. l.mu is held.
func (l *Logins) sum() {
	more := func(peer string, n int) {
		if n > 0 {
			at := mail.Micros(l.minute.Add(time.Minute - time.Microsecond))
			l.add(failure{Event: Event{Kind: LoginFailed, At: at, Detail: Detail{Peer: peer, More: n}}})
		}
	}
	for network, n := range l.networks {
		peer := ""
		if network.IsValid() {
			peer = network.String()
		}
		more(peer, n.more)
	}
	more("", l.others)
	clear(l.networks)
	l.rows, l.others = 0, 0
}

// add lets a row wait for its commit, if there is room. l.mu is held.
func (l *Logins) add(f failure) {
	if len(l.waiting) < maxLoginsWaiting {
		l.waiting = append(l.waiting, f)
		return
	}
	l.o.Metrics.dropped.Inc()
	if !l.dropping {
		l.dropping = true
		l.o.Logger.Warn("failed logins are missing in the history: the database takes no events")
	}
}

// Run writes until ctx ends, and then what is left.
func (l *Logins) Run(ctx context.Context) {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-l.wake:
		case <-again.C:
		case <-ctx.Done():
			l.finish(ctx)
			return
		}
		select {
		case <-time.After(loginsGather):
		case <-ctx.Done():
			continue // to the end
		}
		again.Reset(l.flush(ctx))
	}
}

// finish writes what is left at the end.
func (l *Logins) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginsGrace)
	defer cancel()
	l.mu.Lock()
	l.sum()
	l.mu.Unlock()
	l.flush(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Metrics.dropped.Add(float64(len(l.waiting)))
	l.waiting = nil
}

// flush commits what waits, and returns when to come back if nothing new comes.
func (l *Logins) flush(ctx context.Context) time.Duration {
	now := time.Now()
	l.mu.Lock()
	l.turn(now)
	batch, owes := l.waiting, l.rows > 0
	l.waiting = nil
	l.mu.Unlock()
	if err := l.write(ctx, batch); err != nil {
		l.o.Logger.Error("failed logins are not written to the history yet", "error", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		newer := l.waiting
		l.waiting = batch
		for _, f := range newer {
			l.add(f)
		}
		return loginsRetry
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropping = false
	if owes {
		return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
	}
	return time.Hour
}

// write commits a batch at once.
func (l *Logins) write(ctx context.Context, batch []failure) error {
	if len(batch) == 0 {
		return nil
	}
	events := make([]Event, 0, len(batch))
	for _, f := range batch {
		if f.user != "" {
			acc, ok, err := l.o.Account(ctx, f.user)
			if err != nil {
				return err
			}
			if ok {
				f.Account, f.Tenant, f.Detail.Account = acc.ID, acc.Tenant, acc.Address.String()
			}
		}
		events = append(events, f.Event)
	}
	return l.o.DB.Write(ctx, func(tx *db.Tx) error { return Append(tx, l.o.IDs, events) })
}

// No message has the id 0, so that the index on messages finds all failed logins.
var (
	sqlLogins   = db.SQL("SELECT " + columns + " FROM event WHERE message = 0 ORDER BY id DESC LIMIT ?")
	sqlLoginsOf = db.SQL("SELECT " + columns + " FROM event WHERE message = 0 AND account = ? ORDER BY id DESC LIMIT ?")
)

// Logins returns the last failed logins, newest first: those of an account, or with
// the id 0 all. Where Detail.More is set an event stands for so many.
func (l *Log) Logins(ctx context.Context, of mail.ID, limit int) (out []Event, err error) {
	err = l.db.Read(ctx, func(tx *db.Tx) error {
		if of == 0 {
			out, err = eventsOf(tx, sqlLogins, limit)
		} else {
			out, err = eventsOf(tx, sqlLoginsOf, of, limit)
		}
		return err
	})
	return out, err
}
