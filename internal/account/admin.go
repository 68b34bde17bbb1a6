package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Alias is an address, or a domain's catch-all "*@domain", and where it leads.
type Alias struct {
	Address string   `json:"address"`
	Targets []string `json:"targets"`
}

// exists turns the engine's conflict into the sentence for people.
func exists(err error) error {
	if errors.Is(err, db.ErrConflict) {
		return ErrExists
	}
	return err
}

// deleted turns "no row changed" into an error.
func deleted(none error) func(int64, error) error {
	return func(n int64, err error) error {
		if err == nil && n == 0 {
			return none
		}
		return err
	}
}

var (
	sqlAddAccount = db.SQL(`INSERT INTO account (id, tenant, key, local, domain, password, quota, created)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
	sqlAliasUsed     = db.SQL("SELECT count(*) FROM alias WHERE key = ?")
	sqlRemoveAccount = db.SQL("DELETE FROM account WHERE id = ?")
	sqlAccounts      = db.SQL("SELECT " + accountColumns + " FROM account ORDER BY domain, local")
	sqlSetPassword   = db.SQL("UPDATE account SET password = ?, scram = '' WHERE key = ?")
	sqlSetQuota      = db.SQL("UPDATE account SET quota = ? WHERE key = ?")
	sqlSetLanguage   = db.SQL("UPDATE account SET language = ? WHERE key = ?")
)

// AddAccount makes an account with its mailboxes. ErrNoDomain, ErrExists and
// ErrPassword say what is wrong.
func (d *Directory) AddAccount(ctx context.Context, addr mail.Address, password string) (Account, error) {
	if err := checkPassword(password); err != nil {
		return Account{}, err
	}
	if strings.Contains(addr.Local, "*") || addr.Local == "" {
		return Account{}, fmt.Errorf("%w: %q", mail.ErrAddress, addr)
	}
	a := Account{ID: d.o.IDs.Next(), Tenant: MainTenant, Address: addr, Quota: DefaultQuota, Created: mail.Micros(time.Now())}
	hash := hashPassword(password)
	err := d.change(ctx, func(tx *db.Tx) error {
		if err := holds(tx, addr.Domain.ASCII); err != nil {
			return err
		}
		var aliases int
		if err := tx.Row(sqlAliasUsed, []any{addr.Key()}, &aliases); err != nil {
			return err
		}
		if aliases > 0 {
			return fmt.Errorf("%w, as an alias", ErrExists)
		}
		_, err := tx.Exec(sqlAddAccount, a.ID, a.Tenant, addr.Key(), addr.Local, addr.Domain.ASCII, hash, a.Quota, a.Created)
		if err != nil {
			return exists(err)
		}
		return d.o.Created(tx, a)
	})
	return a, err
}

func checkPassword(p string) error {
	if slices.ContainsFunc(forms(p), func(form string) bool { return len(form) < minPassword || len(form) > maxPassword }) {
		return ErrPassword
	}
	return nil
}

// RemoveAccount ends an account; its mail goes with it.
func (d *Directory) RemoveAccount(ctx context.Context, addr mail.Address) error {
	return d.change(ctx, func(tx *db.Tx) error {
		a, ok, err := oneAccount(tx, sqlByKey, addr.Key())
		if err != nil {
			return err
		}
		if !ok {
			return ErrNoAccount
		}
		if err := d.o.Removed(tx, a); err != nil {
			return err
		}
		if _, err := tx.Exec(sqlRevokeAll, a.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(sqlForgetIdentities, a.ID); err != nil {
			return err
		}
		_, err = tx.Exec(sqlRemoveAccount, a.ID)
		return err
	})
}

// Accounts lists all accounts by domain and name.
func (d *Directory) Accounts(ctx context.Context) ([]Account, error) {
	var out []Account
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = nil
		rows, err := tx.Query(sqlAccounts)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			a, err := scanAccount(r)
			out = append(out, a)
			return err
		})
	})
	return out, err
}

// SetPassword gives an account a new password; the old one ends at once, and what is
// logged in by it.
func (d *Directory) SetPassword(ctx context.Context, addr mail.Address, password string) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	hash := hashPassword(password)
	return d.change(ctx, func(tx *db.Tx) error {
		return deleted(ErrNoAccount)(tx.Exec(sqlSetPassword, hash, addr.Key()))
	})
}

// SetQuota bounds what an account may keep, in octets; 0 = no bound, DefaultQuota = as the
// settings say.
func (d *Directory) SetQuota(ctx context.Context, addr mail.Address, octets int64) error {
	return d.change(ctx, func(tx *db.Tx) error {
		return deleted(ErrNoAccount)(tx.Exec(sqlSetQuota, octets, addr.Key()))
	})
}

// SetLanguage says in which language an account reads what we write to it: "en" or
// "ja", else ErrLanguage.
func (d *Directory) SetLanguage(ctx context.Context, addr mail.Address, language string) error {
	if language != "en" && language != "ja" {
		return ErrLanguage
	}
	return d.change(ctx, func(tx *db.Tx) error {
		return deleted(ErrNoAccount)(tx.Exec(sqlSetLanguage, language, addr.Key()))
	})
}

var (
	sqlRemoveAlias = db.SQL("DELETE FROM alias WHERE key = ?")
	sqlAliases     = db.SQL("SELECT key, target FROM alias ORDER BY domain, key, target")
)

// maxTargets bounds one alias.
const maxTargets = 500

// SetAlias makes an address, or "*@domain", lead to others, in place of what
// it led to before; ErrExpansion if they lead to too many.
func (d *Directory) SetAlias(ctx context.Context, address string, targets []string) error {
	key, dom, err := aliasKey(address)
	if err != nil {
		return err
	}
	if len(targets) == 0 || len(targets) > maxTargets {
		return fmt.Errorf("an alias needs 1 to %d targets", maxTargets)
	}
	rows := make([][]any, 0, len(targets))
	for _, t := range targets {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return fmt.Errorf("%q: %w", t, err)
		}
		rows = append(rows, []any{key, dom.ASCII, a.String()})
	}
	return d.change(ctx, func(tx *db.Tx) error {
		if err := holds(tx, dom.ASCII); err != nil {
			return err
		}
		if of, err := standingOf(tx, dom.ASCII); err != nil || of.relay != nil && key == catchAll(dom) {
			return cmp.Or(err, ErrCatchAll)
		}
		if _, ok, err := oneAccount(tx, sqlByKey, key); err != nil || ok {
			return cmp.Or(err, fmt.Errorf("%w, as an account", ErrExists))
		}
		if _, err := tx.Exec(sqlRemoveAlias, key); err != nil {
			return err
		}
		if err := tx.Insert(db.Insert{Into: "alias", Columns: []string{"key", "domain", "target"}, Conflict: "ON CONFLICT DO NOTHING"}, rows...); err != nil {
			return err
		}
		// Mail to an alias that leads to too many would only be put off.
		x := d.expand(tx)
		x.seen[key] = true
		_, err := x.alias(key)
		return err
	})
}

func aliasKey(address string) (string, mail.Domain, error) {
	if rest, ok := strings.CutPrefix(address, "*@"); ok {
		dom, err := mail.ParseDomain(rest)
		return catchAll(dom), dom, err
	}
	a, err := mail.ParseAddress(address)
	if err != nil {
		return "", mail.Domain{}, fmt.Errorf("%q: %w", address, err)
	}
	return a.Key(), a.Domain, nil
}

// RemoveAlias ends an alias.
func (d *Directory) RemoveAlias(ctx context.Context, address string) error {
	key, _, err := aliasKey(address)
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *db.Tx) error {
		return deleted(ErrNoAlias)(tx.Exec(sqlRemoveAlias, key))
	})
}

// Aliases lists all aliases by domain and name.
func (d *Directory) Aliases(ctx context.Context) ([]Alias, error) {
	out := []Alias{}
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = out[:0]
		rows, err := tx.Query(sqlAliases)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var key, target string
			if err := r.Scan(&key, &target); err != nil {
				return err
			}
			if i := len(out) - 1; i >= 0 && out[i].Address == key {
				out[i].Targets = append(out[i].Targets, target)
				return nil
			}
			out = append(out, Alias{Address: key, Targets: []string{target}})
			return nil
		})
	})
	slices.SortFunc(out, func(a, b Alias) int { return strings.Compare(a.Address, b.Address) })
	return out, err
}

// LeadNowhere returns those of some addresses that lead to nobody: what mail finds
// that goes to an alias with such a target.
func (d *Directory) LeadNowhere(ctx context.Context, addresses ...string) (out []string, err error) {
	for _, text := range addresses {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		t, err := d.Resolve(ctx, a)
		itself := slices.ContainsFunc(t.Nowhere, func(n mail.Address) bool { return n.Key() == a.Key() })
		switch {
		case errors.Is(err, ErrNobody), err == nil && t.Kind == Unknown, itself:
			out = append(out, text)
		case err != nil && !errors.Is(err, ErrExpansion):
			return nil, err
		}
	}
	return out, nil
}

// AliasesTo returns the aliases that have an address among their targets, with a tag
// or without.
func (d *Directory) AliasesTo(ctx context.Context, to mail.Address) (out []string, err error) {
	all, err := d.Aliases(ctx)
	for _, alias := range all {
		if slices.ContainsFunc(alias.Targets, func(t string) bool {
			a, err := mail.ParseAddress(t)
			return err == nil && slices.Contains(names(a), to.Key())
		}) {
			out = append(out, alias.Address)
		}
	}
	return out, err
}
