package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// maxHosts and maxAddresses bound what one attempt tries (RFC 5321 §5.1
	// asks for at least two addresses): hosts that have an address, and the
	// addresses of all together.
	maxHosts     = 10
	maxAddresses = 10
	// maxLookedUp bounds the hosts whose addresses are asked for.
	maxLookedUp = 20
)

// exchanger is one host that takes mail for a site.
type exchanger struct {
	name       string
	domain     string // whose MX it is: the site, or the name at the end of its aliases
	preference uint16
	weight     int          // among those of a route
	socket     string       // its path, of a host that is one
	port       int          // 0 = that of the settings
	addrs      []netip.Addr // known already; empty = to be looked up
	implicit   bool         // the domain has no MX
	known      bool         // its name is the operator's or the domain's own, or proven by DNSSEC
}

// route returns the hosts to try, most preferred first.
func (o *Outbound) route(ctx context.Context, site string, set terms) ([]exchanger, *mail.Fault) {
	switch {
	case set.lost != nil:
		return nil, set.lost
	case set.via != nil:
		return set.via.exchangers()
	}
	domain := mail.Domain{ASCII: site}
	if addr, ok := domain.Literal(); ok {
		return []exchanger{{name: site, addrs: []netip.Addr{addr.Unmap()}, known: true}}, nil
	}
	records, err := o.o.Resolver.MX(ctx, site)
	switch {
	case errors.Is(err, dnsx.ErrNoData):
		// RFC 5321 §5.1: no MX is an implicit one that points at the host.
		return []exchanger{{name: site, known: true, implicit: true}}, nil
	case errors.Is(err, dnsx.ErrNotFound):
		return nil, mail.Final(mail.NoSuchSystem, "The domain "+site+" does not exist")
	case err != nil:
		return nil, mail.Temporary(mail.DirectoryFailure, "The mail exchangers of "+site+" cannot be looked up for now").Because(err)
	}
	return o.exchangers(site, records)
}

// exchangers puts MX records in the order of RFC 5321 §5.1.
func (o *Outbound) exchangers(site string, records []dnsx.MX) ([]exchanger, *mail.Fault) {
	out := make([]exchanger, 0, len(records))
	for _, mx := range records {
		if mx.Host != "" {
			out = append(out, exchanger{name: mx.Host, domain: mx.Domain, preference: mx.Preference, known: mx.Secure})
		}
	}
	if len(out) == 0 { // RFC 7505 §3
		return nil, mail.Final(mail.NullMX, "The domain "+site+" accepts no mail (null MX)")
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b exchanger) int { return cmp.Compare(a.preference, b.preference) })
	// RFC 5321 §5.1: where we are listed ourselves, we and all that are not
	// preferred to us are no way.
	ours := strings.ToLower(o.o.Hostname())
	if i := slices.IndexFunc(out, func(e exchanger) bool { return e.name == ours }); i >= 0 {
		return cutAt(out, out[i].preference, site)
	}
	return out, nil
}

func cutAt(list []exchanger, preference uint16, site string) ([]exchanger, *mail.Fault) {
	list = slices.DeleteFunc(list, func(e exchanger) bool { return e.preference >= preference })
	if len(list) == 0 {
		return nil, loop(site)
	}
	return list, nil
}

// target is one address to connect to.
type target struct {
	host       string
	addr       netip.AddrPort
	preference uint16
	known      bool   // see exchanger
	socket     string // see exchanger
	domain     string
	source     netip.Addr // of a connection that there is or was
}

// String is the address as people read it.
func (t target) String() string {
	if t.socket != "" {
		return t.socket
	}
	return t.addr.String()
}

func (e exchanger) target(at netip.AddrPort) target {
	return target{host: e.name, addr: at, preference: e.preference, known: e.known, socket: e.socket, domain: e.domain}
}

// resolved is what the look-up of one host gave.
type resolved struct {
	exchanger
	targets []target
	order   string // why the families are not in the usual order, or empty
	ours    bool   // one of them is a listener of this server
	fault   *mail.Fault
}

// resolve returns the addresses of a host in the order in which they are tried.
func (o *Outbound) resolve(ctx context.Context, e exchanger, set terms) resolved {
	if e.socket != "" {
		return resolved{exchanger: e, targets: []target{e.target(netip.AddrPort{})}}
	}
	addrs := e.addrs
	if len(addrs) == 0 {
		var err error
		addrs, err = o.addresses(ctx, e.name, set)
		switch {
		case errors.Is(err, errIPv6Only):
			return resolved{exchanger: e, fault: mail.Temporary(mail.NoRoute, set.host(e.name)+" has IPv6 addresses alone, to which this server sends no mail (outbound.ipv6)")}
		case errors.Is(err, dnsx.ErrNotFound), errors.Is(err, dnsx.ErrNoData):
			return resolved{exchanger: e, fault: mail.Final(mail.NoRoute, set.host(e.name)+" has no address").Because(err)}
		case err != nil:
			return resolved{exchanger: e, fault: mail.Temporary(mail.DirectoryFailure, "The address of "+e.name+" cannot be looked up for now").Because(err)}
		}
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !unicast(a) })
	if len(addrs) == 0 {
		return resolved{exchanger: e, fault: mail.Final(mail.NoRoute, set.host(e.name)+" has no address that a machine can have").Because(errNoUnicast)}
	}
	r := resolved{exchanger: e}
	addrs, r.order = o.families.order(set.proxy(), e.name, addrs)
	if set.IPv4Only && len(e.addrs) == 0 {
		r.order = "IPv4 alone, by outbound.ipv6"
	}
	for _, addr := range addrs {
		at := netip.AddrPortFrom(addr, uint16(cmp.Or(e.port, set.Port)))
		r.ours = r.ours || o.o.IsOurs(at)
		r.targets = append(r.targets, e.target(at))
	}
	return r
}

var (
	errIPv6Only  = errors.New("the host has IPv6 addresses alone")
	errNoUnicast = errors.New("the host has multicast or reserved addresses alone")
)

// addresses asks DNS for the addresses of a host. Where mail goes out by IPv4 alone, a
// host is asked for IPv6 ones only to tell it from one that has none at all.
func (o *Outbound) addresses(ctx context.Context, host string, set terms) ([]netip.Addr, error) {
	if !set.IPv4Only {
		return o.o.Resolver.Addrs(ctx, host)
	}
	four, err := o.o.Resolver.IPv4(ctx, host)
	if !errors.Is(err, dnsx.ErrNoData) {
		return four, err
	}
	if _, err = o.o.Resolver.Addrs(ctx, host); err == nil {
		err = errIPv6Only
	}
	return nil, err
}

// plan is what one attempt may try, in order.
type plan struct {
	hosts   []resolved
	targets []target
	fault   *mail.Fault // of a host without address, if nothing else fails
	aside   bool        // the fault is about us
}

func (o *Outbound) plan(ctx context.Context, site string, set terms) plan {
	hosts, fault := o.survey(ctx, site, set)
	if fault != nil {
		return plan{fault: fault, aside: set.lost != nil}
	}
	return planOf(site, hosts)
}

// planOf puts the addresses of the hosts of a route behind each other.
func planOf(site string, hosts []resolved) plan {
	p := plan{hosts: hosts}
	for _, h := range hosts {
		p.targets = append(p.targets, h.targets...)
		// A host that may still turn up outweighs those that do not exist.
		if h.fault != nil && (p.fault == nil || h.fault.Class == mail.Transient) {
			p.fault = h.fault
		}
	}
	if len(hosts) == 1 && hosts[0].name == site && p.fault != nil && p.fault.Class == mail.Permanent && !errors.Is(p.fault, errNoUnicast) {
		p.fault = mail.Final(mail.NoSuchSystem, fmt.Sprintf("The domain %s has neither a mail exchanger nor an address", site))
	}
	return p
}

// allot leaves the hosts as many addresses as one attempt tries, in turn: one whose ten
// do not answer must not hide the next one.
func allot(hosts []resolved) {
	shares := make([]int, len(hosts))
	for left, more := maxAddresses, true; more; {
		more = false
		for i := range hosts {
			if left > 0 && shares[i] < len(hosts[i].targets) {
				shares[i]++
				left--
				more = true
			}
		}
	}
	for i := range hosts {
		hosts[i].targets = hosts[i].targets[:shares[i]]
	}
}

// survey resolves the hosts of a route. A host that turns out to be ourselves by
// address and port cuts the route like one that is so by name.
func (o *Outbound) survey(ctx context.Context, site string, set terms) ([]resolved, *mail.Fault) {
	list, fault := o.route(ctx, site, set)
	if fault != nil {
		return nil, set.patient(fault)
	}
	hosts := make([]resolved, 0, len(list))
	found := 0
	for i, e := range list {
		if set.via == nil && (found == maxHosts || i == maxLookedUp) {
			if found == 0 { // what is not looked up may be there
				hosts[i-1].fault = mail.Temporary(mail.DirectoryFailure, fmt.Sprintf("None of the first %d mail exchangers of %s has an address", i, site))
			}
			break
		}
		r := o.resolve(ctx, e, set)
		if len(r.targets) > 0 {
			found++
		}
		r.ours = r.ours || o.isUs(e.name, cmp.Or(e.port, set.Port), set)
		r.fault = set.patient(r.fault)
		hosts = append(hosts, r)
		if !r.ours {
			continue
		}
		// Equal preferences were shuffled: those before it go as well.
		for len(hosts) > 0 && hosts[len(hosts)-1].preference >= e.preference {
			hosts = hosts[:len(hosts)-1]
		}
		if len(hosts) == 0 {
			return nil, set.patient(loop(site))
		}
		break
	}
	allot(hosts)
	return hosts, nil
}
