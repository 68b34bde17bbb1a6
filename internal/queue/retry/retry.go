// Package retry knows how often, and for how long, the mail of a sender is tried: what
// the operator has set for an account, a stream or a tenant.
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

// Scope is what a sender is known by.
type Scope string

// The scopes, the first before the next.
const (
	Account Scope = "account"
	Stream  Scope = "stream"
	Tenant  Scope = "tenant"
)

// Sender is whose mail it is: an account or a tenant by its id, a stream by its name.
type Sender struct {
	Scope Scope
	Name  string
}

// ForAccount and ForTenant name a sender by an id.
func ForAccount(id mail.ID) Sender { return Sender{Account, id.String()} }

// ForTenant names all of a tenant's senders.
func ForTenant(id mail.ID) Sender { return Sender{Tenant, id.String()} }

// Schedule is how often and for how long; what is zero is as elsewhere.
type Schedule struct {
	Waits    []time.Duration // between attempts; the last repeats
	Lifetime time.Duration   // from acceptance
}

// Row is a schedule that the operator has set.
type Row struct {
	Sender
	Schedule
	Changed int64 // microseconds
}

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

// Schema is the table of this package: one row per sender; no waits are an empty text,
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

// Store answers what holds for a sender, from memory. It may be used by many goroutines.
type Store struct {
	db   db.DB
	rows atomic.Pointer[map[Sender]Schedule]
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
	rows := make(map[Sender]Schedule, len(list))
	for _, r := range list {
		rows[r.Sender] = r.Schedule
	}
	s.rows.Store(&rows)
	return nil
}

// For returns what holds for a message: of waits and lifetime each what is set for its
// account, else for its stream, else for its tenant.
func (s *Store) For(account mail.ID, stream string, tenant mail.ID) (out Schedule) {
	rows := *s.rows.Load()
	if len(rows) == 0 {
		return out
	}
	for _, who := range []Sender{ForAccount(account), {Stream, stream}, ForTenant(tenant)} {
		set := rows[who]
		if out.Waits == nil {
			out.Waits = set.Waits
		}
		if out.Lifetime == 0 {
			out.Lifetime = set.Lifetime
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
		return nil, fmt.Errorf("retry times of senders: %w", err)
	}
	return out, nil
}

var (
	upsertRow = db.Insert{Into: "queue_retry", Columns: []string{"scope", "name", "waits", "lifetime", "changed"},
		Conflict: "ON CONFLICT (scope, name) DO UPDATE SET waits = excluded.waits, lifetime = excluded.lifetime, changed = excluded.changed"}
	deleteRow = db.SQL("DELETE FROM queue_retry WHERE scope = ? AND name = ?")
	countRows = db.SQL("SELECT COUNT(*) FROM queue_retry")
)

// ErrNotSet says that nothing is set for a sender.
var ErrNotSet = errors.New("nothing is set for this sender: 'hayauma queue schedule list' shows for whom there is")

// Set sets the schedule of a sender: the lifetime holds for what is accepted from now
// on, the waits from the next attempt on.
func (s *Store) Set(ctx context.Context, who Sender, set Schedule) error {
	switch {
	case len(set.Waits) == 0 && set.Lifetime == 0:
		return errors.New("say what is other for this sender: the waits between attempts, the lifetime, or both")
	case set.Lifetime != 0 && (set.Lifetime < time.Second || set.Lifetime > longestLifetime):
		return errors.New("lifetime: write a time from 1s to 365d")
	}
	waits := FormatWaits(set.Waits)
	if len(set.Waits) > 0 {
		if _, err := ParseWaits(waits); err != nil {
			return err
		}
	}
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		err := tx.Insert(upsertRow, []any{string(who.Scope), who.Name, waits, int64(set.Lifetime / time.Second), mail.Micros(time.Now())})
		if err != nil {
			return err
		}
		var n int
		if err := tx.Row(countRows, nil, &n); err != nil {
			return err
		}
		if n > maxRows {
			return fmt.Errorf("%d senders have retry times of their own already: remove some first", maxRows)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.load(ctx)
}

// Remove takes back what is set for a sender.
func (s *Store) Remove(ctx context.Context, who Sender) error {
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(deleteRow, string(who.Scope), who.Name)
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
	who := ForAccount(account)
	_, err := tx.Exec(deleteRow, string(who.Scope), who.Name)
	return err
}
