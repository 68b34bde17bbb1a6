// Package retry knows how often, and for how long, mail is tried: what the operator has
// set for an account, a destination, a stream or a tenant.
package retry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Scope is what mail is known by.
type Scope string

// The scopes, the first before the next.
const (
	Account Scope = "account"
	Domain  Scope = "domain" // of the recipient
	Stream  Scope = "stream"
	Tenant  Scope = "tenant"
)

// Which names mail: of an account or a tenant by its id, of a stream by its name, to a
// domain, or as "*.example.org" to all below one.
type Which struct {
	Scope Scope
	Name  string
}

// ForAccount and ForTenant name mail by whose it is.
func ForAccount(id mail.ID) Which { return Which{Account, id.String()} }

// ForTenant names all of a tenant's mail.
func ForTenant(id mail.ID) Which { return Which{Tenant, id.String()} }

// below begins the name of all domains below one.
const below = "*."

// ForDomain names the mail to a domain, or to all below one.
func ForDomain(s string) (Which, error) {
	name, all := strings.CutPrefix(s, below)
	d, err := mail.ParseDomain(name)
	if err != nil {
		return Which{}, err
	}
	if all {
		d.ASCII = below + d.ASCII
	}
	return Which{Domain, d.ASCII}, nil
}

// Mail is what is looked at of a message and one of its recipients.
type Mail struct {
	Account, Tenant mail.ID
	Stream          string
	To              string // the recipient's domain in ASCII; empty = nobody is looked at
}

// which lists what the mail is known by, the first before the next: of domains the
// recipient's own, then those above it, the nearest first.
func (m Mail) which() []Which {
	list := []Which{ForAccount(m.Account)}
	if m.To != "" {
		list = append(list, Which{Domain, m.To})
		for _, above, more := strings.Cut(m.To, "."); more; _, above, more = strings.Cut(above, ".") {
			list = append(list, Which{Domain, below + above})
		}
	}
	return append(list, Which{Stream, m.Stream}, ForTenant(m.Tenant))
}

// Schedule is how often and for how long; what is zero is as elsewhere.
type Schedule struct {
	Waits    []time.Duration // between attempts; the last repeats
	Lifetime time.Duration   // from acceptance
}

// Found is a schedule that holds, and for which mail each of both is set; the zero Which
// = it is not set.
type Found struct {
	Schedule
	WaitsOf, LifetimeOf Which
}

// Row is a schedule that the operator has set.
type Row struct {
	Which
	Schedule
	Changed int64 // microseconds
}

// Setting is where the waits of mail and providers come from that have none of their own.
const Setting = "queue.retry"

// Bounds of a schedule.
const (
	maxWaits        = 50
	longestWait     = 30 * 24 * time.Hour
	longestLifetime = 365 * 24 * time.Hour
	// maxRows bounds what is set, and so what is held in memory.
	maxRows = 10_000
)

// ParseWaits reads waits between attempts: 5m 15m 1h.
func ParseWaits(s string) ([]time.Duration, error) {
	words := strings.Fields(s)
	out := make([]time.Duration, 0, min(len(words), maxWaits))
	for _, w := range words {
		d, err := config.ParseDuration(w)
		if err != nil || d < time.Second || d > longestWait || len(out) == maxWaits {
			return nil, fmt.Errorf("retry = %q: write up to %d waits from 1s to 30d, as 5m 15m 1h", s, maxWaits)
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("retry = %q: write at least one wait, as 5m 15m 1h", s)
	}
	return out, nil
}

// FormatWaits is the inverse of ParseWaits.
func FormatWaits(list []time.Duration) string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = config.FormatDuration(d)
	}
	return strings.Join(out, " ")
}

// Schema is the table of this package: one row per Which; no waits are an empty text,
// no lifetime is 0, else it is in seconds.
func Schema() db.Schema {
	return db.Schema{Package: "queue/retry", Steps: []db.Stmt{db.SQL(`
CREATE TABLE queue_retry (
	scope TEXT NOT NULL,
	name TEXT NOT NULL,
	waits TEXT NOT NULL,
	lifetime INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (scope, name)
);
`)}}
}

// Store answers what holds for mail, from memory. It may be used by many goroutines.
type Store struct {
	db   db.DB
	rows atomic.Pointer[map[Which]Schedule]
}

// Open reads what is set.
func Open(ctx context.Context, d db.DB) (*Store, error) {
	s := &Store{db: d}
	return s, s.load(ctx)
}

func (s *Store) load(ctx context.Context) error {
	list, err := s.Rows(ctx)
	if err != nil {
		return err
	}
	rows := make(map[Which]Schedule, len(list))
	for _, r := range list {
		rows[r.Which] = r.Schedule
	}
	s.rows.Store(&rows)
	return nil
}

// For returns what holds for mail: of waits and lifetime each what is set for its account,
// else for its recipient's domain, for its stream, for its tenant.
func (s *Store) For(m Mail) (out Found) {
	rows := *s.rows.Load()
	if len(rows) == 0 {
		return out
	}
	for _, which := range m.which() {
		set := rows[which]
		if out.Waits == nil && set.Waits != nil {
			out.Waits, out.WaitsOf = set.Waits, which
		}
		if out.Lifetime == 0 && set.Lifetime != 0 {
			out.Lifetime, out.LifetimeOf = set.Lifetime, which
		}
	}
	return out
}

var selectRows = db.SQL("SELECT scope, name, waits, lifetime, changed FROM queue_retry ORDER BY scope, name")

// Rows are the schedules that are set.
func (s *Store) Rows(ctx context.Context) (out []Row, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		out = nil
		rows, err := tx.Query(selectRows)
		if err != nil {
			return err
		}
		return db.Each(rows, func(row db.Rows) error {
			var r Row
			var waits string
			var lifetime int64
			err := row.Scan(&r.Scope, &r.Name, &waits, &lifetime, &r.Changed)
			if err == nil && waits != "" {
				r.Waits, err = ParseWaits(waits)
			}
			r.Lifetime = time.Duration(lifetime) * time.Second
			out = append(out, r)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("retry times: %w", err)
	}
	return out, nil
}

var (
	upsertRow = db.Insert{Into: "queue_retry", Columns: []string{"scope", "name", "waits", "lifetime", "changed"},
		Conflict: "ON CONFLICT (scope, name) DO UPDATE SET waits = excluded.waits, lifetime = excluded.lifetime, changed = excluded.changed"}
	deleteRow = db.SQL("DELETE FROM queue_retry WHERE scope = ? AND name = ?")
	countRows = db.SQL("SELECT COUNT(*) FROM queue_retry")
)

// ErrNotSet says that nothing is set for some mail.
var ErrNotSet = errors.New("nothing is set for this: 'hayauma queue schedule list' shows for what there is")

// Set sets the schedule of mail. The waits hold from the next attempt on; the lifetime for
// what is accepted from now on, that of a domain for what waits as well.
func (s *Store) Set(ctx context.Context, which Which, set Schedule) error {
	switch {
	case len(set.Waits) == 0 && set.Lifetime == 0:
		return errors.New("say what is to be other: the waits between attempts, the lifetime, or both")
	case set.Lifetime != 0 && (set.Lifetime < time.Second || set.Lifetime > longestLifetime):
		return errors.New("lifetime: write a time from 1s to 365d")
	}
	waits := FormatWaits(set.Waits)
	if len(set.Waits) > 0 {
		if _, err := ParseWaits(waits); err != nil {
			return err
		}
	}
	err := s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		err := tx.Insert(upsertRow, []any{string(which.Scope), which.Name, waits, int64(set.Lifetime / time.Second), mail.Micros(time.Now())})
		if err != nil {
			return err
		}
		var n int
		if err := tx.Row(countRows, nil, &n); err != nil {
			return err
		}
		if n > maxRows {
			return fmt.Errorf("there are %d schedules already: remove some first", maxRows)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.load(ctx)
}

// Remove takes back what is set for mail.
func (s *Store) Remove(ctx context.Context, which Which) error {
	err := s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		n, err := tx.Exec(deleteRow, string(which.Scope), which.Name)
		if err == nil && n == 0 {
			return ErrNotSet
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.load(ctx)
}

// Erase takes back, in the commit that removes an account, what is set for it. Its id
// is nobody's any more: what memory still holds of it until the next change is harmless.
func (s *Store) Erase(tx *db.Tx, account mail.ID) error {
	which := ForAccount(account)
	_, err := tx.Exec(deleteRow, string(which.Scope), which.Name)
	return err
}
