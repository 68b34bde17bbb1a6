package source

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/queue"
)

// DefaultWarmUp is how many messages an address that is new to a provider may bring
// it on each day on which it sends, from the first; behind the last it is warmed. A
// message to two recipients counts twice.
//
// Its shape is that of what large senders publish (Twilio SendGrid, "Warming up an
// IP address": from 50 a day, at first doubled each day, over about a month).
func DefaultWarmUp() []int {
	return []int{50, 100, 200, 400, 600, 900, 1300, 1900, 2700, 3800, 5000, 6500, 8500, 11_000, 14_000, 18_000, 23_000, 30_000,
		39_000, 50_000, 65_000, 85_000, 110_000, 140_000, 180_000, 230_000, 300_000, 390_000, 500_000, 650_000}
}

// Bounds of a schedule.
const (
	maxDays = 100
	maxADay = 100_000_000
)

// ParseWarmUp reads a schedule: 50 100 200. Empty = DefaultWarmUp, as nil.
func ParseWarmUp(text string) (out []int, err error) {
	for _, word := range strings.Fields(text) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > maxADay || len(out) == maxDays {
			return nil, fmt.Errorf("warm-up %q: write the messages of each day, up to %d numbers from 1 to %d, as '50 100 200'", text, maxDays, maxADay)
		}
		out = append(out, n)
	}
	return out, nil
}

// FormatWarmUp writes a schedule as ParseWarmUp reads it.
func FormatWarmUp(days []int) string {
	words := make([]string, len(days))
	for i, n := range days {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, " ")
}

func (p *Pool) schedule() []int {
	if len(p.WarmUp) > 0 {
		return p.WarmUp
	}
	return DefaultWarmUp()
}

// pair is an address and a provider: what a warm-up is about.
type pair struct {
	addr     netip.Addr
	provider string
}

// progress is how far the warm-up of a pair is.
type progress struct {
	day  int64 // of sent
	sent int   // recorded
	out  int   // taken that day, neither recorded nor given back; less those of the day before that are in sent
	step int   // of the schedule, that day
}

const secondsPerDay = 24 * 60 * 60

func dayOf(t time.Time) int64 { return t.Unix() / secondsPerDay }

// on is the progress as it stands on a day: it goes one step on if the last day used
// at least half of what it was allowed, so that neither days without mail nor days
// with little of it make an address warm, nor does a clock that jumps ahead, by more than
// one step. One that goes back allows nothing twice: it goes on with the day that it leaves,
// by its new date if it was far ahead, since that is not waited for.
func (p progress) on(day int64, schedule []int) progress {
	switch {
	case day == p.day, day+1 == p.day:
		return p
	case day < p.day:
		p.day = day
		return p
	}
	if p.step < len(schedule) && p.sent*2 >= schedule[p.step] {
		p.step++
	}
	return progress{day: day, step: p.step}
}

// left is how many more messages an address may bring a provider today, and how many
// it may in all. s.mu is held.
func (s *Store) left(st *state, a *Address, provider string, now time.Time) (left, most int) {
	if a.Since == 0 {
		return math.MaxInt, math.MaxInt
	}
	schedule := st.pools[a.Pool].schedule()
	var p progress
	if known := s.pairs[pair{a.Addr, provider}]; known != nil {
		p = known.on(dayOf(now), schedule)
	}
	if p.step >= len(schedule) {
		return math.MaxInt, math.MaxInt
	}
	return schedule[p.step] - p.sent - p.out, schedule[p.step]
}

// Take asks for room for n messages from an address to a provider, and gets room for
// so many. Unless the day is 0, each of them counts on that day, and must be given back to it
// or reported as delivered, with the provider as queue.Outcome.Warming.
func (s *Store) Take(provider string, addr netip.Addr, n int) (room int, day int64) {
	st := s.state.Load()
	if st == nil {
		return n, 0
	}
	a := st.addresses[addr]
	if a == nil || a.Since == 0 {
		return n, 0
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	left, most := s.left(st, a, provider, now)
	if most == math.MaxInt {
		return n, 0
	}
	p := s.at(pair{addr, provider}, now, st.pools[a.Pool].schedule())
	room = min(n, max(left, 0))
	p.out += room
	return room, p.day
}

// at is the progress of a pair today. s.mu is held.
func (s *Store) at(k pair, now time.Time, schedule []int) *progress {
	p := s.pairs[k]
	if p == nil {
		p = new(progress)
		s.pairs[k] = p
	}
	*p = p.on(dayOf(now), schedule)
	return p
}

// GiveBack returns room that was not used, to the day on which it was taken: another one
// has none of it.
func (s *Store) GiveBack(provider string, addr netip.Addr, n int, day int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := pair{addr, provider}
	p := s.pairs[k]
	if p == nil || p.day != day {
		return
	}
	p.out -= n
	if p.out == 0 && p.sent == 0 && p.step == 0 {
		delete(s.pairs, k)
	}
}

// Observer is a queue.Observer that passes everything on to another one and counts
// what was delivered in the commit that records it: what is known after a kill is
// what the queue knows.
func (s *Store) Observer(next queue.Observer) queue.Observer { return observer{next, s} }

type observer struct {
	queue.Observer
	s *Store
}

// Attempted implements queue.Observer.
func (o observer) Attempted(tx *db.Tx, reports []queue.Report) error {
	var more map[pair]int
	for i := range reports {
		if r := &reports[i]; r.Warming != "" && r.Result == queue.Delivered {
			if more == nil {
				more = map[pair]int{}
			}
			more[pair{r.Source, r.Warming}]++
		}
	}
	if more != nil {
		if err := o.s.count(tx, more); err != nil {
			return err
		}
	}
	return o.Observer.Attempted(tx, reports)
}

var upsertSent = db.Insert{Into: "source_sent", Columns: []string{"address", "provider", "day", "sent", "step"},
	Conflict: "ON CONFLICT (address, provider) DO UPDATE SET day = excluded.day, sent = excluded.sent, step = excluded.step"}

// count writes how far the warm-up is with so many more messages.
func (s *Store) count(tx *db.Tx, more map[pair]int) error {
	now, st := s.o.Now(), s.state.Load()
	if st == nil {
		return nil
	}
	var rows [][]any
	after := map[pair]progress{}
	s.mu.Lock()
	for k, n := range more {
		a := st.addresses[k.addr]
		if a == nil || a.Since == 0 {
			continue
		}
		p := *s.at(k, now, st.pools[a.Pool].schedule())
		p.sent += n
		after[k] = p
		rows = append(rows, []any{k.addr.String(), k.provider, p.day, p.sent, p.step})
	}
	s.mu.Unlock()
	if err := tx.Insert(upsertSent, rows...); err != nil {
		return fmt.Errorf("what source addresses have sent: %w", err)
	}
	tx.OnCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for k, p := range after {
			known := s.pairs[k]
			if known == nil {
				known = new(progress)
				s.pairs[k] = known
			}
			out := known.out - more[k]
			if known.day > p.day { // midnight came between
				continue
			}
			*known = p
			known.out = out
		}
	})
	return nil
}

var selectSent = db.SQL("SELECT address, provider, day, sent, step FROM source_sent")

func (s *Store) loadSent(ctx context.Context) error {
	return s.o.DB.Read(ctx, func(tx *db.Tx) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.pairs)
		rows, err := tx.Query(selectSent)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var text string
			var k pair
			p := new(progress)
			if err := r.Scan(&text, &k.provider, &p.day, &p.sent, &p.step); err != nil {
				return err
			}
			addr, err := netip.ParseAddr(text)
			k.addr = addr
			s.pairs[k] = p
			return err
		})
	})
}
