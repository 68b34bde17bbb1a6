// Package source decides from which of our addresses a message goes out.
package source

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// Pool is addresses that messages of one kind leave by.
type Pool struct {
	Name     string `json:"name"`
	Overflow string `json:"overflow,omitempty"` // the pool that takes what the warm-up does not allow
	WarmUp   []int  `json:"warm_up,omitempty"`  // messages a day to one provider; empty = DefaultWarmUp
	// Addresses are those that it has; Add and List know them.
	Addresses []Address `json:"addresses,omitempty"`
}

// Address is one of ours.
type Address struct {
	Pool   string     `json:"pool"`
	Addr   netip.Addr `json:"address"`
	EHLO   string     `json:"ehlo,omitempty"`  // the name that it goes by; empty = the server's
	Weight int        `json:"weight"`          // its share of the connections among those of its pool
	Since  int64      `json:"since,omitempty"` // microseconds: its warm-up began; 0 = it is warmed
}

// Options are what a Store is made of.
type Options struct {
	DB     db.DB
	Logger *slog.Logger
	Now    func() time.Time       // nil = the machine's clock
	Steady func() time.Duration   // since any moment, only grows; nil = the machine's
	Below  func(n int) int        // a number from 0 to n-1 by chance; nil = math/rand
	Bind   func(netip.Addr) error // says whether this machine has an address; nil = it is tried
}

// Store knows the pools. It may be used by many goroutines.
type Store struct {
	o       Options
	started time.Time             // where Steady was at 0, by Now
	state   atomic.Pointer[state] // nil = there are no pools

	mu     sync.Mutex
	pairs  map[pair]*progress
	broken map[netip.Addr]outage
}

// state is the pools and the rules as they are set. It does not change.
type state struct {
	pools     map[string]*Pool
	addresses map[netip.Addr]*Address
	rules     map[subject]string
}

// Open reads the pools, the rules and how far the warm-up is.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Steady == nil {
		begin := time.Now()
		o.Steady = func() time.Duration { return time.Since(begin) }
	}
	if o.Below == nil {
		o.Below = rand.IntN
	}
	if o.Bind == nil {
		o.Bind = bind
	}
	s := &Store{o: o, started: o.Now().Add(-o.Steady()), pairs: map[pair]*progress{}, broken: map[netip.Addr]outage{}}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("source addresses: %w", err)
	}
	return s, s.loadSent(ctx)
}

// bind finds out whether this machine has an address.
func bind(a netip.Addr) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return err
	}
	return l.Close()
}

var (
	selectPools     = db.SQL("SELECT name, overflow, warmup FROM source_pool ORDER BY name")
	selectAddresses = db.SQL("SELECT address, pool, ehlo, weight, since FROM source_address ORDER BY pool, address")
	selectRules     = db.SQL("SELECT kind, name, pool FROM source_rule")
)

// load takes over what is set.
func (s *Store) load(ctx context.Context) error {
	var st *state
	err := s.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		st, err = read(tx)
		return err
	})
	if err != nil {
		return err
	}
	if len(st.pools) == 0 {
		st = nil
	}
	s.state.Store(st)
	return nil
}

func read(tx *db.Tx) (*state, error) {
	st := &state{pools: map[string]*Pool{}, addresses: map[netip.Addr]*Address{}, rules: map[subject]string{}}
	each := func(query db.Stmt, scan func(db.Rows) error) error {
		rows, err := tx.Query(query)
		if err != nil {
			return err
		}
		return db.Each(rows, scan)
	}
	err := each(selectPools, func(r db.Rows) error {
		p, warmup := new(Pool), ""
		err := r.Scan(&p.Name, &p.Overflow, &warmup)
		p.WarmUp, _ = ParseWarmUp(warmup) // what is stored was checked
		st.pools[p.Name] = p
		return err
	})
	if err == nil {
		err = each(selectAddresses, func(r db.Rows) error { return st.scanAddress(r) })
	}
	if err == nil {
		err = each(selectRules, func(r db.Rows) error {
			var key subject
			var pool string
			err := r.Scan(&key.kind, &key.name, &pool)
			st.rules[key] = pool
			return err
		})
	}
	return st, err
}

func (st *state) scanAddress(r db.Rows) error {
	a, text := new(Address), ""
	if err := r.Scan(&text, &a.Pool, &a.EHLO, &a.Weight, &a.Since); err != nil {
		return err
	}
	var err error
	if a.Addr, err = netip.ParseAddr(text); err != nil {
		return err
	}
	if p := st.pools[a.Pool]; p != nil {
		p.Addresses = append(p.Addresses, *a)
		st.addresses[a.Addr] = a
	}
	return nil
}

// For names the pool that a message leaves by, "" = none: by whatever address the
// system takes.
func (s *Store) For(m *queue.Message) string {
	st := s.state.Load()
	if st == nil {
		return ""
	}
	return st.poolOf(Sender{Tags: m.Tags, Account: m.Account, Stream: m.Stream, Tenant: m.Tenant})
}

// ForSender is For by what is known of a sender alone.
func (s *Store) ForSender(from Sender) string {
	st := s.state.Load()
	if st == nil {
		return ""
	}
	return st.poolOf(from)
}

// Sender is what rules look at.
type Sender struct {
	Tags            []string
	Account, Tenant mail.ID
	Stream          string
}
