package ratelimit

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// window is how long a failure counts.
const window = 10 * time.Minute

// maxFailures bounds the failures remembered in all, about 1 MiB with their
// addresses. Beyond it the address that was quiet for longest is forgotten.
const maxFailures = 1 << 14

// ErrBlocked says that an address failed too often of late.
var ErrBlocked = errors.New("too many failures from this address")

// Failures counts failed logins per address over the last ten minutes, in
// bounded memory.
type Failures struct {
	mu        sync.Mutex
	limit     int // failures until an address is blocked; 0 = never
	start     time.Time
	stored    int                            // failures remembered in all
	byNetwork map[netip.Prefix]*list.Element // each holds a *record
	recent    *list.List                     // the record that failed last is in front
	underway  map[netip.Prefix]*underway     // networks with attempts that have not ended
}

// underway is what a network is trying now.
type underway struct {
	checked int           // begun, not ended: each may become a failure
	waiting int           // in Begin
	ended   chan struct{} // closed when there may be room
}

// record holds the failures of one network, oldest first, as time since start.
type record struct {
	network netip.Prefix
	times   []time.Duration
}

// NewFailures returns a counter that blocks an address with limit failures in
// ten minutes; 0 = never.
func NewFailures(limit int) *Failures {
	return &Failures{
		limit: limit, start: time.Now(),
		byNetwork: map[netip.Prefix]*list.Element{}, recent: list.New(),
		underway: map[netip.Prefix]*underway{},
	}
}

// SetLimit changes the limit; failures already counted stay. A limit beyond what
// is remembered at most counts as that much.
func (f *Failures) SetLimit(limit int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = limit
	for _, u := range f.underway {
		u.wake()
	}
}

// Begin counts an attempt of addr before anybody knows how it ends, so that
// failures and attempts under way are never more than the limit together. While
// only the attempts of others are in the way it waits for them: they may be
// right. ErrBlocked says that addr is blocked; else the error is that of ctx.
// Whoever gets no error calls end once. An invalid addr is never blocked.
func (f *Failures) Begin(ctx context.Context, addr netip.Addr) (end func(failed bool), err error) {
	network := Network(addr)
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if f.limit <= 0 || !network.IsValid() {
			return func(bool) {}, nil
		}
		limit, failed := min(f.limit, maxFailures), f.failed(network)
		if failed >= limit {
			return nil, ErrBlocked
		}
		u := f.underway[network]
		if u == nil {
			u = &underway{ended: make(chan struct{})}
			f.underway[network] = u
		}
		if failed+u.checked < limit {
			u.checked++
			return func(failed bool) { f.end(network, failed) }, nil
		}
		if err := f.wait(ctx, network, u); err != nil {
			return nil, err
		}
	}
}

// wait gives f.mu back until an attempt of the network ends.
func (f *Failures) wait(ctx context.Context, network netip.Prefix, u *underway) error {
	u.waiting++
	ended := u.ended
	f.mu.Unlock()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.mu.Lock()
	u.waiting--
	f.settle(network, u)
	return err
}

// end takes an attempt back or makes it a failure.
func (f *Failures) end(network netip.Prefix, failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.underway[network]
	u.checked--
	if failed {
		f.record(network)
	}
	u.wake()
	f.settle(network, u)
}

func (u *underway) wake() {
	close(u.ended)
	u.ended = make(chan struct{})
}

// settle forgets a network that tries nothing now.
func (f *Failures) settle(network netip.Prefix, u *underway) {
	if u.checked == 0 && u.waiting == 0 {
		delete(f.underway, network)
	}
}

// failed is how many failures of a network count now.
func (f *Failures) failed(network netip.Prefix) int {
	e := f.byNetwork[network]
	if e == nil {
		return 0
	}
	r := e.Value.(*record)
	f.expire(r, time.Since(f.start))
	if len(r.times) == 0 {
		f.forget(e)
	}
	return len(r.times)
}

// record counts a failure.
func (f *Failures) record(network netip.Prefix) {
	if f.limit <= 0 || !network.IsValid() {
		return
	}
	now := time.Since(f.start)
	e := f.byNetwork[network]
	if e == nil {
		e = f.recent.PushFront(&record{network: network})
		f.byNetwork[network] = e
	} else {
		f.recent.MoveToFront(e)
	}
	r := e.Value.(*record)
	f.expire(r, now)
	// More than the limit would change no answer: the oldest makes room.
	if drop := len(r.times) - min(f.limit, maxFailures) + 1; drop > 0 {
		f.drop(r, drop)
	}
	r.times = append(r.times, now)
	f.stored++
	f.shrink(now)
}

// shrink forgets the networks that failed longest ago: those whose failures are
// all past, and more while too much is remembered.
func (f *Failures) shrink(now time.Duration) {
	for e := f.recent.Back(); e != nil; e = f.recent.Back() {
		times := e.Value.(*record).times
		if f.stored <= maxFailures && now-times[len(times)-1] < window {
			return
		}
		f.forget(e)
	}
}

// expire removes the failures of r that count no more.
func (f *Failures) expire(r *record, now time.Duration) {
	n := 0
	for n < len(r.times) && now-r.times[n] >= window {
		n++
	}
	f.drop(r, n)
}

// drop removes the n oldest failures of r.
func (f *Failures) drop(r *record, n int) {
	if n > 0 {
		r.times = append(r.times[:0], r.times[n:]...)
		f.stored -= n
	}
}

// forget removes a whole record.
func (f *Failures) forget(e *list.Element) {
	r := e.Value.(*record)
	f.stored -= len(r.times)
	f.recent.Remove(e)
	delete(f.byNetwork, r.network)
}
