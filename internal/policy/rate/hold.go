package rate

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Hold is an account that may not send until somebody releases it.
type Hold struct {
	Account mail.ID
	Since   int64 // microseconds
	Reason  string
}

// ErrNotHeld says that there is nothing to release.
var ErrNotHeld = errors.New("the account is not held")

var (
	insertHold = db.Insert{Into: "send_hold", Columns: []string{"account", "since", "reason", "settled"}, Conflict: "ON CONFLICT (account) DO NOTHING"}
	sqlHolds   = db.SQL("SELECT account, since, reason FROM send_hold ORDER BY since, account")
	sqlUnruly  = db.SQL("SELECT account, settled FROM send_hold ORDER BY account")
	sqlSettled = db.SQL("UPDATE send_hold SET settled = 1 WHERE account = ?")
)

// hold writes down which accounts were stopped, and tells the operator.
func (l *Limiter) hold(ctx context.Context) error {
	l.mu.Lock()
	stopped := maps.Clone(l.sudden)
	l.mu.Unlock()
	for account, reason := range stopped {
		since := mail.Micros(l.clock.Wall())
		err := l.o.DB.Write(ctx, func(tx *db.Tx) error {
			l.changed(tx, ForAccount(account))
			tx.OnCommit(func() { l.written(account) })
			return tx.Insert(insertHold, []any{account, since, reason, 0})
		})
		if err != nil {
			return err
		}
		l.o.Logger.Warn("account held: it suddenly sends far more than usual and much is refused; "+
			"look at its queue, change its password, then 'hayauma account hold release'",
			"account", account.String(), "reason", reason)
	}
	return nil
}

func (l *Limiter) written(account mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sudden, account)
	l.unknown = true
}

// settle has the queues of held accounts held, as far as that was not done.
func (l *Limiter) settle(ctx context.Context) error {
	l.mu.Lock()
	loose, again := l.unknown, maps.Clone(l.again)
	l.unknown = false
	clear(l.again)
	l.mu.Unlock()
	if !loose && len(again) == 0 {
		return nil
	}
	err := l.inTurn(ctx, func() error { return l.settleThem(ctx, again) })
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unknown = true
		maps.Copy(l.again, again)
	}
	return err
}

// inTurn keeps a queue from being held after its account was released.
func (l *Limiter) inTurn(ctx context.Context, fn func() error) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.turn }()
	return fn()
}

// unsettled lists the held accounts whose queue is to be held, and counts all.
func (l *Limiter) unsettled(ctx context.Context, again map[mail.ID]bool) (list []mail.ID, all int, err error) {
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error {
		list, all = list[:0], 0
		rows, err := tx.Query(sqlUnruly)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var account mail.ID
			var settled bool
			err := r.Scan(&account, &settled)
			if all++; !settled || again[account] {
				list = append(list, account)
			}
			return err
		})
	})
	return list, all, err
}

func (l *Limiter) settleThem(ctx context.Context, again map[mail.ID]bool) error {
	list, all, err := l.unsettled(ctx, again)
	if err != nil {
		return err
	}
	l.o.Metrics.holds(all)
	for _, account := range list {
		if l.o.Hold != nil {
			if err := l.o.Hold(ctx, account); err != nil {
				return fmt.Errorf("queue of account %s: %w", account, err)
			}
		}
		err := l.o.DB.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(sqlSettled, account)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Holds lists the accounts that may not send, oldest first.
func (l *Limiter) Holds(ctx context.Context) (list []Hold, err error) {
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error {
		list = []Hold{}
		rows, err := tx.Query(sqlHolds)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var h Hold
			err := r.Scan(&h.Account, &h.Since, &h.Reason)
			list = append(list, h)
			return err
		})
	})
	return list, err
}

// Unhold lets an account send again and its queue go on. What it sent in the
// last hour, and whatever now goes on at once, is usual from now on, or it would be
// held again by the results of that.
func (l *Limiter) Unhold(ctx context.Context, account mail.ID) error {
	var sent counts
	err := l.with(ctx, []Subject{ForAccount(account)}, func(now int64, list []*subject) {
		sent = list[0].windows[Hour].sum(now)
	})
	if err != nil {
		return err
	}
	return l.inTurn(ctx, func() error {
		if l.o.Waiting != nil {
			n, err := l.o.Waiting(ctx, account)
			if err != nil {
				return err
			}
			sent[Recipients] = max(sent[Recipients], int32(min(n, maxAsked)))
		}
		return l.release(ctx, account, sent)
	})
}

func (l *Limiter) release(ctx context.Context, account mail.ID, sent counts) error {
	err := l.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		n, err := tx.Exec(sqlDropHold, account)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotHeld
		}
		return l.trust(tx, account, sent)
	})
	if err != nil || l.o.Release == nil {
		return err
	}
	if err := l.o.Release(ctx, account); err != nil {
		return fmt.Errorf("the account may send again, but its queue is still held: %w; 'hayauma queue release MESSAGE' lets a message of it go, and --sender ADDRESS all, with those that access rules, the setting queue.hold or you hold", err)
	}
	return nil
}

// trust takes what an account sent for usual.
func (l *Limiter) trust(tx *db.Tx, account mail.ID, sent counts) error {
	u, known, err := readUsual(tx, account)
	if err != nil {
		return err
	}
	yesterday := l.clock.oldest()/minutesPerDay - 1
	if !known {
		u = usual{day: yesterday, days: 1}
	}
	u = u.quiet(yesterday)
	u.messages = max(u.messages, int64(sent[Messages])*scale)
	u.recipients = max(u.recipients, int64(sent[Recipients])*scale)
	tx.OnCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.results, account)
		delete(l.suspects, account)
		delete(l.sudden, account)
		l.unknown = true // for the metric
		l.signal()
	})
	l.changed(tx, ForAccount(account))
	return writeUsual(tx, account, u)
}
