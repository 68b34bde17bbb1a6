package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// wanted is one address that a service asks for, and its socket once it has one.
type wanted struct {
	key     string
	service *Service
	socket  *socket
	fresh   bool // opened by this plan
}

// change is the way from the sockets that are open to those that are asked for.
type change struct {
	wanted   []*wanted
	unwanted []*socket // open, and asked for no more
	moved    []*socket // of those, the ones closed already to make room
}

// plan keeps each open socket that is still asked for. The same address twice
// (port 0) is two sockets.
func plan(open []*socket, services []Service) *change {
	p := &change{unwanted: open}
	for i := range services {
		for _, key := range services[i].Addrs {
			w := &wanted{key: key, service: &services[i]}
			if at := slices.IndexFunc(p.unwanted, func(s *socket) bool { return s.key == key }); at >= 0 {
				w.socket = p.unwanted[at]
				p.unwanted = slices.Delete(p.unwanted, at, at+1)
			}
			p.wanted = append(p.wanted, w)
		}
	}
	return p
}

func (p *change) sockets() []*socket {
	var list []*socket
	for _, w := range p.wanted {
		list = append(list, w.socket)
	}
	return list
}

// carryOut opens what is new. If one fails, all is put back as it was.
func (g *Group) carryOut(ctx context.Context, p *change) error {
	for _, w := range p.wanted {
		if w.socket != nil {
			continue
		}
		s, err := open(ctx, w.key)
		if errors.Is(err, syscall.EADDRINUSE) && g.makeRoom(p, w.key) {
			s, err = open(ctx, w.key)
		}
		if err != nil {
			g.undo(ctx, p)
			return &BindError{Service: w.service.Name, Address: w.key, Err: err}
		}
		w.socket, w.fresh = s, true
	}
	return nil
}

// makeRoom closes the sockets that are asked for no more and that have the
// port of an address that is, as when ":25" becomes "192.0.2.1:25".
func (g *Group) makeRoom(p *change, key string) bool {
	moved := len(p.moved)
	p.unwanted = slices.DeleteFunc(p.unwanted, func(s *socket) bool {
		if !sharesPort(s.key, key) {
			return false
		}
		g.release(s)
		p.moved = append(p.moved, s)
		return true
	})
	return len(p.moved) > moved
}

// undo closes what was opened and opens what was closed.
func (g *Group) undo(ctx context.Context, p *change) {
	for _, w := range p.wanted {
		if w.fresh {
			g.release(w.socket)
		}
	}
	for _, old := range p.moved {
		s, err := open(ctx, old.key)
		if err != nil {
			g.log.Error("an address could not be opened again", "address", old.key, "error", err)
		} else {
			s.service.Store(old.service.Load())
			g.busy.Go(func() { g.accept(s) })
		}
		g.replace(old, s)
	}
}

// replace puts a socket into another's place; nil = nothing.
func (g *Group) replace(old, s *socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.sockets, old)
	if g.sockets = slices.Clone(g.sockets); s == nil {
		g.sockets = slices.Delete(g.sockets, i, i+1)
	} else {
		g.sockets[i] = s
	}
}

func sharesPort(a, b string) bool {
	_, pa, errA := net.SplitHostPort(a)
	_, pb, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && pa == pb
}

// BindError says which address of which service cannot be opened.
type BindError struct {
	Service, Address string
	Err              error
}

// Error is one sentence for the operator.
func (e *BindError) Error() string {
	return fmt.Sprintf("%s cannot listen on %s: %s", e.Service, e.Address, reason(e.Err))
}

func (e *BindError) Unwrap() error { return e.Err }

func reason(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "the address is taken already, by another program or another service"
	case errors.Is(err, syscall.EACCES):
		return "permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	}
	return err.Error()
}

// keepAlive finds peers that are gone within four minutes, without waking
// sleeping phones too often.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 30 * time.Second, Count: 4}
}

// open binds one address.
func open(ctx context.Context, key string) (*socket, error) {
	s := &socket{key: key, closed: make(chan struct{})}
	var address string
	if s.network, address = split(key); s.network == "unix" {
		if err := removeStale(ctx, address); err != nil {
			return nil, err
		}
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	var err error
	if s.ln, err = lc.Listen(ctx, s.network, address); err != nil {
		return nil, err
	}
	if s.network == "unix" {
		if err := os.Chmod(address, 0o660); err != nil {
			return nil, errors.Join(err, s.ln.Close())
		}
	}
	return s, nil
}

// split tells the network of an address. All addresses are IPv4 and IPv6 as
// ":port", and one of the two as "0.0.0.0:port" or "[::]:port".
func split(key string) (network, address string) {
	if path, unix := strings.CutPrefix(key, "unix:"); unix {
		return "unix", path
	}
	switch host, _, _ := net.SplitHostPort(key); host { // Listen tells what is wrong with it
	case "0.0.0.0":
		return "tcp4", key
	case "::":
		return "tcp6", key
	}
	return "tcp", key
}

// removeStale removes a socket file that a killed process left behind. A file
// that is no socket, or that somebody listens on, stays.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is no socket is in its place")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close() // it told what we asked
		return syscall.EADDRINUSE
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}
