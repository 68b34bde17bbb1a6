package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/source"
)

// localOf is our end of a connection.
func localOf(conn net.Conn) netip.Addr {
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		return local.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func dialFrom(ctx context.Context, from netip.Addr, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: noKeepAlive, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Control: addressOnly}
	return d.DialContext(ctx, network, addr)
}

// unbound tells of an address that this machine does not have.
func unbound(err error) bool {
	call, ok := errors.AsType[*os.SyscallError](err)
	return ok && call.Syscall == "bind"
}

// poolOf names the pool of source addresses that a message leaves by, "" = none.
func (w *worker) poolOf(m *queue.Message) string {
	if w.o.o.Sources == nil || !w.set.pooled() {
		return ""
	}
	return w.o.o.Sources.For(m)
}

// poolKey names idle connections: those of one pool of source addresses carry
// nothing of another.
func poolKey(group, name string) string {
	if group == "" {
		return name
	}
	return group + " " + name
}

func (c *client) hostKey() string { return poolKey(c.group, c.shared) }
func (c *client) siteKey() string { return poolKey(c.group, c.site) }

// from notes the source address that was chosen for a connection.
func (c *client) from(group string, a source.Address) {
	if group != "" {
		c.group, c.ehlo, c.source = group, a.EHLO, a.Addr
	}
}

// sourced gives up a connection from which the message may not go, and says why there
// can be none from which it may.
func (w *worker) sourced() *problem {
	if w.c != nil && !w.fits(w.c) {
		w.leave()
		w.c = nil
	}
	if w.group == "" || w.c != nil {
		return nil
	}
	if err := w.o.o.Sources.Ready(w.group, w.provider); err != nil {
		return w.unopened(target{}, err)
	}
	return nil
}

// fits tells whether the message at hand may leave by a connection as far as its
// source address is concerned.
func (w *worker) fits(c *client) bool {
	return c.group == w.group && (w.group == "" || w.o.o.Sources.Fits(w.group, w.provider, c.source) && !w.strange(c))
}

// strange tells whether a connection is not from the address from which the message was
// greylisted, and a new one to the same host would be.
func (w *worker) strange(c *client) bool {
	if !w.met.IsValid() || c.source == w.met {
		return false
	}
	a, err := w.o.o.Sources.Choose(w.group, w.provider, c.addr.Addr(), w.met)
	return err == nil && a.Addr == w.met
}

// open connects to a target from an address of the message's pool. One that this
// machine does not have is left out, and the next one taken.
func (w *worker) open(ctx context.Context, t target) (net.Conn, source.Address, error) {
	w.tried = netip.Addr{}
	if w.group == "" {
		dial, network, to := w.dialer(), "tcp", t.addr.String()
		if t.socket != "" {
			dial, network, to = w.o.o.Dial, "unix", t.socket
		}
		conn, err := dial(ctx, network, to)
		return conn, source.Address{}, err
	}
	for {
		from, err := w.o.o.Sources.Choose(w.group, w.provider, t.addr.Addr(), w.met)
		if err != nil {
			return nil, from, err
		}
		w.tried = from.Addr
		conn, err := w.o.o.DialFrom(ctx, from.Addr, "tcp", t.addr.String())
		if err == nil || !unbound(err) {
			return conn, from, err
		}
		w.o.o.Sources.Broken(from.Addr, reason(err))
	}
}

// unopened is why there is no connection to a target.
func (w *worker) unopened(t target, err error) *problem {
	if none, ok := errors.AsType[*source.None](err); ok {
		p := finding(none.Fault)
		p.aside, p.wait = true, none.Wait
		return &p
	}
	t.source = w.tried
	if p := w.locked(err); p != nil {
		p.host, p.addr = t.host, t.addr
		return p
	}
	doing := "connect to"
	if by := w.set.proxy(); by != "" && t.socket == "" {
		doing = "connect by the proxy " + by + " to"
	}
	return trouble(t, doing, err)
}

// reachable leaves those targets that an address of a pool can reach: those of its overflow
// count while the pool itself can send nothing, or has none for any of the targets.
func (o *Outbound) reachable(p plan, site, pool, provider string) plan {
	if pool == "" || len(p.targets) == 0 {
		return p
	}
	own, with := o.o.Sources.Families(pool, provider)
	for _, can := range []source.Families{own, with} {
		var left []target
		for _, t := range p.targets {
			if can.Has(t.addr.Addr()) {
				left = append(left, t)
			}
		}
		if len(left) > 0 {
			p.targets = left
			return p
		}
	}
	p.targets, p.aside = nil, true
	p.fault = mail.Temporary(mail.NoRoute, "The hosts of "+site+" have no address of a family of which the pool "+pool+" has a source address")
	return p
}

// take asks whether so many recipients may have the message by a connection, as far as
// the warm-up of its source address is concerned. What counts on a day is to be settled.
func (w *worker) take(c *client, n int) (room int, day int64) {
	if c.group == "" {
		return n, 0
	}
	return w.o.o.Sources.Take(w.provider, c.source, n)
}

// settle gives back what was not delivered; the rest is counted when it is recorded.
func (w *worker) settle(c *client, room int, day int64, done []queue.Outcome) {
	for i := range done {
		if done[i].Result == queue.Delivered {
			done[i].Warming = w.provider
			room--
		}
	}
	w.o.o.Sources.GiveBack(w.provider, c.source, room, day)
}
