package account

import (
	"context"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// DomainInfo is a domain of ours as it is listed.
type DomainInfo struct {
	Name       string `json:"name"`
	Accounts   int    `json:"accounts"`
	Aliases    int    `json:"aliases"`
	Relay      *Relay `json:"relay,omitempty"`      // nil = its mailboxes are here
	Recipients int    `json:"recipients,omitempty"` // of a relay domain, that are listed
	// TakesAll says that its host takes every address, so that to ask it tells nothing.
	// Domains never sets it.
	TakesAll bool `json:"takes_all,omitempty"`
}

var (
	sqlAddDomain = db.SQL(`INSERT INTO domain (name, tenant, created, relay, split, next_hosts, next_tls)
	VALUES (?, ?, ?, ?, ?, ?, ?)`)
	sqlRemoveDomain = db.SQL("DELETE FROM domain WHERE name = ?")
	sqlSetDomain    = db.SQL("UPDATE domain SET relay = ?, split = ?, next_hosts = ?, next_tls = ? WHERE name = ?")
	sqlDomains      = db.SQL(`SELECT name,
	(SELECT count(*) FROM account WHERE account.domain = domain.name),
	(SELECT count(DISTINCT key) FROM alias WHERE alias.domain = domain.name),
	(SELECT count(*) FROM relay_recipient WHERE relay_recipient.domain = domain.name),
	relay, split, next_hosts, next_tls
	FROM domain ORDER BY name`)
	sqlDomainUsed = db.SQL("SELECT (SELECT count(*) FROM account WHERE domain = ?) + (SELECT count(*) FROM alias WHERE domain = ?)")
	sqlStanding   = db.SQL("SELECT relay, split, next_hosts, next_tls FROM domain WHERE name = ?")
	sqlStandings  = db.SQL("SELECT name, relay, split, next_hosts, next_tls FROM domain LIMIT ?")
)

// AddDomain makes a domain ours. ErrExists if it is already.
func (d *Directory) AddDomain(ctx context.Context, dom mail.Domain) error {
	return d.AddRelayDomain(ctx, dom, nil)
}

// AddRelayDomain makes a domain ours whose mail goes on as r says; nil = it stays here.
// ErrExists if it is ours already.
func (d *Directory) AddRelayDomain(ctx context.Context, dom mail.Domain, r *Relay) error {
	if _, literal := dom.Literal(); literal || dom.IsZero() {
		return mail.ErrDomain
	}
	columns, err := r.columns()
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(sqlAddDomain, append([]any{dom.ASCII, MainTenant, mail.Micros(time.Now())}, columns...)...)
		return exists(err)
	})
}

// ChangeDomain changes how the mail of a domain goes on. The function gets how it does
// now, nil = it stays here, and returns a new value; an error of its own changes nothing.
func (d *Directory) ChangeDomain(ctx context.Context, dom mail.Domain, change func(*Relay) (*Relay, error)) error {
	return d.change(ctx, func(tx *db.Tx) error {
		of, err := standingOf(tx, dom.ASCII)
		if err != nil {
			return err
		}
		if !of.ours() {
			return ErrNoDomain
		}
		r, err := change(of.relay)
		if err != nil {
			return err
		}
		columns, err := r.columns()
		if err != nil {
			return err
		}
		if err := fits(tx, dom, r); err != nil {
			return err
		}
		if r == nil {
			if _, err := tx.Exec(sqlClearRecipients, dom.ASCII); err != nil {
				return err
			}
		}
		_, err = tx.Exec(sqlSetDomain, append(columns, dom.ASCII)...)
		return err
	})
}

// fits tells whether what a domain has here may stay.
func fits(tx *db.Tx, dom mail.Domain, r *Relay) error {
	if r == nil {
		return nil
	}
	var used, caught int
	if err := tx.Row(sqlDomainUsed, []any{dom.ASCII, dom.ASCII}, &used); err != nil {
		return err
	}
	if err := tx.Row(sqlAliasUsed, []any{catchAll(dom)}, &caught); err != nil {
		return err
	}
	switch {
	case used > 0 && !r.Split:
		return ErrNotSplit
	case caught > 0:
		return ErrCatchAll
	}
	return nil
}

// holds tells whether a domain may have accounts and aliases.
func holds(tx *db.Tx, domain string) error {
	of, err := standingOf(tx, domain)
	switch {
	case err != nil:
		return err
	case !of.ours():
		return ErrNoDomain
	case of.relay != nil && !of.relay.Split:
		return ErrRelay
	}
	return nil
}

// RemoveDomain gives a domain up; ErrInUse while it has accounts or aliases.
func (d *Directory) RemoveDomain(ctx context.Context, dom mail.Domain) error {
	return d.change(ctx, func(tx *db.Tx) error {
		var used int
		if err := tx.Row(sqlDomainUsed, []any{dom.ASCII, dom.ASCII}, &used); err != nil {
			return err
		}
		if used > 0 {
			return ErrInUse
		}
		if _, err := tx.Exec(sqlClearRecipients, dom.ASCII); err != nil {
			return err
		}
		return deleted(ErrNoDomain)(tx.Exec(sqlRemoveDomain, dom.ASCII))
	})
}

// Domains lists our domains by name.
func (d *Directory) Domains(ctx context.Context) ([]DomainInfo, error) {
	out := []DomainInfo{}
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = out[:0]
		rows, err := tx.Query(sqlDomains)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) (err error) {
			var i DomainInfo
			i.Relay, err = scanRelay(r, &i.Name, &i.Accounts, &i.Aliases, &i.Recipients)
			out = append(out, i)
			return err
		})
	})
	return out, err
}

// standing is what a domain is to us: a stranger, at home here, or one whose mail
// we pass on.
type standing struct {
	local bool
	relay *Relay
}

func (s standing) ours() bool { return s.local || s.relay != nil }

// IsLocal tells whether a domain is ours and all of its mail stays here.
func (d *Directory) IsLocal(ctx context.Context, dom mail.Domain) (bool, error) {
	of, err := d.standing(ctx, dom)
	return of.local, err
}

// Relay tells how the mail of a domain goes on, nil if it is no relay domain. It is
// shared: callers must not write to it.
func (d *Directory) Relay(ctx context.Context, dom mail.Domain) (*Relay, error) {
	of, err := d.standing(ctx, dom)
	return of.relay, err
}

func (d *Directory) standing(ctx context.Context, dom mail.Domain) (standing, error) {
	of, known, list, version := d.answers.domain(dom.ASCII)
	if known {
		return of, nil
	}
	return d.readStanding(ctx, dom, list, version)
}

// readStanding asks the database, for the list of all our domains where that pays.
func (d *Directory) readStanding(ctx context.Context, dom mail.Domain, list bool, version uint64) (of standing, err error) {
	var all map[string]standing
	err = d.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		if list {
			all, err = allStandings(tx)
			of = all[dom.ASCII]
		}
		if all == nil && err == nil {
			of, err = standingOf(tx, dom.ASCII)
		}
		return err
	})
	switch {
	case err != nil:
		return standing{}, err
	case list:
		d.answers.keepList(version, all)
	}
	if all == nil {
		d.answers.keepDomain(version, dom.ASCII, of)
	}
	return of, nil
}

// allStandings are those of all of our domains, nil if they are more than maxList.
func allStandings(tx *db.Tx) (map[string]standing, error) {
	all := map[string]standing{}
	rows, err := tx.Query(sqlStandings, maxList+1)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var name string
		relay, err := scanRelay(r, &name)
		all[name] = standing{local: relay == nil, relay: relay}
		return err
	})
	if err != nil || len(all) > maxList {
		return nil, err
	}
	return all, nil
}

func standingOf(tx *db.Tx, name string) (of standing, err error) {
	rows, err := tx.Query(sqlStanding, name)
	if err != nil {
		return of, err
	}
	err = db.Each(rows, func(r db.Rows) (err error) {
		of.relay, err = scanRelay(r)
		of.local = of.relay == nil
		return err
	})
	return of, err
}

// domain returns what is known of a domain; otherwise whether it pays to read the
// whole list, and the version to give to keepList and keepDomain.
func (c *answers) domain(name string) (of standing, known, list bool, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of, known = c.domains[name]
	return of, known || c.list == whole, c.list == unread, c.version
}

// keepList remembers all of our domains, nil = they are too many for that.
func (c *answers) keepList(version uint64, all map[string]standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.version != version:
	case all == nil:
		c.list = long
	default:
		c.list, c.domains = whole, all
	}
}

func (c *answers) keepDomain(version uint64, name string, of standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version || c.list == whole {
		return
	}
	if len(c.domains) >= maxDomains {
		clear(c.domains)
	}
	// The name may be a piece of a long line.
	c.domains[strings.Clone(name)] = of
}
