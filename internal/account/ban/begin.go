package ban

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/ratelimit"
)

// How many attempts may wait for a delay, for one pair or wide network and in
// all: each holds a connection.
const (
	maxSlowHere = 8
	maxSlow     = 1000
)

// maxAccounts is the most accounts that raise the limit of their network.
const maxAccounts = 1000

// trial is an attempt on its way.
type trial struct {
	Attempt
	hidden bool // only its front's address is known
	pair   key
	host   key // the network alone

	asked    bool // whether the table was read:
	known    bool // the pair logged in of late
	accounts int  // so many did from this network

	taken []*record // where it counts as under way: the pair first
}

func newTrial(a Attempt) *trial {
	t := &trial{Attempt: a, hidden: !a.Peer.IsValid()}
	counted := a.Peer
	if t.hidden {
		counted = a.Front
	}
	network := ratelimit.Network(counted)
	t.pair, t.host = key{nameKey(a.Name), network}, key{"", network}
	return t
}

func (t *trial) network() netip.Prefix { return t.pair.network }
func (t *trial) around() key           { return key{"", ratelimit.Around(t.pair.network)} }

// alone tells whether nothing but the pair counts.
func (t *trial) alone() bool { return t.known || t.hidden }

// Begin counts an attempt before anybody looks at its password, so that guesses at
// the same moment are no more than guesses in turn, and waits for the delay that
// it has earned. *ErrBanned and ErrBusy say that it may not be made; any other
// error is that of ctx or of the database. Whoever gets no error calls end once.
// A peer without an address (of a unix socket) is never counted, unless a host
// speaks for it.
func (l *List) Begin(ctx context.Context, a Attempt) (end End, err error) {
	t := newTrial(a)
	if t.network().IsValid() {
		if err := l.enter(ctx, t); err != nil {
			return nil, err
		}
	}
	var once sync.Once
	return func(ctx context.Context, o Outcome) (f Failed) {
		once.Do(func() { f = l.end(ctx, t, o) })
		return f
	}, nil
}

func (l *List) enter(ctx context.Context, t *trial) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrBusy)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.limit > 0 {
		now := l.now()
		o := l.obstacle(t, now)
		switch {
		case o == nil:
			l.take(t, now)
			return nil
		case o.ofNetwork && !t.asked:
			if err := l.ask(ctx, t); err != nil {
				return err
			}
			continue
		case !o.banned.IsZero():
			return &ErrBanned{Until: o.banned}
		}
		if err := l.wait(ctx, o, now); err != nil {
			return err
		}
	}
	return nil
}

// take counts an attempt as under way.
func (l *List) take(t *trial, now time.Duration) {
	keys := []key{t.pair, t.host, t.around()}
	if t.alone() {
		keys = keys[:1]
	}
	for _, k := range keys {
		r := l.records.get(k, now)
		r.checked++
		t.taken = append(t.taken, r)
	}
}

// obstacle is what an attempt has to wait for.
type obstacle struct {
	on        *record
	due       time.Duration // not before; 0 = once another attempt has ended
	banned    time.Time     // not zero: no wait helps before
	ofNetwork bool          // a pair that is known does not mind it
}

// obstacle returns nil if an attempt may be made now.
func (l *List) obstacle(t *trial, now time.Duration) *obstacle {
	if r := l.records.byKey[t.pair]; r != nil {
		if r.ban.active() {
			return &obstacle{banned: steady(r.ban.until)}
		}
		r.tally.advance(now)
		if o := r.pace(min(free, l.banLimit()), now); o != nil {
			return o
		}
	}
	if t.alone() {
		return nil
	}
	if r := l.records.byKey[t.host]; r != nil {
		r.tally.advance(now)
		limit := l.limit * (1 + t.accounts)
		switch points := r.tally.points(); {
		case points >= limit:
			return &obstacle{on: r, banned: l.start.Add(r.tally.below(limit)), ofNetwork: true}
		case points+r.checked >= limit:
			return &obstacle{on: r, ofNetwork: true}
		}
	}
	if r := l.records.byKey[t.around()]; r != nil {
		r.tally.advance(now)
		if o := r.pace(aroundFactor*l.limit, now); o != nil {
			o.ofNetwork = true
			return o
		}
	}
	return nil
}

// pace lets attempts pass as long as failures and attempts under way are fewer
// than allowed. While only the attempts of others are in the way they are waited
// for: they may be right. Beyond that attempts go one by one, each later after the
// last failure.
func (r *record) pace(allowed int, now time.Duration) *obstacle {
	failures := r.tally.failures()
	if failures+r.checked < allowed {
		return nil
	}
	if failures < allowed {
		return &obstacle{on: r}
	}
	if due := r.last + delayAfter(free+failures-allowed); now < due {
		return &obstacle{on: r, due: due}
	}
	if r.checked > 0 {
		return &obstacle{on: r}
	}
	return nil
}

// wait gives l.mu back until what is in the way may be gone.
func (l *List) wait(ctx context.Context, o *obstacle, now time.Duration) error {
	r := o.on
	var due <-chan time.Time
	if o.due > 0 {
		if r.slow >= maxSlowHere || l.slow >= maxSlow {
			return ErrBusy
		}
		timer := time.NewTimer(o.due - now)
		defer timer.Stop()
		due = timer.C
		r.slow++
		l.slow++
		defer func() { r.slow--; l.slow-- }()
	}
	r.waiting++
	ended := r.ended
	l.mu.Unlock()
	var err error
	select {
	case <-due:
	case <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	l.mu.Lock()
	r.waiting--
	l.records.settle(r)
	return err
}

// ask gives l.mu back while it reads what is known of a pair and its network.
func (l *List) ask(ctx context.Context, t *trial) error {
	l.mu.Unlock()
	known, accounts, err := l.readKnown(ctx, t.pair)
	l.mu.Lock()
	if err != nil {
		return err
	}
	t.asked, t.known, t.accounts = true, known, accounts
	if r := l.records.byKey[t.host]; r != nil {
		r.accounts = accounts
	}
	return nil
}
