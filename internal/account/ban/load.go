package ban

import (
	"context"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// noticeTopic is under which processes tell each other of changed bans.
const noticeTopic = "ban"

// lookEvery is how often a process looks by itself for the bans of others.
const lookEvery = time.Minute

// fast is by how much the clock of another process may be ahead of ours.
const fast = time.Minute

var sqlAhead = db.SQL("UPDATE login_ban SET ends = ends - began + ?, began = ? WHERE began > ?")

// Load brings the bans of the last run, or of other processes. Bans that are in no
// table any more end; those that could not be kept there stay. Those that began in the
// future, which a clock that was set back has left, begin now: they keep nobody out for
// longer than they were to last.
func (l *List) Load(ctx context.Context) error {
	for {
		l.mu.Lock()
		version := l.version
		l.mu.Unlock()
		var found map[key]*sentence
		var ahead bool
		err := l.o.DB.Read(ctx, func(tx *db.Tx) error {
			found, ahead = map[key]*sentence{}, false
			return eachBan(tx, maxBans, func(k key, s *sentence) {
				found[k] = s
				ahead = ahead || time.Until(s.began) > fast
			})
		})
		if err == nil && ahead {
			err = l.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
				now := mail.Micros(time.Now())
				_, err := tx.Exec(sqlAhead, now, now, now)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("the bans: %w", err)
		}
		if !ahead && l.replace(version, found) {
			return nil
		}
	}
}

// replace does nothing if bans have changed since version: what was read may lack
// them.
func (l *List) replace(version uint64, found map[key]*sentence) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version != version {
		return false
	}
	for k, r := range l.records.byKey {
		if r.ban != nil && r.ban.stored && found[k] == nil {
			l.records.absolve(r)
			r.wake()
		}
	}
	now := l.now()
	for k, s := range found {
		r := l.records.get(k, now)
		if r.ban == nil || r.ban.until.Before(s.until) {
			l.records.convict(r, s)
			r.wake()
		}
	}
	return true
}

// Watch follows the bans of other processes, until ctx ends. It returns at once
// where no other process can use the database.
func (l *List) Watch(ctx context.Context) {
	changed := make(chan struct{}, 1)
	heard := func([]int64) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if !l.o.DB.Listen(ctx, noticeTopic, heard) {
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if err := l.Load(ctx); err != nil && ctx.Err() == nil {
			l.o.Logger.Warn("bans of other processes are not seen now", "error", err)
		}
	}
}

// sweepSlice is how many rows one write deletes.
const sweepSlice = 1000

var (
	sqlSweepNetworks = db.SQL(`DELETE FROM login_network WHERE (name, network) IN
	(SELECT name, network FROM login_network WHERE last_success < ? ORDER BY last_success LIMIT ?)`)
	sqlSweepBans = db.SQL(`DELETE FROM login_ban WHERE (name, network) IN
	(SELECT name, network FROM login_ban WHERE ends < ? ORDER BY ends LIMIT ?)`)
)

// Sweep forgets networks from which nobody logged in for a month, and bans that
// ended a week ago.
func (l *List) Sweep(ctx context.Context) error {
	now := time.Now()
	if err := l.sweepRows(ctx, sqlSweepNetworks, now.Add(-knownFor)); err != nil {
		return err
	}
	if err := l.sweepRows(ctx, sqlSweepBans, now.Add(-repeatsFor)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records.byKey {
		if r.ban != nil && now.Sub(r.ban.until) >= repeatsFor {
			l.records.absolve(r)
		}
	}
	for k, at := range l.noted {
		if now.Sub(at) >= noteEvery {
			delete(l.noted, k)
		}
	}
	return nil
}

func (l *List) sweepRows(ctx context.Context, s db.Stmt, before time.Time) error {
	for {
		var n int64
		err := l.o.DB.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(s, mail.Micros(before), sweepSlice)
			return err
		})
		if err != nil || n < sweepSlice {
			return err
		}
	}
}

var (
	sqlEraseNetworks = db.SQL("DELETE FROM login_network WHERE name = ?")
	sqlEraseBans     = db.SQL("DELETE FROM login_ban WHERE name = ?")
)

// Erase forgets, in the commit that ends an account, from where it logged in and
// who was kept from it.
func (l *List) Erase(tx *db.Tx, account mail.Address) error {
	name := account.Key()
	if _, err := tx.Exec(sqlEraseNetworks, name); err != nil {
		return err
	}
	if _, err := tx.Exec(sqlEraseBans, name); err != nil {
		return err
	}
	tx.OnCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.version++
		for k := range l.noted {
			if k.name == name {
				delete(l.noted, k)
			}
		}
		l.forget(Filter{name: name})
		l.announce()
	})
	return nil
}
