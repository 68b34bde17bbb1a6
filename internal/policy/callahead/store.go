package callahead

import (
	"context"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Schema returns the table of answers. A key is mail.Address.Key, or "*@domain" for
// whether the host takes every address.
func Schema() db.Schema {
	return db.Schema{Package: "policy/callahead", Steps: []db.Stmt{db.SQL(`
CREATE TABLE relay_answer (
	key     TEXT NOT NULL PRIMARY KEY,
	domain  TEXT NOT NULL,
	verdict INTEGER NOT NULL,
	asked   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX relay_answer_domain ON relay_answer (domain);
`), db.SQL(`
CREATE INDEX relay_answer_latest ON relay_answer (domain, verdict, asked);
DROP INDEX relay_answer_domain;
`)}}
}

var (
	sqlFind   = db.SQL("SELECT key, verdict, asked FROM relay_answer WHERE key IN (?, ?)")
	sqlCount  = db.SQL("SELECT count(*) FROM relay_answer")
	sqlForget = db.SQL("DELETE FROM relay_answer WHERE domain = ?")
	sqlPrune  = db.SQL("DELETE FROM relay_answer WHERE asked < ? OR verdict <> ? AND asked < ? OR asked > ?")
	sqlOthers = db.SQL("SELECT key FROM relay_answer WHERE domain = ? AND verdict = ? AND key NOT IN (?, ?) ORDER BY asked DESC LIMIT ?")
)

// row is an answer that is remembered.
type row struct {
	verdict Verdict
	asked   int64 // microseconds
}

func (r row) age() time.Duration { return time.Since(mail.FromMicros(r.asked)) }

// find reads what is remembered. An answer of a time to come was had under a clock that was
// wrong: nobody knows how old it is.
func (b *Book) find(ctx context.Context, key, all string) (found map[string]row, err error) {
	now := mail.Micros(time.Now())
	err = b.o.DB.Read(ctx, func(tx *db.Tx) error {
		found = map[string]row{}
		rows, err := tx.Query(sqlFind, key, all)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var key string
			var verdict int64
			var a row
			err := r.Scan(&key, &verdict, &a.asked)
			if a.verdict = Verdict(verdict); a.asked <= now {
				found[key] = a
			}
			return err
		})
	})
	return found, err
}

// others are those of a's domain whom its host took last, without a himself.
func (b *Book) others(ctx context.Context, a mail.Address) (others []mail.Address, err error) {
	err = b.o.DB.Read(ctx, func(tx *db.Tx) error {
		others = nil
		rows, err := tx.Query(sqlOthers, a.Domain.ASCII, int64(Taken), a.Key(), everybody(a.Domain), compared)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var key string
			if err := r.Scan(&key); err != nil {
				return err
			}
			other, err := mail.ParseAddress(key)
			others = append(others, other)
			return err
		})
	})
	return others, err
}

// keep remembers an answer in place of an older one. That a host takes every address,
// or does not any more, is told to the operator.
func (b *Book) keep(ctx context.Context, a mail.Address, answer Answer) error {
	if a.Local == "*" && answer.Verdict == Taken {
		b.o.Logger.Warn("the host of a relay domain takes every address: to ask it tells nothing, a list of recipients would",
			"domain", a.Domain.ASCII)
	}
	room, err := b.room(ctx)
	if err != nil {
		return err
	}
	if !room && answer.Verdict != Taken {
		return nil
	}
	return b.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.OnCommit(b.grown)
		return tx.Insert(db.Insert{
			Into: "relay_answer", Columns: []string{"key", "domain", "verdict", "asked"},
			Conflict: "ON CONFLICT (key) DO UPDATE SET verdict = excluded.verdict, asked = excluded.asked",
		}, []any{a.Key(), a.Domain.ASCII, int64(answer.Verdict), mail.Micros(time.Now())})
	})
}

// room tells whether there is any for one who is not there: those who guess at names
// choose how many they are.
func (b *Book) room(ctx context.Context) (bool, error) {
	b.mu.Lock()
	rows := b.rows
	b.mu.Unlock()
	if rows >= 0 {
		return rows < maxAnswers, nil
	}
	err := b.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlCount, nil, &rows) })
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = rows
	return rows < maxAnswers, nil
}

func (b *Book) grown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows++
}

// recount lets the next who wants to know count the rows.
func (b *Book) recount() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = -1
}

// Forget drops what is known of a domain: its hosts have changed.
func (b *Book) Forget(ctx context.Context, d mail.Domain) error {
	err := b.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.OnCommit(b.recount)
		_, err := tx.Exec(sqlForget, d.ASCII)
		return err
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rest, d.ASCII)
	delete(b.looked, d.ASCII)
	delete(b.made, d.ASCII)
	return err
}

// Prune drops answers that count for nothing any more.
func (b *Book) Prune(ctx context.Context) error {
	now := time.Now()
	return b.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.OnCommit(b.recount)
		_, err := tx.Exec(sqlPrune, mail.Micros(now.Add(-remembered)), int64(Taken), mail.Micros(now.Add(-probed)), mail.Micros(now))
		return err
	})
}

// TakesAll tells whether the host of a domain was found to take every address.
func (b *Book) TakesAll(ctx context.Context, d mail.Domain) (bool, error) {
	key := everybody(d)
	found, err := b.find(ctx, key, key)
	r := found[key]
	return r.verdict == Taken && r.age() <= 2*probed, err
}

// Known tells in words what is known of a recipient, "" = nothing.
func (b *Book) Known(ctx context.Context, a mail.Address) (string, error) {
	found, err := b.find(ctx, a.Key(), everybody(a.Domain))
	r, has := found[a.Key()]
	all := found[everybody(a.Domain)]
	switch {
	case all.verdict == Taken && all.age() <= 2*probed:
		return "its host takes every address, so that to ask it tells nothing", err
	case !has:
		return "", err
	case r.verdict == Taken:
		return "its host took it " + mail.About(r.age()) + " ago", err
	case r.verdict == Closed:
		return "its host refused mail for it, and took that for others, " + mail.About(r.age()) + " ago", err
	}
	return "its host had nobody of this name " + mail.About(r.age()) + " ago", err
}
