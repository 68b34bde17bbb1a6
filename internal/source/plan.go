package source

import (
	"cmp"
	"slices"
	"time"
)

// Plan is how far the warm-up of an address with a provider is, and how it goes on.
type Plan struct {
	Pool     string `json:"pool"`
	Address  string `json:"address"`
	Provider string `json:"provider,omitempty"` // empty = any that it has brought nothing yet
	Day      int    `json:"day"`                // of the schedule, from 1
	Days     int    `json:"days"`
	Budget   int    `json:"budget"` // messages today
	Sent     int    `json:"sent"`   // today, and those under way
	// Ahead is what the next days allow, and Ends the first day on which nothing
	// bounds it, if each day uses at least half of what it may.
	Ahead []Day  `json:"ahead,omitempty"`
	Ends  string `json:"ends"` // like 2026-01-31
}

// Day is what one day to come allows.
type Day struct {
	Date   string `json:"date"`
	Budget int    `json:"budget"`
}

// Plans are those of the addresses of a pool, or of all, that are not warmed: for
// each of them first that of a provider that it has brought nothing yet, then those of
// the others by name. ahead is how many days to come are told.
func (s *Store) Plans(pool string, ahead int) ([]Plan, error) {
	st := s.state.Load()
	if pool != "" && (st == nil || st.pools[pool] == nil) {
		return nil, noPool(pool)
	}
	var out []Plan
	now := s.o.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.Pools() {
		if pool != "" && p.Name != pool {
			continue
		}
		for i := range p.Addresses {
			a := &p.Addresses[i]
			if a.Since == 0 {
				continue
			}
			out = append(out, plan(a, "", progress{}, p.schedule(), now, ahead))
			first := len(out)
			for k, known := range s.pairs {
				if today := known.on(dayOf(now), p.schedule()); k.addr == a.Addr && today.step < len(p.schedule()) {
					out = append(out, plan(a, k.provider, today, p.schedule(), now, ahead))
				}
			}
			slices.SortFunc(out[first:], func(a, b Plan) int { return cmp.Compare(a.Provider, b.Provider) })
		}
	}
	return out, nil
}

func plan(a *Address, provider string, p progress, schedule []int, now time.Time, ahead int) Plan {
	out := Plan{Pool: a.Pool, Address: a.Addr.String(), Provider: provider, Day: p.step + 1, Days: len(schedule),
		Budget: schedule[p.step], Sent: p.sent + p.out}
	for i, most := range schedule[p.step+1:] {
		if i == ahead {
			break
		}
		out.Ahead = append(out.Ahead, Day{Date: date(now, i+1), Budget: most})
	}
	out.Ends = date(now, len(schedule)-p.step)
	return out
}

func date(now time.Time, days int) string { return now.AddDate(0, 0, days).Format(time.DateOnly) }

// Offer is an address that a message may leave from, as people are told of it.
type Offer struct {
	Address
	Overflow bool   `json:"overflow,omitempty"` // it is of the pool that takes what the first cannot
	Plan     *Plan  `json:"plan,omitempty"`     // of its warm-up, nil = warmed
	Out      string `json:"out,omitempty"`      // why nothing goes from it now
}

// Offers are the addresses of a pool for a provider, and those of the one that takes
// its overflow.
func (s *Store) Offers(pool, provider string) (out []Offer) {
	st, now := s.state.Load(), s.o.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, p := range st.chain(pool) {
		for i := range p.Addresses {
			a := &p.Addresses[i]
			o := Offer{Address: *a, Overflow: n > 0}
			if b, ok := s.broken[a.Addr]; ok && now.Before(b.until) {
				o.Out = "it cannot be used on this machine: " + b.why
			}
			var today progress
			if known := s.pairs[pair{a.Addr, provider}]; known != nil {
				today = known.on(dayOf(now), p.schedule())
			}
			if a.Since > 0 && today.step < len(p.schedule()) {
				plan := plan(a, provider, today, p.schedule(), now, 0)
				o.Plan = &plan
				if plan.Sent >= plan.Budget && o.Out == "" {
					o.Out = "its warm-up allows no more today"
				}
			}
			out = append(out, o)
		}
	}
	return out
}
