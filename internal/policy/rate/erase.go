package rate

import (
	"context"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

var insertErased = db.Insert{
	Into: "send_erased", Columns: []string{"account", "subject", "minute"}, Conflict: "ON CONFLICT (account) DO NOTHING",
}

// Erase forgets an account in the commit that ends it: what was decided about it at
// once, what it sent, and to whom, in slices that Run takes soon after. What its domain
// sent stays counted.
func (l *Limiter) Erase(tx *db.Tx, account mail.ID) error {
	n := ForAccount(account)
	if err := l.clearLimits(tx, n); err != nil {
		return err
	}
	if _, err := tx.Exec(sqlDropHold, account); err != nil {
		return err
	}
	tx.OnCommit(func() { l.forgetAccount(account) })
	return tx.Insert(insertErased, []any{account, n.Name, l.clock.minute()})
}

// forgetAccount takes an account out of memory, and has Run take it out of the tables.
func (l *Limiter) forgetAccount(account mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version++
	delete(l.subjects, ForAccount(account))
	for c := range l.contacts {
		if c.account == account {
			delete(l.contacts, c)
		}
	}
	delete(l.results, account)
	delete(l.suspects, account)
	delete(l.sudden, account)
	delete(l.again, account)
	l.erased, l.unknown = true, true // the latter for the metric
	l.signal()
}

// eraseAccounts bounds the accounts of one write.
const eraseAccounts = 200

var (
	sqlErased = db.SQL(`SELECT coalesce(max(account), 0) FROM
	(SELECT account FROM send_erased WHERE account > ? ORDER BY account LIMIT ?) AS slice`)
	sqlEraseContacts = db.SQL(`DELETE FROM send_contact WHERE (account, hash) IN (SELECT account, hash FROM send_contact
	WHERE account IN (SELECT account FROM send_erased WHERE account > ? AND account <= ?) LIMIT ?)`)
	sqlEraseWaiting = db.SQL(`DELETE FROM send_waiting WHERE (message, kind, subject) IN (SELECT message, kind, subject FROM send_waiting
	WHERE kind = 1 AND subject IN (SELECT subject FROM send_erased WHERE account > ? AND account <= ?) LIMIT ?)`)
	sqlEraseCounts = db.SQL(`DELETE FROM send_count WHERE (kind, subject, minute) IN (SELECT kind, subject, minute FROM send_count
	WHERE kind = 1 AND subject IN (SELECT subject FROM send_erased WHERE account > ? AND account <= ?) LIMIT ?)`)
	sqlEraseUsual = db.SQL(`DELETE FROM send_usual WHERE account IN
	(SELECT account FROM send_erased WHERE account > ? AND account <= ? ORDER BY account LIMIT ?)`)
	sqlEraseHolds = db.SQL(`DELETE FROM send_hold WHERE account IN
	(SELECT account FROM send_erased WHERE account > ? AND account <= ? ORDER BY account LIMIT ?)`)
	sqlOldErased = db.SQL(`DELETE FROM send_erased WHERE account IN
	(SELECT account FROM send_erased WHERE minute < ? ORDER BY minute LIMIT ?)`)
)

// erase takes the rows of accounts that ended, also those that a message has written
// which was on its way in meanwhile.
func (l *Limiter) erase(ctx context.Context) error {
	l.mu.Lock()
	l.erased = false
	l.mu.Unlock()
	for after := mail.ID(0); ; {
		var last mail.ID
		err := l.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlErased, []any{after, eraseAccounts}, &last) })
		if err == nil && last == 0 {
			return nil
		}
		for _, s := range []db.Stmt{sqlEraseContacts, sqlEraseWaiting, sqlEraseCounts, sqlEraseUsual, sqlEraseHolds} {
			if err == nil {
				err = l.drop(ctx, s, after, last)
			}
		}
		if err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.erased = true
			return err
		}
		after = last
	}
}

// eraseSoon is erase if somebody ended an account since.
func (l *Limiter) eraseSoon(ctx context.Context) error {
	l.mu.Lock()
	erased := l.erased
	l.mu.Unlock()
	if !erased {
		return nil
	}
	return l.erase(ctx)
}
