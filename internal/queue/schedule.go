package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// page is how many due rows one read looks at.
	page = 500
	// claimMemory is what claims may take beyond the budget for handing over,
	// so that new mail cannot keep old mail out.
	claimMemory = 4 << 20
	// longestSleep bounds how wrong a stepped clock can make us.
	longestSleep = time.Minute
	// statsEvery is how often the metrics count the queue; statsRest is how much longer
	// than the counting took they rest, if that is more.
	statsEvery = 15 * time.Second
	statsRest  = 50
)

// pauseMin and pauseMax bound the waits after a failure of the database.
const (
	pauseMin = time.Second
	pauseMax = 30 * time.Second
)

// place is a place in the order of the due index.
type place struct {
	next int64
	id   mail.ID
}

// Run delivers until ctx ends, then lets running attempts finish within the
// grace, records their results and gives everything else back.
func (q *Queue) Run(ctx context.Context) error {
	if !q.recoverAll(ctx) {
		return nil
	}
	q.begin(ctx)
	ended := make(chan struct{})
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		q.collector(context.WithoutCancel(ctx), ended)
	}()
	var counting sync.WaitGroup
	if q.o.Metrics != nil {
		counting.Go(func() { q.count(ctx) })
	}
	q.schedule(ctx)
	q.finish()
	counting.Wait()
	close(ended)
	<-collected
	return nil
}

// recoverAll frees the leases of processes that are gone and takes up what providers asked
// for and which sites are down, before anything is claimed; false if ctx ended first.
func (q *Queue) recoverAll(ctx context.Context) bool {
	pause := pauseMin
	for {
		n, err := q.Recover(ctx)
		if n > 0 {
			q.o.Logger.Info("recipients were under way when the server last ended; they are queued again", "recipients", n)
		}
		if err == nil {
			err = q.remember(ctx)
		}
		if err == nil {
			err = q.takeOver(ctx)
		}
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		q.o.Logger.Error("the queue waits: what the last process left cannot be read", "error", err)
		if q.o.Sleep(ctx, nil, pause); ctx.Err() != nil {
			return false
		}
		pause = min(2*pause, pauseMax)
	}
}

func (q *Queue) begin(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stop = ctx
	q.running = true
	q.dispatch()
}

// finish ends the handing out and waits for the workers.
func (q *Queue) finish() {
	q.mu.Lock()
	q.stopping = true
	for _, s := range slices.SortedFunc(maps.Values(q.sites), byName) {
		for l := s.ready.pop(); l != nil; l = s.ready.pop() {
			q.giveBack(l)
		}
		s.hold(-s.rows)
	}
	q.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		q.workers.Wait()
		close(idle)
	}()
	// A deliverer keeps to the grace by itself; the second on top is for it to
	// say what became of its jobs.
	grace := time.NewTimer(q.o.Settings().Grace + time.Second)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
		q.o.Logger.Warn("attempts did not end within the grace; they are repeated after the next start")
	}
}

// sleep waits for a wake-up, at most d.
func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	case <-ctx.Done():
	}
}

// schedule claims what is due and sleeps until more is.
func (q *Queue) schedule(ctx context.Context) {
	cursor := place{next: math.MinInt64}
	pause := pauseMin
	for ctx.Err() == nil {
		wait, err := q.refill(ctx, &cursor)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			q.o.Logger.Error("the queue waits: due messages cannot be claimed", "error", err)
			q.o.Sleep(ctx, nil, pause)
			pause = min(2*pause, pauseMax)
			continue
		}
		pause = pauseMin
		q.o.Sleep(ctx, q.wake, wait)
	}
}

// count tells the metrics now and then how much there is. It reads all of the queue,
// so it keeps out of the scheduler's way, and rests the longer the more there is.
func (q *Queue) count(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		// A failing database is reported by those who need it.
		if counts, err := q.Stats(ctx); err == nil {
			q.o.Metrics.stats(counts, q.Memory())
		}
		sleep(ctx, nil, max(statsEvery, statsRest*time.Since(began)))
	}
}

// refill claims due rows as far as there is room for them and returns how long
// to sleep unless woken.
func (q *Queue) refill(ctx context.Context, cursor *place) (time.Duration, error) {
	q.noteLeap()
	now := micros()
	if err := q.setRight(ctx, now); err != nil {
		return 0, err
	}
	if err := q.claimUrgent(ctx, now); err != nil {
		return 0, err
	}
	if err := q.probeAll(ctx, now); err != nil {
		return 0, err
	}
	if err := errors.Join(q.raise(ctx), q.rouse(ctx)); err != nil {
		return 0, err
	}
	for _, s := range q.hungry() {
		if err := q.claimSite(ctx, s, now); err != nil {
			return 0, err
		}
	}
	q.mu.Lock()
	// Rows that were committed before this line are seen by the reads below;
	// later ones turn the cursor back again.
	if back := min(q.rewind, now); back <= cursor.next {
		*cursor = place{next: back}
	}
	q.rewind = math.MaxInt64
	q.mu.Unlock()
	for {
		more, err := q.scan(ctx, cursor, now)
		if err != nil {
			q.mu.Lock()
			q.rewind = min(q.rewind, cursor.next)
			q.mu.Unlock()
			return 0, err
		}
		if !more {
			break
		}
	}
	wait, err := q.untilNext(ctx, now)
	wait = min(wait, q.resume(now))
	return wait, errors.Join(err, q.forgetDemands(ctx))
}

// hungry are the sites that have room for rows which are waiting in the
// database.
func (q *Queue) hungry() []*site {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*site
	for _, s := range q.sites {
		if s.more && s.rows < siteRows/4 && s.room() > 0 && q.hasMemory() {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, byName)
	return out
}

// hasMemory tells whether more may be claimed. q.mu is held.
func (q *Queue) hasMemory() bool {
	if q.behind() || q.octets >= q.o.Settings().Memory+claimMemory {
		q.starved = true
		return false
	}
	return true
}

// limit is how many rows a site may have waiting. q.mu is held.
func (q *Queue) limit() int {
	if 2*q.octets > q.o.Settings().Memory+claimMemory {
		return siteRowsTight
	}
	return siteRows
}

var selectUrgent = db.SQL("SELECT id FROM queue_recipient WHERE state IN (1, 3) AND level > 0 AND next <= ? ORDER BY next, id LIMIT ?")

// claimUrgent claims what is urgent and due, whatever waits before it: what is left
// over is found among the others.
func (q *Queue) claimUrgent(ctx context.Context, now int64) error {
	q.mu.Lock()
	room := !q.behind() && q.octets < q.o.Settings().Memory+2*claimMemory
	q.mu.Unlock()
	if !room {
		return nil
	}
	var ids []int64
	err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		ids, err = readIDs(tx, nil, selectUrgent, now, page)
		return err
	})
	if err != nil {
		return fmt.Errorf("urgent rows: %w", err)
	}
	return q.claim(ctx, ids)
}

// readIDs adds the ids that a query gives.
func readIDs(tx *db.Tx, ids []int64, s db.Stmt, args ...any) ([]int64, error) {
	rows, err := tx.Query(s, args...)
	if err != nil {
		return ids, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

var selectDue = db.SQL(`SELECT next, id, site FROM queue_recipient
	WHERE state IN (1, 3) AND next <= ? AND (next, id) > (?, ?) ORDER BY next, id LIMIT ?`)

type dueRow struct {
	place
	site string
}

// scan looks at one page of due rows, claims those whose site has room and
// moves the cursor behind them; more = there may be another page.
func (q *Queue) scan(ctx context.Context, cursor *place, now int64) (more bool, err error) {
	var due []dueRow
	err = q.o.DB.Read(ctx, func(tx *db.Tx) error {
		due = due[:0]
		rows, err := tx.Query(selectDue, now, cursor.next, int64(cursor.id), page)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var d dueRow
			err := r.Scan(&d.next, &d.id, &d.site)
			due = append(due, d)
			return err
		})
	})
	if err != nil {
		return false, fmt.Errorf("due rows: %w", err)
	}
	ids, seen := q.choose(due)
	if err := q.claim(ctx, ids); err != nil {
		return false, err
	}
	if seen > 0 {
		*cursor = due[seen-1].place
	}
	return seen == page, nil
}

// choose picks the rows whose site has room; those before seen are dealt with:
// chosen, or left to their site, which has more than it can take.
func (q *Queue) choose(due []dueRow) (ids []int64, seen int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := map[string]int{}
	for _, d := range due {
		if !q.hasMemory() {
			break
		}
		seen++
		s := q.sites[d.site]
		if s != nil && s.more {
			continue
		}
		have := taken[d.site]
		if s != nil {
			have += s.rows
		}
		// As soon as it is full: what room its deliveries make while the next page
		// is read belongs to the most urgent rows, not to the oldest.
		limit := q.limit()
		if s != nil {
			limit = min(limit, s.rows+s.room())
		}
		if have+1 >= limit {
			q.siteOf(d.site).more = true
		}
		if have < limit {
			taken[d.site]++
			ids = append(ids, int64(d.id))
		}
	}
	return ids, seen
}

var claimRows = db.SQL("UPDATE queue_recipient SET state = 2, owner = ? WHERE id IN (@ids) AND state IN (1, 3) RETURNING " + recipientColumns)

// claim leases rows and hands them to their sites. It works on a nearly full disk
// too, since what is delivered gives space back.
func (q *Queue) claim(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	err := q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		q.hears(tx)
		var g group
		if err := tx.QueryIn(claimRows, db.In{Before: []any{int64(q.owner)}, IDs: ids}, g.add); err != nil {
			return err
		}
		claimed, err := g.messages(tx)
		if err != nil {
			return err
		}
		// No engine promises that the rows come back in the order in which they were
		// asked for, which is that in which they go out.
		at := make(map[mail.ID]int, len(ids))
		for i, id := range ids {
			at[mail.ID(id)] = i
		}
		slices.SortStableFunc(claimed, func(a, b *Message) int {
			return cmp.Compare(at[a.Recipients[0].ID], at[b.Recipients[0].ID])
		})
		// A commit whose answer was lost may be found done only later.
		tx.OnCommit(func() { q.claimed(claimed) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// claimed hands messages that are now leased to their sites.
func (q *Queue) claimed(list []*Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range list {
		recipients := m.Recipients
		m.Recipients = nil
		for _, d := range bySite(m, recipients) {
			q.push(d.message, d.site, d.recipients)
		}
	}
}

var selectNext = db.SQL("SELECT next FROM queue_recipient WHERE state IN (1, 3) AND next > ? ORDER BY next LIMIT 1")

// untilNext is how long nothing more comes due.
func (q *Queue) untilNext(ctx context.Context, now int64) (time.Duration, error) {
	wait := q.untilProbe(now)
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		rows, err := tx.Query(selectNext, now)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var at int64
			err := r.Scan(&at)
			wait = min(wait, time.Duration(at-now)*time.Microsecond)
			return err
		})
	})
	return wait, err
}
