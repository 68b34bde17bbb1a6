package tlsreport

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Schema returns the tables of this package. A row of tls_result counts what is alike
// on one day (since 1970, UTC): all connections for a domain under one policy, or
// those that failed in one way, which then has a fingerprint. A row of tls_report says
// how far the report of a day is: due again, or what became of it.
func Schema() db.Schema {
	return db.Schema{Package: "tlsreport", Steps: []db.Stmt{db.SQL(`
CREATE TABLE tls_report (
	day INTEGER NOT NULL,
	domain TEXT NOT NULL,
	state TEXT NOT NULL,
	due INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	reply TEXT NOT NULL,
	PRIMARY KEY (day, domain)
) WITHOUT ROWID;
CREATE INDEX tls_report_due ON tls_report (state, due);
CREATE TABLE tls_result (
	day INTEGER NOT NULL,
	domain TEXT NOT NULL,
	policy TEXT NOT NULL,
	failure TEXT NOT NULL,
	body TEXT NOT NULL,
	succeeded INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	PRIMARY KEY (day, domain, policy, failure)
) WITHOUT ROWID;
`)}}
}

const (
	// maxDomains is of how many domains results are kept on one day.
	maxDomains = 10_000
	// together is how many domains are stored in one transaction.
	together = 200

	// Reports go out between these times after the end of their day (RFC 8460 §4.1).
	firstSend = 5 * time.Minute
	lastSend  = 4 * time.Hour
)

// entry is what memory holds of one domain and day.
type entry struct {
	key
	of *results
}

// Store puts what is in memory into the table. What cannot be stored stays in memory;
// what may be stored already does not, so that nothing is counted twice.
func (r *Reports) Store(ctx context.Context) error {
	r.mu.Lock()
	taken := r.mem.days
	r.mem = newMemory()
	r.mu.Unlock()
	var list []entry
	for k, of := range taken {
		list = append(list, entry{k, of})
	}
	// In one order, so that two processes do not wait for each other in a circle.
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.domain, b.domain)) })
	var unknown, failed error
	for part := range slices.Chunk(list, together) {
		if failed == nil {
			failed = r.storePart(ctx, part)
		}
		switch {
		case errors.Is(failed, db.ErrUnknown):
			r.giveUp(part)
			unknown, failed = failed, nil // the next ones may do
		case failed != nil:
			r.takeBack(part)
		}
	}
	return errors.Join(unknown, failed)
}

// giveUp counts what may be missing in reports.
func (r *Reports) giveUp(part []entry) {
	for _, e := range part {
		r.o.Metrics.drop(len(e.of.rows))
	}
}

// takeBack puts into memory again what could not be stored.
func (r *Reports) takeBack(part []entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range part {
		for _, of := range e.of.rows {
			if !r.mem.add(e.key, of) {
				r.o.Metrics.drop(1)
			}
		}
	}
}

func (r *Reports) storePart(ctx context.Context, part []entry) error {
	var s storing
	err := r.o.DB.Write(ctx, func(tx *db.Tx) error {
		r.mu.Lock()
		s = storing{tx: tx, domains: maps.Clone(r.domains)}
		r.mu.Unlock()
		for _, e := range part {
			if err := s.add(e); err != nil {
				return err
			}
		}
		return s.insert()
	})
	if err == nil {
		r.o.Metrics.drop(s.dropped)
		r.count(s.domains)
	}
	return err
}

// count remembers how many domains the days have, to count anew once one is full: with
// others at the same table it is a number of late.
func (r *Reports) count(domains map[int64]int) {
	today := dayOf(r.o.Now())
	maps.DeleteFunc(domains, func(day int64, n int) bool { return day < today-1 || n >= maxDomains })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.domains = domains
}

var (
	sqlState  = db.SQL("SELECT state FROM tls_report WHERE day = ? AND domain = ?")
	sqlCount  = db.SQL("SELECT count(*) FROM tls_report WHERE day = ?")
	sqlKnown  = db.SQL("SELECT policy, failure FROM tls_result WHERE day = ? AND domain = ?")
	insReport = db.Insert{Into: "tls_report", Columns: []string{"day", "domain", "state", "due", "attempts", "reply"},
		Conflict: "ON CONFLICT (day, domain) DO NOTHING"}
	insResult = db.Insert{Into: "tls_result", Columns: []string{"day", "domain", "policy", "failure", "body", "succeeded", "failed"},
		Conflict: `ON CONFLICT (day, domain, policy, failure) DO UPDATE SET
	succeeded = tls_result.succeeded + excluded.succeeded, failed = tls_result.failed + excluded.failed`}
)

// storing is a part on its way into the tables.
type storing struct {
	tx      *db.Tx
	domains map[int64]int // how many each day is known to have
	dropped int           // rows that there was no room for

	reports, results [][]any
}

// add finds out what of a domain's results there is room for on its day.
func (s *storing) add(e entry) error {
	room, fresh, err := s.open(e.key)
	if err != nil {
		return err
	}
	if !room {
		s.dropped += len(e.of.rows)
		return nil
	}
	var have results
	if !fresh {
		if err := have.read(s.tx, e.key); err != nil {
			return err
		}
	}
	for _, of := range e.of.rows {
		id := of.id
		at, known := have.find(id)
		if _, under := have.find(rowKey{policy: id.policy}); !known && (id.failure != "" && !under || !have.take(id)) {
			s.dropped++
			continue
		}
		if !known {
			have.rows = slices.Insert(have.rows, at, row{id: id})
		}
		s.results = append(s.results, []any{e.day, e.domain, id.policy, id.failure, of.body, of.succeeded, of.failed})
	}
	return nil
}

// insert adds to the tables what add found.
func (s *storing) insert() error {
	if err := s.tx.Insert(insReport, s.reports...); err != nil {
		return err
	}
	return s.tx.Insert(insResult, s.results...)
}

// read takes up which rows the table has of a domain and day.
func (of *results) read(tx *db.Tx, k key) error {
	known, err := tx.Query(sqlKnown, k.day, k.domain)
	if err != nil {
		return err
	}
	return db.Each(known, func(rows db.Rows) error {
		var id rowKey
		if err := rows.Scan(&id.policy, &id.failure); err != nil {
			return err
		}
		at, _ := of.find(id)
		of.rows = slices.Insert(of.rows, at, row{id: id})
		of.take(id)
		return nil
	})
}

// open finds or makes the row of a report, and tells whether more may go into it, and
// whether it is made now.
func (s *storing) open(k key) (room, fresh bool, err error) {
	var state State
	err = s.tx.Row(sqlState, []any{k.day, k.domain}, &state)
	if !errors.Is(err, db.ErrNoRows) {
		return state == Waiting, false, err
	}
	n, counted := s.domains[k.day]
	if !counted {
		if err := s.tx.Row(sqlCount, []any{k.day}, &n); err != nil {
			return false, false, err
		}
	}
	if s.domains[k.day] = n; n >= maxDomains {
		return false, false, nil
	}
	s.domains[k.day]++
	due := startOf(k.day + 1).Add(firstSend + rand.N(lastSend-firstSend))
	s.reports = append(s.reports, []any{k.day, k.domain, Waiting, mail.Micros(due), 0, ""})
	return true, true, nil
}

const (
	// keepReports is for how many days it is known what became of a report.
	keepReports = 14
	// keepResults is for how many days results are kept at most.
	keepResults = 2
	// slice is how many rows are dropped in one go.
	slice = 500
)

var (
	sqlOldReports = db.SQL(`DELETE FROM tls_report WHERE (day, domain) IN
	(SELECT day, domain FROM tls_report WHERE day < ? ORDER BY day, domain LIMIT ?)`)
	sqlOldResults = db.SQL(`DELETE FROM tls_result WHERE (day, domain, policy, failure) IN
	(SELECT day, domain, policy, failure FROM tls_result WHERE day < ? ORDER BY day, domain, policy, failure LIMIT ?)`)
)

// Prune drops what is old, a slice at a time.
func (r *Reports) Prune(ctx context.Context) error {
	today := dayOf(r.o.Now())
	for _, what := range []struct {
		sql    db.Stmt
		before int64
	}{{sqlOldResults, today - keepResults}, {sqlOldReports, today - keepReports}} {
		for n := int64(slice); n == slice; {
			err := r.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
				n, err = tx.Exec(what.sql, what.before, slice)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
