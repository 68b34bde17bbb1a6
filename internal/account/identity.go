package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// An identity is an address that an account may send as though its mail goes
// elsewhere, or "*@domain" for all of a domain. The domain need not be ours. Case
// counts in neither half: nobody gives two people addresses that differ by it alone.

// ErrNoIdentity says that an account has no such identity.
var ErrNoIdentity = errors.New("the account has no such identity")

// maxIdentities bounds those of one account.
const maxIdentities = 1000

const identityTable = `
CREATE TABLE account_identity (
	account INTEGER NOT NULL REFERENCES account (id),
	key     TEXT NOT NULL,
	PRIMARY KEY (account, key)
) WITHOUT ROWID;
`

var (
	sqlIdentities       = db.SQL("SELECT key FROM account_identity WHERE account = ? ORDER BY key")
	sqlHasIdentity      = db.SQL("SELECT COUNT(*) FROM account_identity WHERE account = ? AND key IN (?, ?)")
	sqlCountIdentities  = db.SQL("SELECT COUNT(*) FROM account_identity WHERE account = ?")
	sqlRemoveIdentity   = db.SQL("DELETE FROM account_identity WHERE account = ? AND key = ?")
	sqlForgetIdentities = db.SQL("DELETE FROM account_identity WHERE account = ?")
)

// AddIdentity lets an account send as an address, or with "*@domain" as all of a
// domain.
func (d *Directory) AddIdentity(ctx context.Context, addr mail.Address, identity string) error {
	key, _, err := aliasKey(identity)
	if err != nil {
		return err
	}
	return d.onAccount(ctx, addr, func(tx *db.Tx, a Account) error {
		var n int
		if err := tx.Row(sqlCountIdentities, []any{a.ID}, &n); err != nil {
			return err
		}
		if n >= maxIdentities {
			return fmt.Errorf("an account may have %d identities", maxIdentities)
		}
		return tx.Insert(db.Insert{Into: "account_identity", Columns: []string{"account", "key"}, Conflict: "ON CONFLICT DO NOTHING"}, []any{int64(a.ID), key})
	})
}

// RemoveIdentity takes it back.
func (d *Directory) RemoveIdentity(ctx context.Context, addr mail.Address, identity string) error {
	key, _, err := aliasKey(identity)
	if err != nil {
		return err
	}
	return d.onAccount(ctx, addr, func(tx *db.Tx, a Account) error {
		return deleted(ErrNoIdentity)(tx.Exec(sqlRemoveIdentity, a.ID, key))
	})
}

// onAccount changes what belongs to an account.
func (d *Directory) onAccount(ctx context.Context, addr mail.Address, fn func(*db.Tx, Account) error) error {
	return d.change(ctx, func(tx *db.Tx) error {
		a, ok, err := oneAccount(tx, sqlByKey, addr.Key())
		if err != nil {
			return err
		}
		if !ok {
			return ErrNoAccount
		}
		return fn(tx, a)
	})
}

// Identities lists what an account may send as besides its own addresses.
func (d *Directory) Identities(ctx context.Context, addr mail.Address) ([]string, error) {
	out := []string{}
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = out[:0]
		a, ok, err := oneAccount(tx, sqlByKey, addr.Key())
		if err != nil {
			return err
		}
		if !ok {
			return ErrNoAccount
		}
		rows, err := tx.Query(sqlIdentities, a.ID)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var key string
			err := r.Scan(&key)
			out = append(out, key)
			return err
		})
	})
	return out, err
}

// hasIdentity tells whether an account was given an address.
func (d *Directory) hasIdentity(ctx context.Context, acc Account, a mail.Address) (has bool, err error) {
	var n int
	err = d.o.DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(sqlHasIdentity, []any{acc.ID, a.Key(), catchAll(a.Domain)}, &n)
	})
	return n > 0, err
}
