package account

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// mainIterations is what a verifier of a password that somebody chose costs: it
// is the weaker door beside argon2id, so it exists only where it was asked for.
const mainIterations = 600_000

var (
	sqlScram    = db.SQL("SELECT scram, password FROM account WHERE id = ?")
	sqlSetScram = db.SQL("UPDATE account SET scram = ? WHERE key = ?")
	sqlCosts    = db.SQL(`SELECT (SELECT count(*) FROM account WHERE scram <> ''),
	(SELECT count(DISTINCT account) FROM app_password WHERE account IN (SELECT id FROM account WHERE scram = ''))`)
	sqlSecret = db.SQL("SELECT secret FROM account_secret WHERE id = 1")
)

// SetVerifier lets the password of an account be used with SCRAM as well, until
// it is changed. App passwords that were made before cannot be used with SCRAM
// then. The password is to be the one that is set.
func (d *Directory) SetVerifier(ctx context.Context, addr mail.Address, password string) error {
	v, err := sasl.Derive(password, sasl.NewSalt(), mainIterations)
	if errors.Is(err, sasl.ErrPrepare) {
		return fmt.Errorf("%w: it cannot be used with SCRAM", err)
	}
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *db.Tx) error {
		return deleted(ErrNoAccount)(tx.Exec(sqlSetScram, v.String(), addr.Key()))
	})
}

// verifiers are what an account may prove itself with by SCRAM: its own password
// first, where it was asked for, under the id 0, then its app passwords.
func (d *Directory) verifiers(ctx context.Context, acc Account) (list []AppPassword, err error) {
	err = d.o.DB.Read(ctx, func(tx *db.Tx) error {
		list = nil
		var own, encoded string
		if err := tx.Row(sqlScram, []any{acc.ID}, &own, &encoded); err != nil {
			return err
		}
		apps, err := appPasswords(tx, acc.ID)
		if err != nil {
			return err
		}
		if own != "" {
			v, err := sasl.ParseVerifier(own)
			if err != nil {
				return fmt.Errorf("account %s: %w", acc.ID, err)
			}
			list = append(list, AppPassword{Scopes: Scopes(), verifier: v, by: ownPassword(encoded)})
		}
		list = append(list, apps...)
		return nil
	})
	return list, err
}

// decoyIterations is the cost that SCRAM tells of a name nobody proves anything for. It
// is that of as large a share of such names as of the accounts that have verifiers:
// of the cost alone nobody can tell which are which. It asks memory, until something
// changes.
func (d *Directory) decoyIterations(ctx context.Context, draw uint32) (int, error) {
	c, version := d.answers.scramCosts()
	if c == nil {
		c = new(costs)
		if err := d.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlCosts, nil, &c.main, &c.app) }); err != nil {
			return 0, err
		}
		d.answers.keepCosts(version, c)
	}
	if uint64(draw)*(c.main+c.app) < c.main<<32 {
		return mainIterations, nil
	}
	return sasl.Iterations, nil
}

// find returns the account of a login name; ok = there is one.
func (d *Directory) find(ctx context.Context, name string) (acc Account, ok bool, err error) {
	addr, err := mail.ParseAddress(name)
	if err != nil {
		return acc, false, nil //nolint:nilerr // nobody has such a name
	}
	err = d.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		acc, ok, err = oneAccount(tx, sqlByKey, addr.Key())
		return err
	})
	return acc, ok, err
}

// generated tells whether a password looks like one that we made.
func generated(password string) bool {
	return len(password) == generatedLen && strings.Trim(password, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

const generatedLen = 26 // of rand.Text

// authenticateApp is Authenticate for an app password. It takes the same time
// for users who have none, or who do not exist.
func (d *Directory) authenticateApp(ctx context.Context, a Attempt) (Login, error) {
	acc, ok, err := d.find(ctx, a.User)
	if err != nil {
		return Login{}, err
	}
	var apps []AppPassword
	if ok {
		if apps, err = d.verifiers(ctx, acc); err != nil {
			return Login{}, err
		}
	}
	if len(apps) == 0 {
		apps = []AppPassword{{verifier: sasl.Verifier{Salt: make([]byte, sasl.SaltSize), Iterations: sasl.Iterations}}}
	}
	found, err := d.login.among(ctx, apps, a.Password)
	if err != nil || found == nil {
		return Login{}, errors.Join(err, notFound(found))
	}
	return Login{acc, found.by}, d.use(ctx, *found, a.Door, a.Peer)
}

func notFound(p *AppPassword) error {
	if p == nil {
		return ErrCredentials
	}
	return nil
}

// use tells whether a password that was right may be used here, and notes it.
func (d *Directory) use(ctx context.Context, p AppPassword, door string, peer netip.Addr) error {
	if !p.allows(door, peer, mail.Micros(time.Now())) {
		return &unproven{fmt.Errorf("the app password %q is right, but it may not be used here or is past its time", p.Name)}
	}
	if p.ID != 0 {
		d.usedNow(ctx, p, peer)
	}
	return nil
}

// Secret is a key of this installation for one use, which nobody can tell from the
// keys for other uses.
func (d *Directory) Secret(ctx context.Context, use string) ([]byte, error) {
	secret, err := d.scramSecret(ctx)
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, secret, nil, "hayauma "+use, sha256.Size)
}

// scramSecret is what the salts of users who do not exist are made of.
func (d *Directory) scramSecret(ctx context.Context) ([]byte, error) {
	if s := d.secret.Load(); s != nil {
		return *s, nil
	}
	var secret []byte
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlSecret, nil, &secret) })
	if err == nil {
		d.secret.Store(&secret)
	}
	return secret, err
}
