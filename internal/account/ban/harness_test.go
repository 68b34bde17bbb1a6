package ban_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
)

// limit is that of a network in most tests, as it is by default.
const limit = 20

const (
	victim = "taro@e.test"
	home   = "192.0.2.7"    // the victim's
	away   = "198.51.100.9" // the attacker's
)

// rig is a list over a real engine.
type rig struct {
	*ban.List
	t  *testing.T
	db db.DB

	failed []ban.Failed // of what try tried
}

func newRig(t *testing.T, engine db.DB, limit int) *rig {
	t.Helper()
	r := &rig{t: t, db: engine}
	r.restart(limit)
	return r
}

// bubbled is a rig for the bubble of testing/synctest.
func bubbled(t *testing.T) *rig {
	t.Helper()
	return newRig(t, dbtest.NewEmbedded(t, ban.Schema()), limit)
}

// restart forgets all that is in memory, as a new process does.
func (r *rig) restart(limit int) {
	r.t.Helper()
	r.List = ban.New(ban.Options{
		DB: r.db, Limit: limit, Logger: slog.New(slog.DiscardHandler),
	})
	if err := r.Load(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func attempt(name, peer string) ban.Attempt {
	a := ban.Attempt{Door: "imap", Name: name}
	if peer != "" {
		a.Peer = netip.MustParseAddr(peer)
	}
	return a
}

// try makes an attempt, which must be allowed, and returns how long it waited.
func (r *rig) try(name, peer string, o ban.Outcome) time.Duration {
	r.t.Helper()
	began := time.Now()
	end, err := r.Begin(r.t.Context(), attempt(name, peer))
	if err != nil {
		r.t.Fatalf("%s from %s: %v", name, peer, err)
	}
	if f := end(r.t.Context(), o); o == ban.Failure {
		r.failed = append(r.failed, f)
	}
	return time.Since(began)
}

// fail makes n failures and returns how long the last one waited.
func (r *rig) fail(n int, name, peer string) (waited time.Duration) {
	r.t.Helper()
	for range n {
		waited = r.try(name, peer, ban.Failure)
	}
	return waited
}

// free wants an attempt to be allowed at once; it is taken back.
func (r *rig) free(name, peer string) {
	r.t.Helper()
	if waited := r.try(name, peer, ban.Neither); waited != 0 {
		r.t.Errorf("%s from %s waited %v", name, peer, waited)
	}
}

func (r *rig) login(name, peer string) {
	r.t.Helper()
	r.try(name, peer, ban.Success)
}

// banned wants an attempt to be refused at once, and returns for how long.
func (r *rig) banned(name, peer string) time.Duration {
	r.t.Helper()
	began := time.Now()
	_, err := r.Begin(r.t.Context(), attempt(name, peer))
	refused, ok := errors.AsType[*ban.ErrBanned](err)
	if !ok || time.Since(began) != 0 {
		r.t.Fatalf("%s from %s: %v after %v", name, peer, err, time.Since(began))
	}
	return time.Until(refused.Until).Round(time.Second)
}

func (r *rig) until(what string, got, want time.Duration) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// rows is how many a table has.
func (r *rig) rows(table string) (n int) {
	r.t.Helper()
	err := r.db.Read(r.t.Context(), func(tx *db.Tx) error { return tx.Row(db.SQL("SELECT count(*) FROM "+table), nil, &n) })
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// states are the entries of the list, "name network state".
func (r *rig) states() []string {
	out := []string{}
	for _, e := range r.List.List() {
		out = append(out, e.Name+" "+e.Network+" "+e.State)
	}
	return out
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}
