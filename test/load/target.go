package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ErrNotLoopback says that an address leads out of this machine.
var ErrNotLoopback = errors.New("not a loopback address")

// Target is an address that is known to be on this machine.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // a literal "ip:port", or a path
}

// ParseTarget accepts "host:port", "unix:/path" and "/path". A name is resolved
// here, once, and all its addresses must be loopback; the Target holds the
// address and not the name, so a later look-up cannot lead elsewhere.
func ParseTarget(ctx context.Context, addr string) (Target, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok && path != "" {
		return Target{Network: "unix", Address: path}, nil
	}
	if strings.HasPrefix(addr, "/") {
		return Target{Network: "unix", Address: addr}, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return Target{}, fmt.Errorf("address %q: %w", addr, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return Target{}, fmt.Errorf("address %q: the port must be a number up to 65535", addr)
	}
	if host == "" {
		return Target{}, fmt.Errorf("address %q has no host: %w", addr, ErrNotLoopback)
	}
	ip, err := resolveLoopback(ctx, host)
	if err != nil {
		return Target{}, fmt.Errorf("address %q: %w", addr, err)
	}
	return Target{Network: "tcp", Address: net.JoinHostPort(ip.String(), port)}, nil
}

func resolveLoopback(ctx context.Context, host string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return onlyLoopback([]netip.Addr{ip})
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return onlyLoopback(ips)
}

// onlyLoopback returns the first IPv4 address, else the first one, if all are
// loopback: 127.0.0.0/8 or ::1.
func onlyLoopback(ips []netip.Addr) (netip.Addr, error) {
	var chosen netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		if !ip.IsLoopback() {
			return netip.Addr{}, fmt.Errorf("%s: %w", ip, ErrNotLoopback)
		}
		if !chosen.IsValid() || (ip.Is4() && !chosen.Is4()) {
			chosen = ip
		}
	}
	if !chosen.IsValid() {
		return netip.Addr{}, fmt.Errorf("no address found: %w", ErrNotLoopback)
	}
	return chosen, nil
}

// Dial connects within the timeout.
func (t Target) Dial(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(ctx, t.Network, t.Address)
}

// Listen opens a listener there; port 0 takes a free one.
func (t Target) Listen(ctx context.Context) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // four system calls for each connection
	return lc.Listen(ctx, t.Network, t.Address)
}

func (t Target) String() string {
	if t.Network == "unix" {
		return "unix:" + t.Address
	}
	return t.Address
}
