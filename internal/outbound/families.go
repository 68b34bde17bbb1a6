package outbound

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
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
// not be reached; behind a proxy, by which it could not while the other one worked.
//
// Both families are not tried at once (RFC 8305): a mail server counts connections,
// nobody waits at a screen, and a family that does not work costs one attempt a time
// limit now and then instead of every attempt a second connection.
type families struct {
	now  func() time.Time
	look func(six bool) error // whether this machine has a way by a family to the Internet

	mu    sync.Mutex
	hosts map[way]*behind
}

// way is a family of a host's addresses, of no host: of all; by a proxy or, without, from
// here.
type way struct {
	by, host string
	six      bool
}

func (w way) String() string {
	if w.six {
		return "IPv6"
	}
	return "IPv4"
}

// all is the same of all hosts, other is the other family.
func (w way) all() way   { return way{w.by, "", w.six} }
func (w way) other() way { return way{w.by, w.host, !w.six} }

// behind is what is known of a way that did not work.
type behind struct {
	until time.Time
	wait  time.Duration
	why   string
	tried time.Time // in vain by a proxy, which may have been at fault; zero = it was not
}

func newFamilies(look func(six bool) error) *families {
	return &families{now: time.Now, look: look, hosts: map[way]*behind{}}
}

// internet finds out whether this machine has a way by a family to the Internet. Nothing is
// sent: a UDP socket is given its way, to a.root-servers.net.
func internet(six bool) error {
	to := netip.MustParseAddrPort("198.41.0.4:53")
	if six {
		to = netip.MustParseAddrPort("[2001:503:ba3e::2:30]:53")
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	return conn.Close()
}

// noWay tells of a failure that is about the way to a host, and whether it may be about
// this machine: it has no way by that family to anywhere. The kernel says the same of one
// address that its tables know no way to.
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

// note learns from an attempt to connect by a way; nil = it went well.
func (f *families) note(w way, err error) {
	if err == nil {
		f.worked(w)
		return
	}
	missed, everywhere := noWay(err)
	if w.by != "" {
		missed, everywhere = !errors.Is(err, context.Canceled), errors.Is(err, dnsx.ErrProxyFamily)
	} else if everywhere {
		everywhere = f.look(w.six) != nil
	}
	if !missed {
		return
	}
	if everywhere {
		w = w.all()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.hosts[w]
	if b == nil {
		f.makeRoom()
		b = &behind{wait: behindFirst / 2}
		f.hosts[w] = b
	}
	now := f.now()
	if now.Before(b.until) {
		return // others found it at the same time, or it was the last way left
	}
	b.why = reason(err)
	if w.by != "" {
		b.tried = now
		return
	}
	b.put(now)
}

// put has a way tried last from now on.
func (b *behind) put(now time.Time) {
	b.wait = min(2*b.wait, behindLongest)
	b.until, b.tried = now.Add(b.wait), time.Time{}
}

// worked takes back what is known of a way. What was tried by the same proxy shortly before,
// in vain by the other family, was not the proxy's fault.
func (f *families) worked(w way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for _, w := range []way{w, w.all()} {
		delete(f.hosts, w)
		if b := f.hosts[w.other()]; b != nil && !b.tried.IsZero() && now.Sub(b.tried) < behindFirst {
			b.put(now)
		}
	}
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
	for _, w := range []way{w.all(), w} {
		if b := f.hosts[w]; b != nil && f.now().Before(b.until) {
			return b
		}
	}
	return nil
}

// order gives the addresses of a host in the order in which they are tried, by a proxy or
// from here, and says why if that is not the usual one: the families in turn, IPv6 first.
func (f *families) order(by, host string, addrs []netip.Addr) (out []netip.Addr, why string) {
	four, six := dnsx.ByFamily(addrs)
	if len(four) == 0 || len(six) == 0 {
		return addrs, ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	worse := way{by, host, true}
	b, other := f.avoided(worse), f.avoided(worse.other())
	switch {
	case (b == nil) == (other == nil):
		return dnsx.Interleave(four, six), ""
	case b != nil:
		out = append(append(out, four...), six...)
	default:
		out, b, worse = append(append(out, six...), four...), other, worse.other()
	}
	return out, fmt.Sprintf("%s last until %s: %s", worse, b.until.UTC().Format("15:04 MST"), b.why)
}

// unicast tells of an address that one machine may have, as far as it can be told without a
// zone: DNS of strangers may name anything, and of some our kernel says that there is no way.
func unicast(a netip.Addr) bool {
	if a.IsUnspecified() || a.IsMulticast() {
		return false
	}
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first < 240 // RFC 1122 §3.2.1.3, RFC 1112 §4
	}
	return !a.IsLinkLocalUnicast()
}
