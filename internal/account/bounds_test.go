package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

// counted counts the reads.
type counted struct {
	db.DB
	reads atomic.Int64
}

func (c *counted) Read(ctx context.Context, fn func(*db.Tx) error) error {
	c.reads.Add(1)
	return c.DB.Read(ctx, fn)
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var c answers
	c.clear()
	check := func(what string) {
		t.Helper()
		leads := 0
		for _, a := range c.found {
			leads += a.weight()
		}
		if leads != c.leads || leads > maxLeads || len(c.names) > maxNames || len(c.domains) > maxDomains || len(c.logins) > maxLogins {
			t.Fatalf("%s: %d leads, counted %d, %d names, %d domains, %d logins", what, leads, c.leads, len(c.names), len(c.domains), len(c.logins))
		}
	}
	unknown := &answer{target: Target{Kind: Unknown}}
	group := &answer{target: Target{Kind: Here, Forwards: make([]mail.Address, 500)}}
	c.keep(c.version, "group@e.test", "group@e.test", group)
	for i := range 2 * maxNames {
		c.keep(c.version, fmt.Sprintf("group+%d@e.test", i), "group@e.test", group)
		c.keep(c.version, fmt.Sprintf("random%d@e.test", i), "", unknown)
		c.keepDomain(c.version, fmt.Sprintf("d%d.test", i), standing{})
		c.keepLogin(c.version, stood{account: mail.ID(i)})
		c.keepLogin(c.version, stood{account: mail.ID(i + maxLogins)})
	}
	check("names")
	if a, _ := c.lookup("group@e.test"); a != group || len(c.found) != 1 {
		t.Errorf("random names push out what is real: %d found", len(c.found))
	}
	for i := range 100 {
		key := fmt.Sprintf("group%d@e.test", i)
		c.keep(c.version, key, key, &answer{target: group.target})
		c.keep(c.version, key, key, &answer{target: Target{Accounts: make([]Account, i)}})
		check(key)
	}
	for i := range maxLeads {
		key := fmt.Sprintf("user%d@e.test", i)
		c.keep(c.version, key, key, &answer{target: Target{Kind: Here, Accounts: make([]Account, 1)}})
	}
	check("users")
}

func TestASlowReaderLeavesNothingStale(t *testing.T) {
	t.Parallel()
	var c answers
	c.clear()
	_, version := c.lookup("x@e.test")
	c.clear()
	c.keep(version, "x@e.test", "x@e.test", &answer{})
	c.keep(version, "y@e.test", "", &answer{})
	c.keepDomain(version, "e.test", standing{local: true})
	c.keepLogin(version, stood{account: 1})
	if known, _ := c.stands(stood{account: 1}); known {
		t.Error("a login that may have ended is kept")
	}
	c.keepList(version, map[string]standing{"e.test": {local: true}})
	if len(c.found)+len(c.names)+len(c.domains)+c.leads != 0 {
		t.Errorf("%+v", &c)
	}
	now := &answer{}
	c.keep(c.version, "x@e.test", "x@e.test", now)
	if c.at("x@e.test", version) != nil || c.at("x@e.test", c.version) != now {
		t.Error("a reader of the past is told of the present")
	}
}

// TestStrangersAreNotAskedFor: while our domains are few, no name that somebody writes
// to is a question to the database; while they are many, each is one.
func TestStrangersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	base := &counted{DB: dbtest.New(t, Schema(), ban.Schema())}
	d := New(Options{DB: base, IDs: mail.NewIDs(1, 0), Logger: slog.New(slog.DiscardHandler)})
	reads := func() int64 { return base.reads.Swap(0) }
	ours := func(name string) bool {
		t.Helper()
		ok, err := d.IsLocal(ctx, mail.Domain{ASCII: name})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	add := func(names ...string) {
		t.Helper()
		err := d.change(ctx, func(tx *db.Tx) error {
			for _, name := range names {
				if _, err := tx.Exec(sqlAddDomain, name, MainTenant, 0, "", 0, "", ""); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("e.test")
	for i := range 100 {
		if ours(fmt.Sprintf("far%d.test", i)) || !ours("e.test") {
			t.Fatal("a stranger is ours, or ours is a stranger")
		}
	}
	if n := reads(); n != 1 {
		t.Errorf("%d reads for 100 strangers", n)
	}
	add("far1.test")
	if !ours("far1.test") {
		t.Error("a domain that was added is not known")
	}
	var many []string
	for i := range maxList {
		many = append(many, fmt.Sprintf("own%d.test", i))
	}
	add(many...)
	reads()
	for range 2 {
		if !ours("own7.test") || ours("far2.test") {
			t.Error("of many domains, ours are not told from others")
		}
	}
	if n := reads(); n != 2 {
		t.Errorf("%d reads for two domains", n)
	}
}

// A session that sends a lot reads nothing to know whether its login stands, and an app
// password ends at its time though nobody says so.
func TestStandsAsksMemory(t *testing.T) {
	t.Parallel()
	store := &counted{DB: dbtest.New(t, Schema(), ban.Schema())}
	d := New(Options{
		DB: store, IDs: mail.NewIDs(1, 0), Logger: slog.New(slog.DiscardHandler),
		DefaultQuota: func() int64 { return 0 }, Created: func(*db.Tx, Account) error { return nil },
	})
	gate := NewGate(GateOptions{Directory: d, Logger: slog.New(slog.DiscardHandler)})
	ours, _ := mail.ParseDomain("e.test")
	if err := d.AddDomain(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	acc, err := d.AddAccount(t.Context(), mail.Address{Local: "taro", Domain: ours}, "umi to yama")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddAppPassword(t.Context(), acc.Address, AppPassword{Name: "phone", Scopes: Scopes(), Expires: mail.Micros(time.Now().Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	apps, err := d.AppPasswords(t.Context(), acc.Address)
	if err != nil {
		t.Fatal(err)
	}
	l := Login{acc, apps[0].by}
	before := store.reads.Load()
	for range 100 {
		if err := gate.Stands(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.reads.Load() - before; n != 1 {
		t.Errorf("100 messages read the database %d times", n)
	}
	l.by.expires = mail.Micros(time.Now())
	if err := gate.Stands(t.Context(), l); !errors.Is(err, ErrEnded) {
		t.Errorf("past its time: %v", err)
	}
}
