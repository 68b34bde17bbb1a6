package source

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// brokenFor is how long an address is left out that this machine does not have.
const brokenFor = 5 * time.Minute

// spreadOver is how many seconds behind midnight those come back who wait for it.
const spreadOver = 60 * 60

// outage is an address that could not be used.
type outage struct {
	until time.Time
	why   string
}

// None says that a pool has no address for a connection now. Nothing of it is the
// other side's fault.
type None struct {
	Fault *mail.Fault
	Wait  time.Duration // until it may have one; 0 = it is not known
}

func (n *None) Error() string { return n.Fault.Error() }

// Families are those of which something has addresses.
type Families struct{ Four, Six bool }

// Has tells whether an address is of one of them.
func (f Families) Has(a netip.Addr) bool { return a.Is4() && f.Four || a.Is6() && f.Six }

// Families tells of which families a pool itself has addresses, and of which it has with the
// one that takes what it cannot. While none of its own may send to a provider, those of both
// count as its own.
func (s *Store) Families(pool, provider string) (own, all Families) {
	chain := s.state.Load().chain(pool)
	for n, p := range chain {
		for i := range p.Addresses {
			six := p.Addresses[i].Addr.Is6()
			all.Four, all.Six = all.Four || !six, all.Six || six
		}
		if n == 0 {
			own = all
		}
	}
	if len(chain) > 1 && !s.sends(chain[0], provider, func(netip.Addr) bool { return true }) {
		own = all
	}
	return own, all
}

// sends tells whether an address of a pool itself may send to a provider now.
func (s *Store) sends(p *Pool, provider string, family func(netip.Addr) bool) bool {
	now, st := s.o.Now(), s.state.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	able, _ := s.able(st, p, provider, now, family, new(missing))
	return len(able) > 0
}

// Every tells whether something is so of each address of a family from which mail leaves, by
// whatever pool; of the one that is not valid too, which the system chooses, where not
// everyone's mail has a pool.
func (s *Store) Every(four bool, is func(netip.Addr) bool) bool {
	st := s.state.Load()
	if st == nil || st.poolOf(Sender{}) == "" && !is(netip.Addr{}) {
		return false
	}
	for a := range st.addresses {
		if a.Is4() == four && !is(a) {
			return false
		}
	}
	return true
}

// chain is a pool and the one that takes what it cannot.
func (st *state) chain(pool string) (out []*Pool) {
	if st == nil {
		return nil
	}
	if p := st.pools[pool]; p != nil {
		out = append(out, p)
		if over := st.pools[p.Overflow]; over != nil {
			out = append(out, over)
		}
	}
	return out
}

// Choose gives the address for a new connection of a pool to a provider at an
// address of one family, by the weights of those that may send now: of the pool, or
// else of the one that takes what it cannot. The one that is wished for goes before
// weights; it may be none. The error is a *None.
func (s *Store) Choose(pool, provider string, to, wished netip.Addr) (Address, error) {
	return s.choose(pool, provider, wished, func(a netip.Addr) bool { return a.Is4() == to.Is4() })
}

// Ready tells whether a pool has an address for a connection to a provider at all.
// The error is a *None.
func (s *Store) Ready(pool, provider string) error {
	_, err := s.choose(pool, provider, netip.Addr{}, func(netip.Addr) bool { return true })
	return err
}

func (s *Store) choose(pool, provider string, wished netip.Addr, family func(netip.Addr) bool) (Address, error) {
	now := s.o.Now()
	st := s.state.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	var found missing
	for _, p := range st.chain(pool) {
		able, total := s.able(st, p, provider, now, family, &found)
		if i := slices.IndexFunc(able, func(a *Address) bool { return a.Addr == wished }); i >= 0 {
			return *able[i], nil
		}
		if len(able) > 0 {
			return *pick(able, s.o.Below(total)), nil
		}
	}
	return Address{}, s.none(found, pool, provider, now)
}

// able are the addresses of a pool that may send to a provider now, with the sum of their
// weights; found learns of the others. s.mu is held.
func (s *Store) able(st *state, p *Pool, provider string, now time.Time, family func(netip.Addr) bool, found *missing) (able []*Address, total int) {
	for i := range p.Addresses {
		a := &p.Addresses[i]
		if !family(a.Addr) {
			continue
		}
		found.any = true
		if b, ok := s.broken[a.Addr]; ok && now.Before(b.until) {
			found.broken = append(found.broken, a.Addr.String()+": "+b.why)
			if found.repaired.IsZero() || b.until.Before(found.repaired) {
				found.repaired = b.until
			}
			continue
		}
		if left, most := s.left(st, a, provider, now); left <= 0 {
			found.spent += most
			continue
		}
		able = append(able, a)
		total += a.Weight
	}
	return able, total
}

// pick is the one whose weights contain n.
func pick(able []*Address, n int) *Address {
	for _, a := range able {
		if n -= a.Weight; n < 0 {
			return a
		}
	}
	return able[len(able)-1]
}

// missing is why no address was found.
type missing struct {
	any      bool
	broken   []string
	repaired time.Time // when the first of the broken ones may be tried again
	spent    int       // messages that were allowed today
}

// none says why no address was found. Where some have spent their day and others are
// broken, the first that may come back counts.
func (s *Store) none(m missing, pool, provider string, now time.Time) *None {
	if !m.any {
		return &None{Fault: mail.Temporary(mail.NoRoute, "The pool "+pool+" has no source address for this connection")}
	}
	broken := strings.Join(m.broken, "; ")
	if m.spent == 0 {
		return &None{Wait: m.repaired.Sub(now), Fault: mail.Temporary(mail.NoRoute,
			"No source address of the pool "+pool+" can be used on this machine: "+broken)}
	}
	opens := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	why := fmt.Sprintf("The source addresses of the pool %s have sent what their warm-up allows to %s today: %d; more at %s UTC",
		pool, provider, m.spent, opens.Format("2006-01-02 15:04"))
	// Who waits does not come back all at the same moment.
	wait := opens.Sub(now) + time.Duration(s.o.Below(spreadOver))*time.Second
	if len(m.broken) > 0 {
		why += "; others cannot be used on this machine: " + broken
		wait = min(wait, m.repaired.Sub(now))
	}
	return &None{Wait: wait, Fault: mail.Temporary(mail.Congestion, why)}
}

// Broken takes an address out for a while that this machine does not have.
func (s *Store) Broken(a netip.Addr, why string) {
	s.o.Logger.Error("a source address cannot be used on this machine, others take its place for now", "address", a, "for", brokenFor, "error", why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[a] = outage{until: s.o.Now().Add(brokenFor), why: why}
}

// Fits tells whether a connection from an address may take one more message of a
// pool to a provider: one of the overflow only while the pool itself has none for it.
func (s *Store) Fits(pool, provider string, a netip.Addr) bool {
	st := s.state.Load()
	for n, p := range st.chain(pool) {
		for i := range p.Addresses {
			if own := &p.Addresses[i]; own.Addr == a {
				return s.room(st, own, provider) && (n == 0 || !s.sends(st.pools[pool], provider, func(b netip.Addr) bool { return b.Is4() == a.Is4() }))
			}
		}
	}
	return false
}

func (s *Store) room(st *state, a *Address, provider string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left, _ := s.left(st, a, provider, s.o.Now())
	return left > 0
}
