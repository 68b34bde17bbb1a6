package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// Each delivery that is not recorded may be repeated: by the next process, if this one
// dies, or by another that takes over. So nothing new is handed out while the database
// does not keep up; what has begun goes on.
const (
	// maxCommit is how long a commit of results may take before it counts as one that
	// does not come.
	maxCommit = time.Second
	// maxUnrecorded is how many deliveries may wait for their commit: one commit is under
	// way, and the next is full. It is fewUnrecorded once the commit takes longer than
	// most do, slowCommit.
	maxUnrecorded = 2 * maxResults
	fewUnrecorded = 50
	slowCommit    = 200 * time.Millisecond
	// patience is how long a worker stands by with its connection for the queue to go on.
	patience = time.Second
	// maxSilence is how long ago the database may have taken a commit of the queue's: after
	// that it may be another process's, and so may be what was leased before. An answer
	// that takes longer is none.
	maxSilence = 5 * time.Second
)

// behind tells whether the database takes no results now, so that nothing more is leased;
// then goOn is called when it does again. q.mu is held.
func (q *Queue) behind() bool {
	if !q.stuck && (q.began.IsZero() || time.Since(q.began) < maxCommit) {
		return false
	}
	q.withhold()
	return true
}

// rests tells whether no job may be handed out now; then goOn is called when one may be.
// q.mu is held.
func (q *Queue) rests() bool {
	if q.behind() {
		return true
	}
	crowd, unheard := q.crowd(), q.unheard()
	if crowd || unheard {
		q.withhold()
	}
	if unheard {
		signal(q.arrive)
	}
	return crowd || unheard
}

// crowd tells whether too many deliveries wait for their commit. q.mu is held.
func (q *Queue) crowd() bool {
	return q.unrecorded > maxUnrecorded || q.unrecorded > fewUnrecorded && !q.began.IsZero() && time.Since(q.began) >= slowCommit
}

// unheard tells whether the database was not heard of lately. Of a machine that slept
// the wall clock may tell alone, and of a step of that the other one. q.mu is held.
func (q *Queue) unheard() bool {
	now := time.Now()
	return max(now.Sub(q.heard), now.Round(0).Sub(q.heard.Round(0))) > maxSilence
}

// hears notes, once a transaction is durable, that the database was this process's then:
// an engine takes none of one whose time is over.
func (q *Queue) hears(tx *db.Tx) {
	now := time.Now()
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if now.After(q.heard) {
			q.heard = now
		}
	})
}

// doubts tells whether jobs wait for the database to be heard of.
func (q *Queue) doubts() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.on != nil && !q.ending() && q.unheard()
}

var selectOne = db.SQL("SELECT 1")

// confirm asks whether the database is still this process's; false = it does not say so.
func (q *Queue) confirm(ctx context.Context) bool {
	err := q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		q.hears(tx)
		var one int
		return tx.Row(selectOne, nil, &one)
	})
	if err != nil {
		q.o.Logger.Error("the queue waits: it is not known whether another server has the database", "error", err)
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.goOn()
	return true
}

// withhold notes that somebody did not get what he could have had. q.mu is held.
func (q *Queue) withhold() {
	if q.on == nil {
		q.on = make(chan struct{})
	}
}

// goOn hands out again, if nothing is against it any longer. q.mu is held.
func (q *Queue) goOn() {
	if q.on == nil || q.rests() {
		return
	}
	close(q.on)
	q.on = nil
	for _, s := range slices.SortedFunc(maps.Values(q.sites), byName) {
		q.await(s)
	}
	q.dispatch()
	signal(q.wake)
}

// ready tells whether there is a job that may be handed out, perhaps after a moment. q.mu
// is held, but for that.
func (w *worker) ready() bool {
	q := w.q
	for w.s.ready.n > 0 && !q.ending() {
		if !q.rests() {
			return true
		}
		if !q.standsBy() {
			return false
		}
	}
	return false
}

// standsBy waits with a worker until the queue goes on; false if that takes long, or the
// server stops. One does so at a time, the others end and are started again: of many that
// wake at once chance would say who is first. q.mu is held, but for the wait.
func (q *Queue) standsBy() bool {
	if q.standing {
		return false
	}
	q.standing = true
	defer func() { q.standing = false }()
	on, stop := q.on, q.stop.Done()
	q.mu.Unlock()
	defer q.mu.Lock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-on:
		return true
	case <-t.C:
	case <-stop:
	}
	return false
}

// lag tells in words why the queue rests; "" = it does not. q.mu is held.
func (q *Queue) lag() string {
	switch {
	case q.stuck:
		return errStuck.Error()
	case q.behind():
		return fmt.Sprintf("the queue rests until the database has recorded what was delivered: it has not answered for %v", time.Since(q.began).Round(time.Second))
	case q.crowd():
		return fmt.Sprintf("the queue rests until the database has recorded what was delivered: the results of %d attempts wait", q.unrecorded)
	case q.on != nil && q.unheard():
		return "the queue rests until the database answers: it is asked whether another server has it"
	}
	return ""
}
