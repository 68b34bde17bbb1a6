package ban

import (
	"container/list"
	"net/netip"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// The bounds of what is remembered, about 7 MiB each if they are ever reached.
// Bans are counted apart from the rest, so that failures, which are cheap, push
// no ban out: each ban costs ten failures of a network that may have twenty.
const (
	maxHarmless = 1 << 14
	maxBans     = 1 << 14
	maxNoted    = 1 << 14
)

// maxName is how much of a login name counts, in octets: an address is shorter.
const maxName = 400

// key is a pair, or a network alone if the name is empty.
type key struct {
	name    string
	network netip.Prefix
}

// nameKey is the form in which a login name counts: that of account keys for an
// address. It holds nothing of the line that the name came in.
func nameKey(name string) string {
	if a, err := mail.ParseAddress(name); err == nil {
		return a.Key()
	}
	if name == "" {
		return `""` // a key without a name is a network
	}
	return db.Text(strings.ToLower(name[:min(len(name), maxName)]))
}

// sentence is a ban, also one that is over but makes the next one longer. It does
// not change, but for stored. Its times are steady.
type sentence struct {
	count        int // it is the pair's first, second ...
	failures     int
	began, until time.Time
	stored       bool // the table has it
}

func (s *sentence) active() bool { return s != nil && time.Now().Before(s.until) }

// steady is a time that has come, or comes, when it does by the clock as it is set now: until
// then no change of the clock makes it sooner or later.
func steady(t time.Time) time.Time {
	now := time.Now()
	return now.Add(t.Sub(now))
}

// record is what is known of a pair or a network. One that is in use, checked or
// waited for, is never forgotten.
type record struct {
	key
	tally tally
	last  time.Duration // the last failure

	checked int           // attempts begun, not ended: each may become a failure
	waiting int           // attempts that wait for something here
	slow    int           // those of them that wait for a delay
	ended   chan struct{} // closed when there may be room

	// What the table said last, for List.
	known    bool // a pair: it logged in of late
	accounts int  // a network: so many did

	ban   *sentence
	place *list.Element // among the harmless; nil = without failures, or with a ban
}

func (r *record) busy() bool { return r.checked > 0 || r.waiting > 0 }

// wake lets all who wait here look again.
func (r *record) wake() {
	close(r.ended)
	r.ended = make(chan struct{})
}

// records are all of them.
type records struct {
	byKey    map[key]*record
	harmless *list.List // those with failures and without a ban; who failed last is in front
	bans     int
}

func newRecords() records {
	return records{byKey: map[key]*record{}, harmless: list.New()}
}

// get returns a record, up to date, which is made if there is none. Whoever makes
// one uses it or calls settle.
func (s *records) get(k key, now time.Duration) *record {
	r := s.byKey[k]
	if r == nil {
		r = &record{key: k, ended: make(chan struct{})}
		s.byKey[k] = r
	}
	r.tally.advance(now)
	return r
}

// fail counts a failure.
func (s *records) fail(r *record, first bool, now time.Duration) {
	r.tally.advance(now)
	r.tally.add(first)
	r.last = now
	switch {
	case r.ban != nil:
	case r.place == nil:
		r.place = s.harmless.PushFront(r)
	default:
		s.harmless.MoveToFront(r.place)
	}
	s.shrink(now)
}

// shrink forgets the harmless who failed longest ago: those whose failures are all
// past, and more while too many are remembered.
func (s *records) shrink(now time.Duration) {
	for e := s.harmless.Back(); e != nil; {
		r, before := e.Value.(*record), e.Prev()
		if s.harmless.Len() <= maxHarmless && now-r.last < window+time.Minute {
			return
		}
		if !r.busy() {
			s.absolve(r)
		}
		e = before
	}
}

// convict bans a pair. Its failures are paid for by the ban.
func (s *records) convict(r *record, ban *sentence) {
	s.absolve(r)
	s.byKey[r.key] = r
	r.ban = ban
	if s.bans++; s.bans > maxBans {
		s.pardon()
	}
}

// pardon forgets the ban that ends first, or ended longest ago.
func (s *records) pardon() {
	var first *record
	for _, r := range s.byKey {
		if r.ban != nil && (first == nil || r.ban.until.Before(first.ban.until)) {
			first = r
		}
	}
	if first != nil {
		s.absolve(first)
	}
}

// absolve forgets failures and ban of a record, and the record unless it is busy.
func (s *records) absolve(r *record) {
	r.tally.clear()
	if r.ban != nil {
		r.ban = nil
		s.bans--
	}
	s.settle(r)
}

// settle forgets a record that holds nothing.
func (s *records) settle(r *record) {
	if r.ban != nil || r.tally.failures() > 0 {
		return
	}
	if r.place != nil {
		s.harmless.Remove(r.place)
		r.place = nil
	}
	if !r.busy() {
		delete(s.byKey, r.key)
	}
}
