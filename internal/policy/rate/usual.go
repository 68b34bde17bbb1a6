package rate

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// usual is the best hour of an account's days: a mean over the first ones, then
// one that moves, in which the last fourteen days weigh most. The numbers are
// thousandths, so that they can become small.
type usual struct {
	day                  int64 // the last one in it
	days                 int64 // that are in it, usualDays at the most
	messages, recipients int64
}

const (
	usualDays = 14
	scale     = 1000
)

// next takes in the best hour of a later day; those between were quiet.
func (u usual) next(day, messages, recipients int64) usual {
	u = u.quiet(day - 1)
	u.days = min(u.days+1, usualDays)
	u.day = day
	u.messages += (messages*scale - u.messages) / u.days
	u.recipients += (recipients*scale - u.recipients) / u.days
	return u
}

// quiet takes in days without a message, up to a last one.
func (u usual) quiet(last int64) usual {
	if u.days == 0 {
		return u
	}
	// Behind a hundred quiet days nothing is left.
	for range min(last-u.day, 100) {
		u.days = min(u.days+1, usualDays)
		u.messages -= u.messages / u.days
		u.recipients -= u.recipients / u.days
	}
	u.day = max(u.day, last)
	return u
}

var (
	sqlUsual    = db.SQL("SELECT day, days, messages, recipients FROM send_usual WHERE account = ?")
	insertUsual = db.Insert{
		Into: "send_usual", Columns: []string{"account", "day", "days", "messages", "recipients"},
		Conflict: `ON CONFLICT (account) DO UPDATE SET day = excluded.day, days = excluded.days,
	messages = excluded.messages, recipients = excluded.recipients`,
	}
	sqlDays = db.SQL("SELECT DISTINCT minute / 1440 FROM send_count WHERE kind = 1 AND minute < ? ORDER BY 1")
	// The best hour is one by the clock: ten times as much is ten times as much.
	sqlBest = db.Stmt{
		SQL: `SELECT subject, max(messages), max(recipients) FROM (
	SELECT subject, sum(messages) AS messages, sum(recipients) AS recipients FROM send_count
	WHERE kind = 1 AND minute >= ? AND minute < ? GROUP BY subject, minute / 60) AS hours GROUP BY subject ORDER BY subject`,
		Postgres: `SELECT subject, max(messages), max(recipients) FROM (
	SELECT subject, sum(messages)::bigint AS messages, sum(recipients)::bigint AS recipients FROM send_count
	WHERE kind = 1 AND minute >= ? AND minute < ? GROUP BY subject, minute / 60) AS hours GROUP BY subject ORDER BY subject`,
	}
)

func readUsual(tx *db.Tx, account mail.ID) (u usual, known bool, err error) {
	err = tx.Row(sqlUsual, []any{account}, &u.day, &u.days, &u.messages, &u.recipients)
	if errors.Is(err, db.ErrNoRows) {
		return usual{}, false, nil
	}
	return u, err == nil, err
}

func writeUsual(tx *db.Tx, account mail.ID, u usual) error {
	return tx.Insert(insertUsual, []any{account, u.day, u.days, u.messages, u.recipients})
}

// best is the best hour of an account on one day.
type best struct {
	account              mail.ID
	messages, recipients int64
}

// fold takes every day that is over into what is usual.
func (l *Limiter) fold(ctx context.Context) error {
	today := l.clock.oldest() / minutesPerDay
	var days []int64
	err := l.o.DB.Read(ctx, func(tx *db.Tx) error {
		days = days[:0]
		rows, err := tx.Query(sqlDays, today*minutesPerDay)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var d int64
			err := r.Scan(&d)
			days = append(days, d)
			return err
		})
	})
	l.mu.Lock()
	folded := l.folded
	l.mu.Unlock()
	for _, d := range days {
		if err == nil && d > folded {
			err = l.foldDay(ctx, d)
		}
	}
	return err
}

// foldSlice bounds the accounts of one write.
const foldSlice = 200

func (l *Limiter) foldDay(ctx context.Context, day int64) error {
	hours, err := l.bestOf(ctx, day)
	if err != nil {
		return err
	}
	for len(hours) > 0 {
		part := hours[:min(foldSlice, len(hours))]
		hours = hours[len(part):]
		if err := l.o.DB.Write(ctx, func(tx *db.Tx) error { return l.foldPart(tx, day, part) }); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folded = max(day, l.folded)
	return nil
}

func (l *Limiter) bestOf(ctx context.Context, day int64) (hours []best, err error) {
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error {
		hours = hours[:0]
		rows, err := tx.Query(sqlBest, day*minutesPerDay, (day+1)*minutesPerDay)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var name string
			var b best
			if err := r.Scan(&name, &b.messages, &b.recipients); err != nil {
				return err
			}
			b.account, err = mail.ParseID(name)
			hours = append(hours, b)
			return err
		})
	})
	return hours, err
}

func (l *Limiter) foldPart(tx *db.Tx, day int64, part []best) error {
	for _, b := range part {
		u, known, err := readUsual(tx, b.account)
		if err != nil {
			return err
		}
		if known && u.day >= day {
			continue
		}
		if err := writeUsual(tx, b.account, u.next(day, b.messages, b.recipients)); err != nil {
			return err
		}
		l.changed(tx, ForAccount(b.account))
	}
	return nil
}
