package outbound

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// A family of addresses by which there was no way is put behind the other one for a
// while, which doubles from the first to the longest each time that it is found so
// again.
const (
	behindFirst   = 5 * time.Minute
	behindLongest = 2 * time.Hour
	maxBehind     = 10_000 // hosts that are remembered
)

// families remembers by which family of addresses a host, or any host at all, could
// not be reached.
//
// Both families are not tried at once (RFC 8305): a mail server counts connections,
// nobody waits at a screen, and a family that does not work costs one attempt a time
// limit now and then instead of every attempt a second connection.
type families struct {
	now func() time.Time

	mu    sync.Mutex
	hosts map[way]*behind
}

// way is a family of a host's addresses; of no host: of all.
type way struct {
	host string
	six  bool
}

func (w way) String() string {
	if w.six {
		return "IPv6"
	}
	return "IPv4"
}

// behind is what is known of a way that did not work.
type behind struct {
	until time.Time
	wait  time.Duration
	why   string
}

func newFamilies() *families { return &families{now: time.Now, hosts: map[way]*behind{}} }

// noWay tells of a failure that is about the way to a host, and whether it is about
// this machine: it has no way by that family to anywhere.
func noWay(err error) (missed, here bool) {
	call, is := errors.AsType[*os.SyscallError](err)
	switch {
	case is && call.Syscall == "bind", errors.Is(err, context.Canceled):
		return false, false
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return true, true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return true, false
	}
	return false, false
}

// note learns from an attempt to connect to a host; nil = it went well.
func (f *families) note(host string, addr netip.Addr, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	here, all := way{host, addr.Is6()}, way{"", addr.Is6()}
	if err == nil {
		delete(f.hosts, here)
		delete(f.hosts, all)
		return
	}
	missed, everywhere := noWay(err)
	if !missed {
		return
	}
	if everywhere {
		here = all
	}
	b := f.hosts[here]
	if b == nil {
		f.makeRoom()
		b = &behind{wait: behindFirst / 2}
		f.hosts[here] = b
	}
	now := f.now()
	if now.Before(b.until) {
		return // others found it at the same time, or it was the last way left
	}
	b.wait = min(2*b.wait, behindLongest)
	b.until, b.why = now.Add(b.wait), reason(err)
}

// makeRoom forgets those that may be tried first again, or all. f.mu is held.
func (f *families) makeRoom() {
	if len(f.hosts) < maxBehind {
		return
	}
	now := f.now()
	maps.DeleteFunc(f.hosts, func(_ way, b *behind) bool { return !now.Before(b.until) })
	if len(f.hosts) >= maxBehind {
		clear(f.hosts)
	}
}

// avoided is what keeps a family of a host behind the other one now, nil = nothing.
// f.mu is held.
func (f *families) avoided(w way) *behind {
	for _, w := range []way{{"", w.six}, w} {
		if b := f.hosts[w]; b != nil && f.now().Before(b.until) {
			return b
		}
	}
	return nil
}

// order gives the addresses of a host in the order in which they are tried, and says
// why if that is not the usual one: the families in turn, IPv6 first.
func (f *families) order(host string, addrs []netip.Addr) (out []netip.Addr, why string) {
	four, six := dnsx.ByFamily(addrs)
	if len(four) == 0 || len(six) == 0 {
		return addrs, ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	worse := way{host, true}
	b := f.avoided(worse)
	other := f.avoided(way{host, false})
	switch {
	case (b == nil) == (other == nil):
		return dnsx.Interleave(four, six), ""
	case b != nil:
		out = append(append(out, four...), six...)
	default:
		out, b, worse = append(append(out, six...), four...), other, way{host, false}
	}
	return out, fmt.Sprintf("%s last until %s: %s", worse, b.until.UTC().Format("15:04 MST"), b.why)
}
