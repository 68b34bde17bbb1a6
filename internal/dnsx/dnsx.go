// Package dnsx asks DNS resolvers and remembers their answers for a while.
package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// What a question can end with, besides an answer. Test with errors.Is.
var (
	ErrNotFound  = errors.New("the name does not exist")
	ErrNoData    = errors.New("the name has no record of this type")
	ErrTemporary = errors.New("the resolver has no answer for now")
)

// Error is a question without an answer.
type Error struct {
	Name, Type string
	Kind       error // ErrNotFound, ErrNoData or ErrTemporary
	Cause      error // for the log, may be nil
}

func (e *Error) Error() string {
	s := fmt.Sprintf("look up %s %s: %v", e.Name, e.Type, e.Kind)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Cause} }

// Options say whom to ask and how.
type Options struct {
	// Server is "addr" or "addr:port"; empty = those of the system.
	Server string
	// TrustAD tells whether the resolver, and the way to it, are trusted to tell
	// what DNSSEC proves (RFC 6840 §5.8). nil = they are not. The resolvers of the
	// system are too if it says so itself ("options trust-ad").
	TrustAD func() bool
	// ResolvConf is where the system names its resolvers; empty = /etc/resolv.conf.
	ResolvConf string
	// Timeout is for one question to one server; 0 = 3 s.
	Timeout time.Duration
	// Entries bounds the answers that are remembered; 0 = 10000.
	Entries int
	// Exchange asks one server over "udp" or "tcp"; nil = the network. Tests
	// answer here without sockets.
	Exchange func(ctx context.Context, network, server string, question *dns.Msg) (*dns.Msg, error)
}

// Resolver may be used by many goroutines.
type Resolver struct {
	o       Options
	system  system
	sockets sockets

	mu      sync.Mutex
	cache   map[key]entry
	flights map[key]*flight
}

type key struct {
	name  string
	qtype uint16
}

// entry is a remembered answer.
type entry struct {
	records []dns.RR
	name    string // whose they are: the name asked for, or the one at the end of its aliases
	secure  bool   // all answers that led to them were proven by DNSSEC
	err     error
	until   time.Time
}

// New returns a Resolver.
func New(o Options) *Resolver {
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Entries <= 0 {
		o.Entries = 10000
	}
	if o.ResolvConf == "" {
		o.ResolvConf = resolvConf
	}
	if o.Server != "" {
		o.Server = withPort(o.Server, "53")
	}
	return &Resolver{o: o, cache: map[key]entry{}, flights: map[key]*flight{}}
}

// Use asks another server from now on, as Options.Server says it, and forgets
// what the old one answered.
func (r *Resolver) Use(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if server != "" {
		server = withPort(server, "53")
	}
	if r.o.Server != server {
		r.o.Server = server
		clear(r.cache)
	}
}

// chosen is the server of the settings, empty for those of the system.
func (r *Resolver) chosen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.o.Server
}

// MX is a mail exchanger of a domain.
type MX struct {
	Host       string // lower case without the final dot; empty = "." (RFC 7505)
	Preference uint16 // the lowest is preferred
	Secure     bool   // proven by DNSSEC, says a resolver that is trusted to know
	Domain     string // whose it is: the domain asked for, or the one at the end of its aliases
}

// MX returns the mail exchangers of a domain, in no order.
func (r *Resolver) MX(ctx context.Context, domain string) ([]MX, error) {
	e := r.lookup(ctx, domain, dns.TypeMX)
	if e.err != nil {
		return nil, e.err
	}
	secure := e.secure && r.Trusted()
	out := make([]MX, 0, len(e.records))
	for _, rr := range e.records {
		if mx, ok := rr.(*dns.MX); ok {
			out = append(out, MX{Host: plain(mx.Mx), Preference: mx.Preference, Secure: secure, Domain: e.name})
		}
	}
	return out, nil
}

// Addrs returns the addresses of a host: IPv6 first, each family in the
// resolver's order. A family whose look-up fails does not matter if the other
// one has an address.
func (r *Resolver) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	asked := r.start(ctx, host, dns.TypeAAAA)
	four, errFour := addrs(r.lookup(ctx, host, dns.TypeA))
	six, errSix := addrs(asked.wait(ctx))
	if len(four)+len(six) > 0 {
		return append(six, four...), nil
	}
	// Only two clear answers say that there is no address.
	for _, kind := range []error{ErrTemporary, ErrNotFound} {
		for _, err := range []error{errFour, errSix} {
			if errors.Is(err, kind) {
				return nil, err
			}
		}
	}
	return nil, errFour
}

// IPv4 returns the IPv4 addresses of a host, in the resolver's order.
func (r *Resolver) IPv4(ctx context.Context, host string) ([]netip.Addr, error) {
	return addrs(r.lookup(ctx, host, dns.TypeA))
}

// Reverse returns the name of a host, "" if it has none that leads back to it:
// anybody can write any name into his own reverse zone.
func (r *Resolver) Reverse(ctx context.Context, addr netip.Addr) (string, error) {
	addr = addr.Unmap()
	name, err := dns.ReverseAddr(addr.WithZone("").String())
	if err != nil {
		return "", fmt.Errorf("reverse name of %v: %w", addr, err)
	}
	e := r.lookup(ctx, name, dns.TypePTR)
	if none(e.err) {
		return "", nil
	}
	if e.err != nil {
		return "", e.err
	}
	family := dns.TypeA
	if addr.Is6() {
		family = dns.TypeAAAA
	}
	for _, rr := range e.records[:min(len(e.records), maxReverse)] {
		ptr, ok := rr.(*dns.PTR)
		if !ok {
			continue
		}
		host := plain(ptr.Ptr)
		back, err := addrs(r.lookup(ctx, host, family))
		if err != nil && !none(err) {
			return "", err
		}
		if slices.Contains(back, addr) {
			return host, nil
		}
	}
	return "", nil
}

func none(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoData) }

// maxReverse bounds the names of one host that are looked at.
const maxReverse = 5

func addrs(e entry) ([]netip.Addr, error) {
	if e.err != nil {
		return nil, e.err
	}
	var out []netip.Addr
	for _, rr := range e.records {
		var addr netip.Addr
		var ok bool
		switch rr := rr.(type) {
		case *dns.A:
			addr, ok = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			addr, ok = netip.AddrFromSlice(rr.AAAA)
		}
		if ok {
			out = append(out, addr.Unmap())
		}
	}
	if len(out) == 0 {
		return nil, ErrNoData
	}
	return out, nil
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// lookup answers from memory or asks.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) entry {
	q := r.begin(name, qtype)
	if q.first {
		return r.fly(ctx, q)
	}
	return q.wait(ctx)
}

// inquiry is a question, or its answer.
type inquiry struct {
	key    key
	answer entry
	flight *flight // nil = answer is known
	first  bool    // nobody has asked it yet: who began it does
}

// flight is a question under way.
type flight struct {
	done   chan struct{} // closed once answer is there; nil = nobody else waits for it
	answer entry
}

// begin asks memory. Equal questions at the same time are asked once.
func (r *Resolver) begin(name string, qtype uint16) inquiry {
	k := key{name: plain(name), qtype: qtype}
	if _, ok := dns.IsDomainName(k.name); !ok || k.name == "" {
		return inquiry{answer: entry{err: &Error{Name: name, Type: dns.TypeToString[qtype], Kind: ErrNotFound}}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.cache[k]; ok && time.Now().Before(e.until) {
		return inquiry{answer: e}
	}
	f, first := r.flights[k], false
	switch {
	case f == nil:
		f, first = new(flight), true
		r.flights[k] = f
	case f.done == nil:
		f.done = make(chan struct{})
	}
	return inquiry{key: k, flight: f, first: first}
}

// start asks beside what its caller goes on with.
func (r *Resolver) start(ctx context.Context, name string, qtype uint16) inquiry {
	q := r.begin(name, qtype)
	if !q.first {
		return q
	}
	waits := r.begin(name, qtype)
	go r.fly(context.WithoutCancel(ctx), q)
	return waits
}

// fly asks. If the asker gives up the question goes on without him: others may wait for
// its answer, and the next one shall find it.
func (r *Resolver) fly(ctx context.Context, q inquiry) entry {
	over := false
	defer func() {
		if !over { // by a panic, of which the others must not hear nothing
			r.land(q, entry{err: &Error{Name: q.key.name, Type: dns.TypeToString[q.key.qtype], Kind: ErrTemporary, Cause: errAsk}})
		}
	}()
	answer := r.ask(ctx, q.key)
	over = true
	if ctx.Err() != nil && errors.Is(answer.err, ErrTemporary) {
		go r.fly(context.WithoutCancel(ctx), q)
		return q.givenUp(ctx)
	}
	r.land(q, answer)
	return answer
}

func (r *Resolver) land(q inquiry, answer entry) {
	r.mu.Lock()
	if len(r.cache) >= r.o.Entries {
		r.evict()
	}
	r.cache[q.key] = answer
	delete(r.flights, q.key)
	q.flight.answer = answer
	done := q.flight.done
	r.mu.Unlock()
	if done != nil {
		close(done)
	}
}

func (q inquiry) wait(ctx context.Context) entry {
	if q.flight == nil {
		return q.answer
	}
	select {
	case <-q.flight.done:
		return q.flight.answer
	default: // an answer that is here counts, even if the asker has given up meanwhile
	}
	select {
	case <-q.flight.done:
		return q.flight.answer
	case <-ctx.Done():
		return q.givenUp(ctx)
	}
}

func (q inquiry) givenUp(ctx context.Context) entry {
	return entry{err: &Error{Name: q.key.name, Type: dns.TypeToString[q.key.qtype], Kind: ErrTemporary, Cause: context.Cause(ctx)}}
}

// evict makes room: what is over goes, and if nothing is, any few do.
func (r *Resolver) evict() {
	now := time.Now()
	for k, e := range r.cache {
		if !now.Before(e.until) {
			delete(r.cache, k)
		}
	}
	for k := range r.cache {
		if len(r.cache) < r.o.Entries-r.o.Entries/10 {
			return
		}
		delete(r.cache, k)
	}
}
