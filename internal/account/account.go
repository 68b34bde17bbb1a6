// Package account knows who is at home here: tenants, domains, accounts with
// their passwords, the addresses that lead to them.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Account is somebody with mailboxes and a login. Its id is for ever; its
// address may change.
type Account struct {
	ID       mail.ID      `json:"id"`
	Tenant   mail.ID      `json:"tenant"`
	Address  mail.Address `json:"-"`
	Quota    int64        `json:"quota"`              // its own in octets, 0 = none; or DefaultQuota: see Directory.Quota
	Language string       `json:"language,omitempty"` // in which it reads what we write to it: "en" or "ja"; empty = not set
	Created  int64        `json:"created"`            // microseconds
}

// DefaultQuota is the quota of an account that has none of its own: that of the settings holds.
const DefaultQuota = -1

// Errors for people: each says what is wrong; callers add which name.
var (
	ErrNoAccount   = errors.New("there is no such account")
	ErrNoDomain    = errors.New("this domain is not ours: add it first with 'hayauma domain add'")
	ErrNoAlias     = errors.New("there is no such alias")
	ErrExists      = errors.New("it exists already")
	ErrInUse       = errors.New("the domain still has accounts or aliases: remove them first")
	ErrCredentials = errors.New("the user name or password is wrong")
	ErrPassword    = errors.New("a password needs 8 to 1024 octets")
	ErrLanguage    = errors.New("the languages are en and ja")
	ErrBusy        = errors.New("too many logins at once")
	ErrNobody      = errors.New("there is no account yet that could read the postmaster's mail")
	ErrExpansion   = fmt.Errorf("the alias leads to more than %d addresses, those on the way counted: take some out", maxExpansion)
)

// Options are what a Directory is made of.
type Options struct {
	DB  db.DB
	IDs *mail.IDs
	// Postmaster gets mail for postmaster where no alias says otherwise; zero
	// = the domain's first account.
	Postmaster func() mail.Address
	// Hostname is our own name: its postmaster is the bare one. nil = we have
	// none.
	Hostname func() string
	// DefaultQuota is that of accounts without one of their own, in octets; 0 = none.
	DefaultQuota func() int64
	// Created and Removed run in the commit that makes or ends an account.
	Created, Removed func(*db.Tx, Account) error
	Logger           *slog.Logger
}

// Directory answers who an address leads to and who a password belongs to. It
// may be used by many goroutines.
type Directory struct {
	o     Options
	login *login

	answers answers
	secret  atomic.Pointer[[]byte] // see scramSecret
}

// New returns a directory over tables that Schema describes.
func New(o Options) *Directory {
	d := &Directory{o: o, login: newLogin()}
	d.answers.clear()
	return d
}

// change runs an administrative write and lets the caches forget.
func (d *Directory) change(ctx context.Context, fn func(*db.Tx) error) error {
	return d.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.OnCommit(func() {
			d.answers.clear()
			d.o.DB.Announce(noticeTopic, 0)
		})
		return fn(tx)
	})
}

// noticeTopic is under which processes tell each other of changed addresses.
const noticeTopic = "account"

// forgetEvery is how old an answer can be in a process that missed the notice of
// another.
const forgetEvery = 5 * time.Second

// Watch lets the caches forget what other processes change, until ctx ends. It
// returns at once where no other process can use the database.
func (d *Directory) Watch(ctx context.Context) {
	if !d.o.DB.Listen(ctx, noticeTopic, func([]int64) { d.answers.clear() }) {
		return
	}
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		select {
		case <-forget.C:
			d.answers.clear()
		case <-ctx.Done():
			return
		}
	}
}

const accountColumns = "id, tenant, local, domain, quota, language, created"

func scanAccount(r db.Rows) (Account, error) {
	var a Account
	var local, domain string
	if err := r.Scan(&a.ID, &a.Tenant, &local, &domain, &a.Quota, &a.Language, &a.Created); err != nil {
		return a, err
	}
	dom, err := mail.ParseDomain(domain)
	a.Address = mail.Address{Local: local, Domain: dom}
	return a, err
}

// oneAccount runs a query that gives at most one account; ok = it gave one.
func oneAccount(tx *db.Tx, s db.Stmt, args ...any) (a Account, ok bool, err error) {
	rows, err := tx.Query(s, args...)
	if err != nil {
		return a, false, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		ok = true
		a, err = scanAccount(r)
		return err
	})
	return a, ok, err
}

var (
	sqlByID  = db.SQL("SELECT " + accountColumns + " FROM account WHERE id = ?")
	sqlByKey = db.SQL("SELECT " + accountColumns + " FROM account WHERE key = ?")
)

// Get returns an account by its id, ErrNoAccount if there is none.
func (d *Directory) Get(ctx context.Context, id mail.ID) (Account, error) {
	return d.one(ctx, sqlByID, id)
}

// Quota is how much an account may keep, in octets; 0 = no bound.
func (d *Directory) Quota(a Account) int64 {
	if a.Quota == DefaultQuota {
		return d.o.DefaultQuota()
	}
	return a.Quota
}

// Find returns the account whose own address is a, ErrNoAccount if there is
// none. Aliases and tags do not count: see Resolve.
func (d *Directory) Find(ctx context.Context, a mail.Address) (Account, error) {
	return d.one(ctx, sqlByKey, a.Key())
}

func (d *Directory) one(ctx context.Context, s db.Stmt, arg any) (Account, error) {
	var a Account
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error {
		var ok bool
		var err error
		if a, ok, err = oneAccount(tx, s, arg); err == nil && !ok {
			err = ErrNoAccount
		}
		return err
	})
	return a, err
}
