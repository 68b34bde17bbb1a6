package account_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

const password = "umi to yama"

// world is a directory over a real engine.
type world struct {
	*account.Directory
	t  testing.TB
	db db.DB

	mu               sync.Mutex
	postmaster       mail.Address
	hostname         string
	quota            int64
	created, removed []mail.ID
	refuse           error // of Created and Removed
}

func newWorld(t testing.TB, domains ...string) *world {
	t.Helper()
	return worldOn(t, dbtest.New(t, account.Schema(), ban.Schema()), domains...)
}

func worldOn(t testing.TB, engine db.DB, domains ...string) *world {
	t.Helper()
	w := &world{t: t, db: engine}
	w.Directory = account.New(account.Options{
		DB: w.db, IDs: mail.NewIDs(1, 0), Logger: slog.New(slog.DiscardHandler),
		Postmaster:   func() mail.Address { w.mu.Lock(); defer w.mu.Unlock(); return w.postmaster },
		Hostname:     func() string { w.mu.Lock(); defer w.mu.Unlock(); return w.hostname },
		DefaultQuota: func() int64 { w.mu.Lock(); defer w.mu.Unlock(); return w.quota },
		Created:      func(tx *db.Tx, a account.Account) error { return w.note(tx, &w.created, a) },
		Removed:      func(tx *db.Tx, a account.Account) error { return w.note(tx, &w.removed, a) },
	})
	for _, d := range domains {
		w.must(w.AddDomain(t.Context(), domain(t, d)))
	}
	return w
}

func (w *world) bans(limit int) *ban.List {
	return ban.New(ban.Options{DB: w.db, Limit: limit, Logger: slog.New(slog.DiscardHandler)})
}

func (w *world) note(tx *db.Tx, list *[]mail.ID, a account.Account) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	tx.OnCommit(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		*list = append(*list, a.ID)
	})
	return nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return d
}

// account adds one with the password of all tests. The hash is made once: it
// costs what a login costs.
func (w *world) account(s string) account.Account {
	w.t.Helper()
	a, err := w.AddAccount(w.t.Context(), addr(w.t, s), password)
	w.must(err)
	return a
}

func (w *world) alias(from string, to ...string) {
	w.t.Helper()
	w.must(w.SetAlias(w.t.Context(), from, to))
}

// resolve describes where an address leads in one line.
func (w *world) resolve(s string) string {
	w.t.Helper()
	a := mail.Address{Local: s}
	if s != "postmaster" && s != "PostMaster" && s != "somebody" {
		a = addr(w.t, s)
	}
	t, err := w.Resolve(context.Background(), a)
	if errors.Is(err, account.ErrNobody) {
		return "nobody yet"
	}
	w.must(err)
	text := map[account.Kind]string{account.Elsewhere: "elsewhere", account.Unknown: "unknown", account.Here: "", account.Onward: "onward"}[t.Kind]
	if t.Ask {
		text += "?"
	}
	for _, a := range t.Accounts {
		text += " " + a.Address.String()
	}
	for _, f := range t.Forwards {
		text += " >" + f.String()
	}
	for _, n := range t.Nowhere {
		text += " !" + n.String()
	}
	if t.Kind == account.Here && len(text) > 0 {
		return text[1:]
	}
	return text
}
