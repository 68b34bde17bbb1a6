// Package ban knows whose guesses at passwords are slowed down or stopped.
//
// What counts is the pair of a login name, whether there is such a user or not,
// and the network that it is tried from (an IPv4 address, an IPv6 /64):
//
//   - From the third failure of a pair in ten minutes on, its next attempt waits
//     longer each time. The tenth begins a ban of the pair, which is longer each
//     time it is earned. A user whose password is guessed elsewhere notices
//     nothing: his pair is another one.
//   - A pair that logged in within the last thirty days is known: it is slowed
//     down, never banned, and its failures count for itself alone.
//   - All other failures of a network count together. At the limit of the
//     settings, which the network has once for itself and once more for each
//     account known there, names that are not known there are stopped until the
//     oldest failures are ten minutes old. The first failures of five names count
//     as one, so that many users behind one address who mistype once each stop
//     nobody soon, while whoever tries again and again does.
//   - Where a front speaks for a peer without an address, the front's network
//     stands in the pair, and counts for nothing else: all its clients share it.
//   - A provider hands out wider networks (a /24, a /48) to one customer or to
//     many. Where one of them fails a lot it is slowed down, never stopped.
//
// A login that succeeds makes its pair start afresh.
package ban

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

const (
	// free is how many failures of a pair have no consequence but to be counted.
	free = 3
	// banAfter is how many failures of a pair in ten minutes begin a ban.
	banAfter = 10
	// longestDelay is the most that an attempt has to wait after the last failure.
	longestDelay = 30 * time.Second
	// patience is how long an attempt waits in all. Clients wait a minute.
	patience = time.Minute
	// aroundFactor is how many times the limit of one network a wider one has.
	aroundFactor = 8
	// knownFor is how long a pair is known after it was noted, which is at most a
	// day before its last success.
	knownFor  = 30*24*time.Hour + noteEvery
	noteEvery = 24 * time.Hour
	// repeatsFor is how long after its end a ban makes the next one longer.
	repeatsFor = 7 * 24 * time.Hour
)

// sentenceOf returns how long the nth ban of a pair lasts.
func sentenceOf(n int) time.Duration {
	switch n {
	case 1:
		return 10 * time.Minute
	case 2:
		return time.Hour
	}
	return 24 * time.Hour
}

// delayAfter returns how long an attempt waits after so many failures.
func delayAfter(failures int) time.Duration {
	if failures < free {
		return 0
	}
	return min(longestDelay, time.Second<<min(failures-free, 10))
}

// ErrBanned says that an attempt may not be made, and from when on it may.
type ErrBanned struct{ Until time.Time }

func (e *ErrBanned) Error() string {
	return fmt.Sprintf("too many failed logins, please wait until %s", e.Until.UTC().Format("15:04:05 UTC"))
}

// ErrBusy says that too many attempts wait for their delay already, or one for
// too long. It is temporary.
var ErrBusy = errors.New("too many logins at once")

// Outcome is how an attempt ended.
type Outcome int

// The outcomes. Neither is of an attempt that was given up before anybody knew.
const (
	Neither Outcome = iota
	Success
	Failure
)

// End ends an attempt, and tells what a failure led to, also one that is not
// counted.
type End func(context.Context, Outcome) Failed

// Attempt is one login before anybody looks at its password.
type Attempt struct {
	Door string // "imap", "submission" ...
	Name string // as it was given
	Peer netip.Addr
	// Front is the host that speaks for a peer without an address: the pair of name
	// and Front counts then. What is behind it is anybody's, so that its network
	// counts for no other name.
	Front netip.Addr
}

// Failed is a failure with what it led to.
type Failed struct {
	Door     string
	Name     string // as it is counted: in lower case, cut if it is very long
	Peer     netip.Addr
	Network  netip.Prefix // invalid without an address to count
	Known    bool         // it logged in from there of late
	Failures int          // of name and network in ten minutes, this one included; 0 = not counted
	Until    time.Time    // not zero: this failure began a ban
}

// Options are what a List is made of.
type Options struct {
	DB db.DB
	// Limit is how many failures of a network are allowed in ten minutes; 0 lifts
	// every limit, delay and ban.
	Limit  int
	Logger *slog.Logger
}

// List counts failures and holds the bans. It may be used by many goroutines.
type List struct {
	o     Options
	start time.Time

	mu      sync.Mutex
	limit   int
	records records
	slow    int               // attempts that wait for a delay
	noted   map[key]time.Time // successes that the table has
	version uint64            // counts the changes of bans, so that a slow reader undoes none
}

// New returns a list over tables that Schema describes. Load brings the bans of
// the last run.
func New(o Options) *List {
	return &List{o: o, start: time.Now(), limit: o.Limit, records: newRecords(), noted: map[key]time.Time{}}
}

// SetLimit changes the limit; failures already counted stay.
func (l *List) SetLimit(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
	for _, r := range l.records.byKey {
		if r.busy() {
			r.wake()
		}
	}
}

// now is the time of records, which no change of the clock touches.
func (l *List) now() time.Duration { return time.Since(l.start) }

// banLimit is how many failures of a pair begin a ban.
func (l *List) banLimit() int { return min(banAfter, l.limit) }
