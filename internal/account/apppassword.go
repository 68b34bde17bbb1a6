package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// Scope is what an app password is good for.
type Scope string

// The scopes.
const (
	ScopeSMTP Scope = "smtp" // submission
	ScopeIMAP Scope = "imap"
	ScopePOP3 Scope = "pop3"
	ScopeAPI  Scope = "api"
)

// Scopes are all of them.
func Scopes() []Scope { return []Scope{ScopeSMTP, ScopeIMAP, ScopePOP3, ScopeAPI} }

// scopeOf is what a door asks for.
func scopeOf(door string) Scope {
	if door == mail.DoorSubmission.String() {
		return ScopeSMTP
	}
	return Scope(door)
}

// AppPassword is a password that was generated for one program or device.
type AppPassword struct {
	ID       mail.ID        `json:"id"`
	Name     string         `json:"name"`
	Scopes   []Scope        `json:"scopes"`
	Networks []netip.Prefix `json:"networks,omitempty"` // from where it may be used; none = from everywhere
	Expires  int64          `json:"expires,omitempty"`  // microseconds, 0 = never
	Created  int64          `json:"created"`            // microseconds
	Used     int64          `json:"used,omitempty"`     // about when it was used last, microseconds; 0 = never
	UsedFrom string         `json:"used_from,omitempty"`

	verifier sasl.Verifier
	by       credential
}

// Errors of app passwords.
var (
	ErrNoAppPassword = errors.New("there is no such app password")
	ErrAppPassword   = errors.New("an app password needs a name of 1 to 64 characters, and one of the scopes smtp, imap, pop3 and api at least")
	ErrTooMany       = errors.New("the account has as many app passwords as it may: revoke one that is not used")
)

const (
	maxAppPasswords = 50
	maxAppName      = 64
	// usedEvery is how exact the time of the last use is, so that a client that
	// looks for mail each minute writes nothing.
	usedEvery = time.Hour
)

const appColumns = "id, name, verifier, scopes, networks, expires, created, used, used_from"

var (
	sqlApps      = db.SQL("SELECT " + appColumns + " FROM app_password WHERE account = ? ORDER BY id")
	sqlAddApp    = db.Insert{Into: "app_password", Columns: []string{"account", "id", "name", "verifier", "scopes", "networks", "expires", "created", "used", "used_from"}}
	sqlRevoke    = db.SQL("DELETE FROM app_password WHERE account = ? AND name = ?")
	sqlRevokeAll = db.SQL("DELETE FROM app_password WHERE account = ?")
	sqlUsed      = db.SQL("UPDATE app_password SET used = ?, used_from = ? WHERE id = ?")
)

func (p AppPassword) check() error {
	known := func(s Scope) bool { return slices.Contains(Scopes(), s) }
	if p.Name == "" || len(p.Name) > maxAppName || strings.ContainsFunc(p.Name, func(c rune) bool { return c < ' ' || c == 0x7f }) ||
		len(p.Scopes) == 0 || slices.ContainsFunc(p.Scopes, func(s Scope) bool { return !known(s) }) {
		return ErrAppPassword
	}
	return nil
}

// allows tells whether the password may be used at a door, from a peer, now.
func (p AppPassword) allows(door string, peer netip.Addr, now int64) bool {
	from := len(p.Networks) == 0 || slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(peer.Unmap().WithZone("")) })
	return from && slices.Contains(p.Scopes, scopeOf(door)) && (p.Expires == 0 || now < p.Expires)
}

// AddAppPassword generates a password of 130 bits and returns it: it is not kept
// and cannot be told again. Of p the name, scopes, networks and expiry count.
func (d *Directory) AddAppPassword(ctx context.Context, addr mail.Address, p AppPassword) (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	acc, err := d.Find(ctx, addr)
	if err != nil {
		return "", err
	}
	have, err := d.verifiers(ctx, acc)
	if err != nil {
		return "", err
	}
	// All of an account share salt and rounds: SCRAM tells them before it knows
	// which password it will see.
	like := sasl.Verifier{Salt: sasl.NewSalt(), Iterations: sasl.Iterations}
	if len(have) > 0 {
		like = have[0].verifier
	}
	password := strings.ToLower(rand.Text())
	v, err := sasl.Derive(password, like.Salt, like.Iterations)
	if err != nil {
		return "", err
	}
	row := []any{acc.ID, int64(d.o.IDs.Next()), p.Name, v.String(), joined(p.Scopes), prefixes(p.Networks), p.Expires, mail.Micros(time.Now()), 0, ""}
	return password, d.o.DB.Write(ctx, func(tx *db.Tx) error {
		list, err := appPasswords(tx, acc.ID)
		if err != nil {
			return err
		}
		if len(list) >= maxAppPasswords {
			return ErrTooMany
		}
		return exists(tx.Insert(sqlAddApp, row))
	})
}

// AppPasswords lists those of an account, oldest first.
func (d *Directory) AppPasswords(ctx context.Context, addr mail.Address) (list []AppPassword, err error) {
	acc, err := d.Find(ctx, addr)
	if err != nil {
		return nil, err
	}
	err = d.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = appPasswords(tx, acc.ID)
		return err
	})
	return list, err
}

// RevokeAppPassword ends one by its name, at once, and what is logged in by it.
func (d *Directory) RevokeAppPassword(ctx context.Context, addr mail.Address, name string) error {
	acc, err := d.Find(ctx, addr)
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *db.Tx) error {
		return deleted(ErrNoAppPassword)(tx.Exec(sqlRevoke, acc.ID, name))
	})
}

func appPasswords(tx *db.Tx, account mail.ID) ([]AppPassword, error) {
	rows, err := tx.Query(sqlApps, account)
	if err != nil {
		return nil, err
	}
	var list []AppPassword
	return list, db.Each(rows, func(r db.Rows) error {
		var p AppPassword
		var verifier, scopes, networks string
		if err := r.Scan(&p.ID, &p.Name, &verifier, &scopes, &networks, &p.Expires, &p.Created, &p.Used, &p.UsedFrom); err != nil {
			return err
		}
		var err error
		if p.verifier, err = sasl.ParseVerifier(verifier); err != nil {
			return fmt.Errorf("app password %s: %w", p.ID, err)
		}
		p.verifier.ID, p.by = int64(p.ID), credential{app: p.ID, expires: p.Expires}
		for s := range strings.SplitSeq(scopes, " ") {
			p.Scopes = append(p.Scopes, Scope(s))
		}
		for _, n := range strings.Fields(networks) {
			prefix, err := netip.ParsePrefix(n)
			if err != nil {
				return fmt.Errorf("app password %s: %w", p.ID, err)
			}
			p.Networks = append(p.Networks, prefix)
		}
		list = append(list, p)
		return nil
	})
}

func joined(scopes []Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}

func prefixes(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = n.Masked().String()
	}
	return strings.Join(words, " ")
}

// usedNow notes that a password was used. That it cannot be noted keeps nobody out.
func (d *Directory) usedNow(ctx context.Context, p AppPassword, peer netip.Addr) {
	now := mail.Micros(time.Now())
	if now-p.Used < usedEvery.Microseconds() {
		return
	}
	from := ""
	if peer.IsValid() {
		from = peer.String()
	}
	err := d.o.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(sqlUsed, now, from, int64(p.ID))
		return err
	})
	if err != nil {
		d.o.Logger.Warn("the last use of an app password is not noted", "account_password", p.ID.String(), "error", err)
	}
}
