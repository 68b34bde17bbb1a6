package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Schema returns the tables of this package. Times are microseconds; a network is
// its text, like "192.0.2.7/32".
//
// A name is a key as nameKey makes it. It need not be that of an account in
// login_ban. A row there stays for a week after its ban has ended, since the next
// one is longer then.
func Schema() db.Schema {
	return db.Schema{Package: "ban", Steps: []db.Stmt{db.SQL(`
CREATE TABLE login_network (
	name         TEXT NOT NULL,
	network      TEXT NOT NULL,
	last_success INTEGER NOT NULL,
	PRIMARY KEY (name, network)
) WITHOUT ROWID;
CREATE INDEX login_network_network ON login_network (network, last_success);
CREATE INDEX login_network_success ON login_network (last_success);

CREATE TABLE login_ban (
	name     TEXT NOT NULL,
	network  TEXT NOT NULL,
	number   INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	began    INTEGER NOT NULL,
	ends     INTEGER NOT NULL,
	PRIMARY KEY (name, network)
) WITHOUT ROWID;
CREATE INDEX login_ban_ends ON login_ban (ends);
`)}}
}

var (
	sqlKnown = db.SQL("SELECT last_success FROM login_network WHERE name = ? AND network = ?")
	sqlCount = db.SQL(`SELECT count(*) FROM
	(SELECT 1 FROM login_network WHERE network = ? AND last_success >= ? LIMIT ?) AS known`)
	sqlNote = db.Insert{
		Into: "login_network", Columns: []string{"name", "network", "last_success"},
		Conflict: "ON CONFLICT (name, network) DO UPDATE SET last_success = excluded.last_success",
	}
	sqlBan = db.Insert{
		Into: "login_ban", Columns: []string{"name", "network", "number", "failures", "began", "ends"},
		Conflict: `ON CONFLICT (name, network) DO UPDATE SET number = excluded.number,
	failures = excluded.failures, began = excluded.began, ends = excluded.ends`,
	}
	sqlUnban = db.SQL("DELETE FROM login_ban WHERE name = ? AND network = ?")
)

// lastSuccess is when a pair was noted last; zero = never.
func lastSuccess(tx *db.Tx, k key) (time.Time, error) {
	var at int64
	err := tx.Row(sqlKnown, []any{k.name, k.network.String()}, &at)
	if errors.Is(err, db.ErrNoRows) {
		return time.Time{}, nil
	}
	return mail.FromMicros(at), err
}

// readKnown tells whether a pair logged in of late, and how many accounts did from
// its network.
func (l *List) readKnown(ctx context.Context, k key) (known bool, accounts int, err error) {
	since := time.Now().Add(-knownFor)
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error {
		at, err := lastSuccess(tx, k)
		if err != nil {
			return err
		}
		known = !at.Before(since)
		return tx.Row(sqlCount, []any{k.network.String(), mail.Micros(since), maxAccounts}, &accounts)
	})
	return known, accounts, err
}

// note makes a pair known from now on, with one write a day at most, also after a
// restart. A login does not fail for it: the next one tries again.
func (l *List) note(ctx context.Context, k key) {
	now := time.Now()
	var at time.Time
	err := l.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		at, err = lastSuccess(tx, k)
		return err
	})
	if err == nil && now.Sub(at) >= noteEvery {
		at = now
		err = l.o.DB.Write(ctx, func(tx *db.Tx) error {
			return tx.Insert(sqlNote, []any{k.name, k.network.String(), mail.Micros(now)})
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		delete(l.noted, k)
		l.o.Logger.Warn("it is not noted from where an account logs in", "account", k.name, "error", err)
		return
	}
	l.noted[k] = at
}

// storeBan keeps a ban over a restart. One that cannot be kept holds until then.
func (l *List) storeBan(ctx context.Context, k key, s *sentence) {
	err := l.o.DB.Write(ctx, func(tx *db.Tx) error {
		return tx.Insert(sqlBan, []any{k.name, k.network.String(), s.count, s.failures, mail.Micros(s.began), mail.Micros(s.until)})
	})
	if err != nil {
		l.o.Logger.Warn("a ban holds until the next restart only", "name", k.name, "network", k.network.String(), "error", err)
		return
	}
	l.mu.Lock()
	s.stored = true
	l.version++
	r := l.records.byKey[k]
	cleared := r == nil || r.ban != s
	l.mu.Unlock()
	if cleared {
		l.dropBan(ctx, k)
		return
	}
	l.announce()
}

// dropBan ends a ban for good.
func (l *List) dropBan(ctx context.Context, k key) {
	if err := l.o.DB.Write(ctx, func(tx *db.Tx) error { return unban(tx, k) }); err != nil {
		l.o.Logger.Warn("a ban that is over is still in its table", "name", k.name, "network", k.network.String(), "error", err)
		return
	}
	l.announce()
}

func unban(tx *db.Tx, pairs ...key) error {
	for _, k := range pairs {
		if _, err := tx.Exec(sqlUnban, k.name, k.network.String()); err != nil {
			return err
		}
	}
	return nil
}

// announce tells other processes that bans have changed.
func (l *List) announce() { l.o.DB.Announce(noticeTopic, 0) }

// eachBan calls f for every row of the table that matters still, the bans that end
// last first, for as many as limit.
func eachBan(tx *db.Tx, limit int, f func(key, *sentence)) error {
	since := mail.Micros(time.Now().Add(-repeatsFor))
	rows, err := tx.Query(sqlBans, since, limit)
	if err != nil {
		return err
	}
	return db.Each(rows, func(r db.Rows) error {
		var name, network string
		var began, ends int64
		s := &sentence{stored: true}
		if err := r.Scan(&name, &network, &s.count, &s.failures, &began, &ends); err != nil {
			return err
		}
		p, err := netip.ParsePrefix(network)
		if err != nil {
			return fmt.Errorf("ban of %q: %w", name, err)
		}
		s.began, s.until = steady(mail.FromMicros(began)), steady(mail.FromMicros(ends))
		f(key{name, p}, s)
		return nil
	})
}

var sqlBans = db.SQL(`SELECT name, network, number, failures, began, ends FROM login_ban
	WHERE ends > ? ORDER BY ends DESC LIMIT ?`)
