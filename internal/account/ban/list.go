package ban

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/ratelimit"
)

// ErrNone says that there is nothing to clear.
var ErrNone = errors.New("nobody is banned, stopped or slowed down by this name or from this network")

// The states of an Entry.
const (
	Banned  = "banned"  // the pair, until its ban ends
	Stopped = "stopped" // names of this network that are not known there
	Slowed  = "slowed"  // each attempt waits longer
)

// Entry is somebody who is banned, stopped or slowed down.
type Entry struct {
	Name     string    `json:"name"` // empty: a network with whatever name
	Network  string    `json:"network"`
	State    string    `json:"state"`
	Failures int       `json:"failures"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"` // of what is not banned: if nothing fails any more
	Why      string    `json:"why"`
}

// List returns them by network and name.
func (l *List) List() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []Entry{}
	for _, r := range l.shown(Filter{All: true}) {
		out = append(out, l.entry(r))
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// shown are the records that somebody suffers from now. l.mu is held.
func (l *List) shown(f Filter) (out []*record) {
	if l.limit <= 0 {
		return nil
	}
	now := l.now()
	for _, r := range l.records.byKey {
		if !f.matches(r.key) {
			continue
		}
		r.tally.advance(now)
		if r.ban.active() || r.tally.failures() > 0 && l.state(r) != "" {
			out = append(out, r)
		}
	}
	return out
}

// isAround tells whether a record is of a wider network.
func (r *record) isAround() bool { return r.name == "" && r.network == ratelimit.Around(r.network) }

// state is what a record leads to, "" for nothing.
func (l *List) state(r *record) string {
	switch {
	case r.ban.active():
		return Banned
	case r.tally.points() < l.allowed(r):
		return ""
	case r.name == "" && !r.isAround():
		return Stopped
	}
	return Slowed
}

func (l *List) entry(r *record) Entry {
	e := Entry{Name: r.name, Network: r.network.String(), State: l.state(r)}
	if e.State == Banned {
		e.Failures, e.Since, e.Until = r.ban.failures, steady(r.ban.began), steady(r.ban.until)
		e.Why = fmt.Sprintf("%d wrong passwords in ten minutes", r.ban.failures)
		if r.ban.count > 1 {
			e.Why += fmt.Sprintf(", ban number %d", r.ban.count)
		}
	} else {
		e.Failures, e.Since = r.tally.failures(), l.start.Add(r.tally.oldest())
		e.Until = l.start.Add(r.tally.below(l.allowed(r)))
		e.Why = "wrong passwords"
		switch {
		case e.State == Stopped:
			e.Why = "wrong passwords; accounts that logged in from there of late are not stopped"
		case r.name == "":
			e.Why = "wrong passwords from several networks in it"
		case r.known:
			e.Why = "wrong passwords, but it logged in from there of late"
		}
	}
	e.Since, e.Until = seconds(e.Since), seconds(e.Until)
	return e
}

// allowed is from how many points on a record leads to something. Those of a pair
// and of a wide network are its failures.
func (l *List) allowed(r *record) int {
	switch {
	case r.isAround():
		return aroundFactor * l.limit
	case r.name == "":
		return l.limit * (1 + r.accounts)
	}
	return min(free, l.banLimit())
}

func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Filter says which entries are meant.
type Filter struct {
	All     bool
	name    string
	network netip.Prefix
}

// ParseFilter reads a network, an address of one, or a login name.
func ParseFilter(s string) Filter {
	if p, err := netip.ParsePrefix(s); err == nil {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96) // as those of logins are
		}
		return Filter{network: p.Masked()}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return Filter{network: ratelimit.Network(a)}
	}
	return Filter{name: nameKey(s)}
}

func (f Filter) matches(k key) bool {
	switch {
	case f.All:
		return true
	case f.network.IsValid():
		return f.network.Overlaps(k.network)
	}
	return f.name != "" && f.name == k.name
}

// Clear ends bans, and forgets the failures that stop or slow down, and returns
// how many of List's entries are gone; ErrNone if there was none and not all were
// meant. In other processes on the same database bans end as well, while
// failures that were counted there run out by themselves.
func (l *List) Clear(ctx context.Context, f Filter) (int, error) {
	rows, err := l.deleteBans(db.WithReserve(ctx), f)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	n := len(l.shown(f))
	l.version++
	l.forget(f)
	l.mu.Unlock()
	l.announce()
	if n == 0 && rows == 0 && !f.All {
		return 0, ErrNone
	}
	return n, nil
}

// forget clears records in memory. l.mu is held.
func (l *List) forget(f Filter) {
	for _, r := range l.records.byKey {
		if f.matches(r.key) {
			l.records.absolve(r)
			r.wake()
		}
	}
}

// deleteBans clears rows of the table, also those of bans that are over.
func (l *List) deleteBans(ctx context.Context, f Filter) (rows int, err error) {
	var found []key
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error {
		found = nil
		return eachBan(tx, math.MaxInt32, func(k key, _ *sentence) {
			if f.matches(k) {
				found = append(found, k)
			}
		})
	})
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(found, sweepSlice) {
		if err := l.o.DB.Write(ctx, func(tx *db.Tx) error { return unban(tx, part...) }); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}
