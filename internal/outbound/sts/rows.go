package sts

import (
	"context"
	"errors"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// Schema returns the table of this package: a row is the last policy that a
// domain published, in its own words, and the id of the record that announced it.
// It is renewed from due on, if it was used of late (a day since 1970). Failure,
// reason and cause are of the last try to renew it that went wrong, if none went well
// since.
func Schema() db.Schema {
	return db.Schema{Package: "sts", Steps: []db.Stmt{db.SQL(`
CREATE TABLE sts_policy (
	domain TEXT PRIMARY KEY,
	id TEXT NOT NULL,
	policy TEXT NOT NULL,
	fetched INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	due INTEGER NOT NULL,
	used INTEGER NOT NULL,
	failure TEXT NOT NULL,
	reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sts_policy_due ON sts_policy (due);
CREATE INDEX sts_policy_expires ON sts_policy (expires);
`), db.SQL(`
ALTER TABLE sts_policy ADD COLUMN cause TEXT NOT NULL DEFAULT '';
UPDATE sts_policy SET failure = '', reason = '';
`)}} // the reason had been the cause, which is not for strangers
}

// row is one of the table; without a policy there is none.
type row struct {
	Held
	domain string
	used   int64
}

var sqlLoad = db.SQL("SELECT id, policy, fetched, expires, used, failure, reason, cause FROM sts_policy WHERE domain = ?")

func (s *Store) load(ctx context.Context, domain string) (row, error) {
	r := row{domain: domain}
	var text string
	var fetched, expires int64
	err := s.o.DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(sqlLoad, []any{domain}, &r.ID, &text, &fetched, &expires, &r.used, &r.Failure, &r.Reason, &r.Cause)
	})
	if errors.Is(err, db.ErrNoRows) {
		return row{domain: domain}, nil
	}
	if err != nil {
		return row{}, err
	}
	if r.Policy, err = mtasts.Parse(text); err != nil {
		s.o.Logger.Error("a stored MTA-STS policy cannot be read and is fetched anew", "domain", domain, "error", err)
		return row{domain: domain}, nil
	}
	r.Fetched, r.Expires = mail.FromMicros(fetched), mail.FromMicros(expires)
	return r, nil
}

// index is which domains have a row: most have none, and there is nothing to load.
type index struct {
	domains map[string]struct{} // nil = too many to remember
	until   time.Time
}

const maxIndex = 10_000

var sqlIndex = db.SQL("SELECT domain FROM sts_policy LIMIT ?")

// find is load for a domain that may have no row. One that was made while the index
// was, or since by another process, is missing: until the index is made anew the domain
// is looked at as a new one.
func (s *Store) find(ctx context.Context, domain string) (row, error) {
	may, err := s.mayHave(ctx, domain)
	if err != nil || !may {
		return row{domain: domain}, err
	}
	return s.load(ctx, domain)
}

func (s *Store) mayHave(ctx context.Context, domain string) (bool, error) {
	if may, fresh := s.indexed(domain); fresh {
		return may, nil
	}
	s.indexing.Lock()
	defer s.indexing.Unlock()
	if may, fresh := s.indexed(domain); fresh {
		return may, nil
	}
	domains := map[string]struct{}{}
	err := s.o.DB.Read(ctx, func(tx *db.Tx) error {
		clear(domains)
		rows, err := tx.Query(sqlIndex, maxIndex+1)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var domain string
			err := r.Scan(&domain)
			domains[domain] = struct{}{}
			return err
		})
	})
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	if len(domains) > maxIndex {
		domains = nil
	}
	s.index = index{domains: domains, until: s.o.Now().Add(lookEvery)}
	s.mu.Unlock()
	may, _ := s.indexed(domain)
	return may, nil
}

// indexed tells whether a domain may have a row, and whether the index still counts.
func (s *Store) indexed(domain string) (may, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, may = s.index.domains[domain]
	return may || s.index.domains == nil, s.o.Now().Before(s.index.until)
}

// hasRow puts a domain into the index.
func (s *Store) hasRow(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.domains != nil {
		s.index.domains[domain] = struct{}{}
	}
}

var insertPolicy = db.Insert{
	Into: "sts_policy", Columns: []string{"domain", "id", "policy", "fetched", "expires", "due", "used", "failure", "reason", "cause"},
	Conflict: `ON CONFLICT (domain) DO UPDATE SET id = excluded.id, policy = excluded.policy, fetched = excluded.fetched,
	expires = excluded.expires, due = excluded.due, failure = '', reason = '', cause = ''`,
}

// save stores a policy that was fetched and used now, to be renewed next.
func (s *Store) save(ctx context.Context, domain string, h Held, next time.Time) error {
	return s.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.OnCommit(func() { s.hasRow(domain) })
		return tx.Insert(insertPolicy, []any{domain, h.ID, h.Text(), mail.Micros(h.Fetched), mail.Micros(h.Expires),
			mail.Micros(next), day(h.Fetched), "", "", ""})
	})
}

var sqlNote = db.SQL("UPDATE sts_policy SET failure = ?, reason = ?, cause = ? WHERE domain = ? AND fetched = ?")

// note stores why a policy was not fetched anew, unless somebody else did that
// meanwhile.
func (s *Store) note(ctx context.Context, r row, h Held) error {
	if h.Failure == r.Failure && h.Reason == r.Reason && h.Cause == r.Cause {
		return nil
	}
	return s.o.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(sqlNote, h.Failure, h.Reason, h.Cause, r.domain, mail.Micros(r.Fetched))
		return err
	})
}

var sqlUse = db.SQL("UPDATE sts_policy SET used = ? WHERE domain = ?")

// use keeps a policy among those that are renewed.
func (s *Store) use(ctx context.Context, r row, now time.Time) {
	if r.Mode == "" || r.used == day(now) {
		return
	}
	err := s.o.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(sqlUse, day(now), r.domain)
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Warn("MTA-STS policy may not be renewed in time", "domain", r.domain, "error", err)
	}
}

func day(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }
