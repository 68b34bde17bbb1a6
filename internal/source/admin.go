package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Bounds of what is set, and so of what is held in memory.
const (
	maxPools     = 1000
	maxAddresses = 10_000
	maxRules     = 10_000
	maxWeight    = 1000
	maxName      = 64
)

var (
	upsertPool    = db.Insert{Into: "source_pool", Columns: []string{"name", "overflow", "warmup"}, Conflict: "ON CONFLICT (name) DO UPDATE SET overflow = excluded.overflow, warmup = excluded.warmup"}
	upsertAddress = db.Insert{Into: "source_address", Columns: []string{"address", "pool", "ehlo", "weight", "since"},
		Conflict: "ON CONFLICT (address) DO UPDATE SET pool = excluded.pool, ehlo = excluded.ehlo, weight = excluded.weight, since = excluded.since"}
	upsertRule    = db.Insert{Into: "source_rule", Columns: []string{"kind", "name", "pool"}, Conflict: "ON CONFLICT (kind, name) DO UPDATE SET pool = excluded.pool"}
	deletePool    = db.SQL("DELETE FROM source_pool WHERE name = ?")
	deleteOfPool  = db.SQL("DELETE FROM source_address WHERE pool = ?")
	deleteSentOf  = db.SQL("DELETE FROM source_sent WHERE address IN (SELECT address FROM source_address WHERE pool = ?)")
	deleteAddress = db.SQL("DELETE FROM source_address WHERE address = ?")
	deleteSent    = db.SQL("DELETE FROM source_sent WHERE address = ?")
	deleteRule    = db.SQL("DELETE FROM source_rule WHERE kind = ? AND name = ?")
)

// Pools are the pools by name, with their addresses.
func (s *Store) Pools() []Pool {
	st := s.state.Load()
	if st == nil {
		return nil
	}
	var out []Pool
	for _, name := range slices.Sorted(maps.Keys(st.pools)) {
		out = append(out, *st.pools[name])
	}
	return out
}

// Rules are the rules in the order in which they count.
func (s *Store) Rules() []Rule {
	st := s.state.Load()
	if st == nil {
		return nil
	}
	var out []Rule
	for _, kind := range Kinds() {
		first := len(out)
		for key, pool := range st.rules {
			if key.kind == kind {
				out = append(out, Rule{Kind: kind, Name: key.name, Pool: pool})
			}
		}
		slices.SortFunc(out[first:], func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// change writes under the eyes of what is set, and takes over the result.
func (s *Store) change(ctx context.Context, write func(tx *db.Tx, st *state) error) error {
	err := s.o.DB.Write(ctx, func(tx *db.Tx) error {
		st, err := read(tx)
		if err != nil {
			return err
		}
		return write(tx, st)
	})
	if err != nil {
		return err
	}
	return s.load(ctx)
}

// PoolChange is a pool that is added, or what changes of one; nil = it stays, or is empty
// of a new one.
type PoolChange struct {
	Name     string  `json:"name"`
	Overflow *string `json:"overflow,omitempty"`
	WarmUp   *string `json:"warm_up,omitempty"` // see ParseWarmUp
}

// SetPool adds a pool, or changes one, and returns what holds then; its addresses stay as
// they are.
func (s *Store) SetPool(ctx context.Context, in PoolChange) (p Pool, err error) {
	if !named(in.Name) {
		return p, fmt.Errorf("%q cannot be the name of a pool: use up to %d letters, digits, dots, hyphens and underscores", in.Name, maxName)
	}
	err = s.change(ctx, func(tx *db.Tx, st *state) (err error) {
		p = Pool{Name: in.Name}
		if old := st.pools[in.Name]; old != nil {
			p = *old
		}
		if in.Overflow != nil {
			p.Overflow = *in.Overflow
		}
		if in.WarmUp != nil {
			if p.WarmUp, err = ParseWarmUp(*in.WarmUp); err != nil {
				return err
			}
		}
		switch {
		case p.Overflow == p.Name:
			return errors.New("a pool cannot take its own overflow: name another one")
		case p.Overflow != "" && st.pools[p.Overflow] == nil:
			return noPool(p.Overflow)
		case st.pools[p.Name] == nil && len(st.pools) >= maxPools:
			return fmt.Errorf("there are %d pools already: remove some first", maxPools)
		}
		return tx.Insert(upsertPool, []any{p.Name, p.Overflow, FormatWarmUp(p.WarmUp)})
	})
	return p, err
}

func named(name string) bool {
	return len(name) <= maxName && regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(name)
}

func noPool(name string) error {
	return fmt.Errorf("there is no pool %q: 'hayauma source pool add %s' makes it", name, name)
}

// RemovePool removes a pool with its addresses, if nothing leads to it.
func (s *Store) RemovePool(ctx context.Context, name string) error {
	var gone []Address
	err := s.change(ctx, func(tx *db.Tx, st *state) error {
		if st.pools[name] == nil {
			return noPool(name)
		}
		gone = st.pools[name].Addresses
		for key, pool := range st.rules {
			if pool == name {
				who := string(key.kind) + " " + key.name
				if key.kind != Tag && key.kind != Stream {
					who = "a rule by --" + string(key.kind) // its name is an id
				}
				return fmt.Errorf("the pool %s is still that of %s: 'hayauma source rule list' shows it; remove that rule first", name, who)
			}
		}
		for _, p := range st.pools {
			if p.Overflow == name {
				return fmt.Errorf("the pool %s still takes the overflow of %s: give that another one first", name, p.Name)
			}
		}
		for _, stmt := range []db.Stmt{deleteSentOf, deleteOfPool, deletePool} {
			if _, err := tx.Exec(stmt, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range gone {
		s.unlearn(a.Addr)
	}
	return nil
}

// Addition is an address that comes to a pool, or what changes of it there; nil = it stays,
// or is as by default of a new one.
type Addition struct {
	Pool    string  `json:"pool"`
	Address string  `json:"address"`
	EHLO    *string `json:"ehlo,omitempty"`
	Weight  *int    `json:"weight,omitempty"`  // by default 1
	WarmUp  *bool   `json:"warm_up,omitempty"` // it is new to those whom it brings mail; by default it is not
}

// apply changes an address to what was given.
func (in Addition) apply(a *Address, now time.Time) error {
	if in.EHLO != nil {
		a.EHLO = ""
	}
	if in.EHLO != nil && *in.EHLO != "" {
		name, err := mail.ParseDomain(*in.EHLO)
		if err != nil {
			return fmt.Errorf("%q is no name for EHLO: %w", *in.EHLO, err)
		}
		a.EHLO = name.ASCII
	}
	if in.Weight != nil {
		a.Weight = *in.Weight
	}
	if a.Weight < 1 || a.Weight > maxWeight {
		return fmt.Errorf("weight %d: use a number from 1 to %d", a.Weight, maxWeight)
	}
	switch {
	case in.WarmUp == nil:
	case !*in.WarmUp:
		a.Since = 0
	case a.Since == 0:
		a.Since = mail.Micros(now)
	}
	return nil
}

// AddAddress adds an address to a pool, or changes it, and returns what holds then. Its
// warm-up goes on where it was.
func (s *Store) AddAddress(ctx context.Context, in Addition) (a Address, err error) {
	addr, err := parseAddr(in.Address)
	if err != nil {
		return a, err
	}
	if err := s.o.Bind(addr); err != nil {
		return a, fmt.Errorf("this machine cannot send from %s: %w; give the address to one of its interfaces first", addr, err)
	}
	err = s.change(ctx, func(tx *db.Tx, st *state) error {
		a = Address{Pool: in.Pool, Addr: addr, Weight: 1}
		old := st.addresses[addr]
		switch {
		case st.pools[in.Pool] == nil:
			return noPool(in.Pool)
		case old != nil && old.Pool != in.Pool:
			return fmt.Errorf("%s is in the pool %s already: remove it there first", addr, old.Pool)
		case old == nil && len(st.addresses) >= maxAddresses:
			return fmt.Errorf("there are %d addresses already: remove some first", maxAddresses)
		case old != nil:
			a = *old
		}
		if err := in.apply(&a, s.o.Now()); err != nil {
			return err
		}
		if a.Since == 0 {
			if _, err := tx.Exec(deleteSent, addr.String()); err != nil {
				return err
			}
		}
		return tx.Insert(upsertAddress, []any{addr.String(), a.Pool, a.EHLO, a.Weight, a.Since})
	})
	if err != nil {
		return a, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.broken, addr)
	if a.Since == 0 {
		s.unlearn(addr)
	}
	return a, nil
}

// unlearn forgets the warm-up of an address. s.mu is held.
func (s *Store) unlearn(addr netip.Addr) {
	maps.DeleteFunc(s.pairs, func(k pair, _ *progress) bool { return k.addr == addr })
}

func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	addr = addr.Unmap()
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
		return addr, fmt.Errorf("%q is no address of one machine: write it like 192.0.2.7 or 2001:db8::7", text)
	}
	return addr, nil
}

// RemoveAddress takes an address out of its pool and forgets its warm-up. Connections
// that are open serve no more messages.
func (s *Store) RemoveAddress(ctx context.Context, text string) error {
	addr, err := parseAddr(text)
	if err != nil {
		return err
	}
	err = s.change(ctx, func(tx *db.Tx, st *state) error {
		if st.addresses[addr] == nil {
			return fmt.Errorf("%s is in no pool", addr)
		}
		_, err := tx.Exec(deleteSent, addr.String())
		if err == nil {
			_, err = tx.Exec(deleteAddress, addr.String())
		}
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlearn(addr)
	return nil
}

// SetRule says which pool some messages leave by.
func (s *Store) SetRule(ctx context.Context, r Rule) error {
	if err := r.check(); err != nil {
		return err
	}
	return s.change(ctx, func(tx *db.Tx, st *state) error {
		switch {
		case st.pools[r.Pool] == nil:
			return noPool(r.Pool)
		case st.rules[subject{r.Kind, r.Name}] == "" && len(st.rules) >= maxRules:
			return fmt.Errorf("there are %d rules already: remove some first", maxRules)
		}
		return tx.Insert(upsertRule, []any{string(r.Kind), r.Name, r.Pool})
	})
}

// RemoveRule takes back a rule; false if there was none.
func (s *Store) RemoveRule(ctx context.Context, r Rule) (had bool, err error) {
	if err := r.check(); err != nil {
		return false, err
	}
	err = s.change(ctx, func(tx *db.Tx, st *state) error {
		n, err := tx.Exec(deleteRule, string(r.Kind), r.Name)
		had = n > 0
		return err
	})
	return had, err
}

// Erase removes the rule of an account in the commit that ends it.
func (s *Store) Erase(tx *db.Tx, account mail.ID) error {
	n, err := tx.Exec(deleteRule, string(Account), account.String())
	if err != nil || n == 0 {
		return err
	}
	tx.OnCommit(func() {
		st := s.state.Load()
		if st == nil {
			return
		}
		next := *st
		next.rules = maps.Clone(st.rules)
		delete(next.rules, subject{Account, account.String()})
		s.state.CompareAndSwap(st, &next) // who changed it meanwhile has read the rows, or names nobody
	})
	return nil
}
