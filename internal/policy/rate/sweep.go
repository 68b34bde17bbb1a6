package rate

import (
	"context"

	"github.com/hayauma/hayauma/internal/db"
)

const (
	// keepCounts is how long the rows of a minute stay, in minutes: until the
	// day after theirs is over.
	keepCounts = 2*minutesPerDay + 60
	sweepSlice = 1000
)

var (
	sqlOldCounts = db.SQL(`DELETE FROM send_count WHERE (kind, subject, minute) IN
	(SELECT kind, subject, minute FROM send_count WHERE minute < ? ORDER BY minute LIMIT ?)`)
	sqlOldWaiting = db.SQL(`DELETE FROM send_waiting WHERE (message, kind, subject) IN
	(SELECT message, kind, subject FROM send_waiting WHERE minute < ? ORDER BY minute LIMIT ?)`)
	sqlOldContacts = db.SQL(`DELETE FROM send_contact WHERE (account, hash) IN
	(SELECT account, hash FROM send_contact WHERE day < ? ORDER BY day LIMIT ?)`)
)

// Sweep takes away what is left of accounts that ended, learns from the days that are
// over, and drops what is too old. Run does it every hour.
func (l *Limiter) Sweep(ctx context.Context) error {
	if err := l.erase(ctx); err != nil { // nothing is learnt from it
		return err
	}
	if err := l.fold(ctx); err != nil {
		return err
	}
	old := l.clock.oldest()
	if err := l.drop(ctx, sqlOldCounts, old-keepCounts); err != nil {
		return err
	}
	if err := l.drop(ctx, sqlOldWaiting, old-keepCounts); err != nil {
		return err
	}
	if err := l.drop(ctx, sqlOldContacts, old/minutesPerDay-contactDays); err != nil {
		return err
	}
	if err := l.drop(ctx, sqlOldErased, old-keepCounts); err != nil {
		return err
	}
	l.forget(l.clock.now())
	return nil
}

// drop deletes what a statement finds by its arguments, a slice at a time: the last
// argument, behind these, is how many rows that may be.
func (l *Limiter) drop(ctx context.Context, s db.Stmt, args ...any) error {
	args = append(args, sweepSlice)
	for {
		var n int64
		err := l.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
			n, err = tx.Exec(s, args...)
			return err
		})
		if err != nil || n < sweepSlice {
			return err
		}
	}
}

// forget takes subjects and results out of memory of which nothing is left.
func (l *Limiter) forget(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, s := range l.subjects {
		if s.pending == (counts{}) && now-s.seen > 2*idleAfter {
			delete(l.subjects, n)
		}
	}
	for account, r := range l.results {
		if now-r.seen > 2*60*60 {
			delete(l.results, account)
		}
	}
}
