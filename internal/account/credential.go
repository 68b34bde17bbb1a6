package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// ErrEnded says that what a session logged in by counts no longer, and LoginEnded says
// so to the peer.
var ErrEnded = errors.New("the password of the login was changed or revoked, or has expired")

// LoginEnded is the text of ErrEnded for the peer.
const LoginEnded = "The password that you logged in with was changed or revoked, or has expired: log in again"

// Login is an account with what it logged in by.
type Login struct {
	Account
	by credential
}

// credential is a password by its traces. The zero one is of a token, of a certificate,
// or of a host that has checked it: it lasts as long as its account.
type credential struct {
	app     mail.ID           // an app password; 0 = none
	expires int64             // of it, in microseconds; 0 = never
	own     [sha256.Size]byte // of the hash of the account's own password, which is new with each one
}

// stood is a login that still counted when it was looked up.
type stood struct {
	account mail.ID
	by      credential
}

func ownPassword(encoded string) credential { return credential{own: sha256.Sum256([]byte(encoded))} }

// Stands tells whether a login still counts, so that a session does not outlive what
// it logged in by: ErrEnded, or ErrNoAccount where nobody is left. Any other error is
// temporary. It asks memory, until something changes.
func (g *Gate) Stands(ctx context.Context, l Login) error {
	d, key := g.o.Directory, stood{l.ID, l.by}
	if l.by.expires != 0 && mail.Micros(time.Now()) >= l.by.expires {
		return ErrEnded
	}
	known, version := d.answers.stands(key)
	if known {
		return nil
	}
	if err := d.o.DB.Read(ctx, key.check); err != nil {
		return err
	}
	d.answers.keepLogin(version, key)
	return nil
}

var sqlStands = db.SQL(`SELECT password, (SELECT count(*) FROM app_password WHERE app_password.id = ? AND app_password.account = account.id)
	FROM account WHERE id = ?`)

func (s stood) check(tx *db.Tx) error {
	var encoded string
	var apps int
	err := tx.Row(sqlStands, []any{s.by.app, s.account}, &encoded, &apps)
	switch {
	case errors.Is(err, db.ErrNoRows):
		return ErrNoAccount
	case err != nil:
		return err
	case s.by.app != 0 && apps == 0, s.by.own != [sha256.Size]byte{} && s.by != ownPassword(encoded):
		return ErrEnded
	}
	return nil
}
