package rate

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// subject is what is known of a Subject. Limiter.mu guards it.
type subject struct {
	windows [spans]window
	pending counts // of messages that are being accepted
	seen    int64  // when it was used last
	stale   bool   // facts has to be read again
	facts
}

// facts are what others decide about a subject.
type facts struct {
	own   map[string]int64 // limits of its own, by the name of the rule
	usual usual            // of an account
	held  bool             // of an account
}

// limits are those in force.
func (f *facts) limits(defaults Limits) Limits {
	for i, r := range ruleTable {
		if most, own := f.own[r.Name]; own {
			defaults[i] = most
		}
	}
	return defaults
}

// idleAfter is when a subject has nothing left to be remembered for, in seconds:
// the longest span and its slot.
const idleAfter = 25 * 60 * 60

// with calls fn with subjects as they are now, under the mutex.
func (l *Limiter) with(ctx context.Context, names []Subject, fn func(now int64, list []*subject)) error {
	for {
		now := l.clock.now()
		l.mu.Lock()
		list, missing := l.find(names, now)
		if len(missing) == 0 {
			fn(now, list)
			l.mu.Unlock()
			return nil
		}
		version := l.version
		l.mu.Unlock()
		loaded, err := l.load(ctx, missing)
		if err != nil {
			return err
		}
		l.mu.Lock()
		if l.version == version {
			l.keep(loaded)
		}
		l.mu.Unlock()
	}
}

// find returns those that are in memory and names the others. l.mu is held.
func (l *Limiter) find(names []Subject, now int64) (list []*subject, missing []Subject) {
	for _, n := range names {
		s := l.subjects[n]
		if s == nil || s.stale {
			missing = append(missing, n)
			continue
		}
		s.seen = now
		list = append(list, s)
	}
	return list, missing
}

// keep takes what was read. Of a subject that is in memory only the facts are
// new: what it sends is counted here first. l.mu is held.
func (l *Limiter) keep(loaded map[Subject]*subject) {
	for name, s := range loaded {
		if known := l.subjects[name]; known != nil {
			known.facts, known.stale = s.facts, false
			continue
		}
		l.subjects[name] = s
	}
}

// load reads subjects.
func (l *Limiter) load(ctx context.Context, names []Subject) (loaded map[Subject]*subject, err error) {
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error {
		loaded = make(map[Subject]*subject, len(names))
		for _, n := range names {
			s, err := l.read(tx, n)
			if err != nil {
				return err
			}
			loaded[n] = s
		}
		return nil
	})
	return loaded, err
}

var (
	sqlCounts = db.SQL(`SELECT minute, messages, recipients, fresh FROM send_count
	WHERE kind = ? AND subject = ? AND minute > ? AND minute <= ? ORDER BY minute`)
	sqlIsHeld = db.SQL("SELECT since FROM send_hold WHERE account = ?")
)

// read returns a subject as the last run left it. Rows that are newer are of
// this run: who is not in memory has sent nothing for so long that they do not
// count any more.
func (l *Limiter) read(tx *db.Tx, n Subject) (*subject, error) {
	now, last := l.clock.now(), l.clock.startMinute()
	s := &subject{seen: now}
	for span := range spans {
		s.windows[span] = newWindow(span, now)
	}
	rows, err := tx.Query(sqlCounts, n.Kind, n.Name, last-idleAfter/60, last)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var minute int64
		var c counts
		if err := r.Scan(&minute, &c[Messages], &c[Recipients], &c[NewRecipients]); err != nil {
			return err
		}
		// It was sent in this minute: at its end at the latest.
		s.count(min(minute*60+59, l.clock.started), c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.facts, err = l.readFacts(tx, n)
	return s, err
}

func (s *subject) count(at int64, c counts) {
	for span := range s.windows {
		s.windows[span].add(at, c)
	}
}

func (l *Limiter) readFacts(tx *db.Tx, n Subject) (f facts, err error) {
	if f.own, err = ownLimits(tx, n); err != nil || n.Kind != Account {
		return f, err
	}
	id, err := mail.ParseID(n.Name)
	if err != nil {
		return f, err
	}
	if f.usual, _, err = readUsual(tx, id); err != nil {
		return f, err
	}
	var since int64
	err = tx.Row(sqlIsHeld, []any{id}, &since)
	f.held = err == nil
	if errors.Is(err, db.ErrNoRows) {
		err = nil
	}
	return f, err
}

// changed has facts read again, once the transaction is durable.
func (l *Limiter) changed(tx *db.Tx, n Subject) {
	tx.OnCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.version++
		if s := l.subjects[n]; s != nil {
			s.stale = true
		}
	})
}

var (
	sqlAhead = db.SQL("SELECT count(*) FROM send_count WHERE minute > ?")
	sqlPull  = db.Stmt{
		SQL: `INSERT INTO send_count (kind, subject, minute, messages, recipients, fresh)
	SELECT kind, subject, ?, sum(messages), sum(recipients), sum(fresh) FROM send_count WHERE minute > ? GROUP BY kind, subject
	ON CONFLICT (kind, subject, minute) DO UPDATE SET messages = send_count.messages + excluded.messages,
	recipients = send_count.recipients + excluded.recipients, fresh = send_count.fresh + excluded.fresh`,
		Postgres: `INSERT INTO send_count (kind, subject, minute, messages, recipients, fresh)
	SELECT kind, subject, ?::bigint, sum(messages)::bigint, sum(recipients)::bigint, sum(fresh)::bigint
	FROM send_count WHERE minute > ? GROUP BY kind, subject
	ON CONFLICT (kind, subject, minute) DO UPDATE SET messages = send_count.messages + excluded.messages,
	recipients = send_count.recipients + excluded.recipients, fresh = send_count.fresh + excluded.fresh`,
	}
	sqlDropAhead = db.SQL("DELETE FROM send_count WHERE minute > ?")
)

// recover dates rows from the future back to now: the clock went back while we
// were stopped, or was wrong while they were written.
func (l *Limiter) recover(ctx context.Context) error {
	last := l.clock.startMinute()
	var ahead int64
	err := l.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlAhead, []any{last}, &ahead) })
	if err != nil || ahead == 0 {
		return err
	}
	l.o.Logger.Warn("the clock has gone back: what was sent later than now counts as sent now", "rows", ahead)
	return l.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		if _, err := tx.Exec(sqlPull, last, last); err != nil {
			return err
		}
		_, err := tx.Exec(sqlDropAhead, last)
		return err
	})
}
