package ban_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

// quick is a rig whose bans come before any delay, for engines with a real clock.
func quick(t *testing.T) *rig {
	t.Helper()
	return newRig(t, dbtest.New(t, ban.Schema()), 3)
}

func (r *rig) isBanned(name, peer string) bool {
	end, err := r.Begin(r.t.Context(), attempt(name, peer))
	if err == nil {
		end(r.t.Context(), ban.Neither)
	}
	return err != nil
}

func TestRestart(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.login(victim, home)
	r.fail(3, victim, away)
	r.fail(3, "jiro@e.test", "2001:db8::1")
	before := r.List.List()
	r.restart(3)
	if after := r.List.List(); len(after) != 2 || after[0] != before[1] || after[1] != before[3] {
		t.Errorf("%+v\nafter a restart %+v", before, after)
	}
	if !r.isBanned(victim, away) || !r.isBanned("jiro@e.test", "2001:db8::2") || r.isBanned(victim, home) {
		t.Error("the bans are others after a restart")
	}
	for range 4 {
		r.fail(1, victim, home) // known still
	}
	n, err := r.Clear(t.Context(), ban.ParseFilter(away))
	r.must(err)
	r.restart(3)
	if r.isBanned(victim, away) || n != 1 {
		t.Errorf("a cleared ban is back; %d cleared", n)
	}
}

// TestClockSetBack: what a process with a fast clock left bans nobody for longer than it was
// to, however often it is read.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := bubbled(t)
		r.fail(10, victim, away)
		ahead := (30 * 24 * time.Hour).Microseconds()
		r.must(r.db.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(db.SQL("UPDATE login_ban SET began = began + ?, ends = ends + ?"), ahead, ahead)
			return err
		}))
		r.restart(limit)
		r.until("after a restart", r.banned(victim, away), 10*time.Minute)
		<-time.After(4 * time.Minute)
		r.must(r.Load(t.Context()))
		r.until("when it is read again", r.banned(victim, away), 6*time.Minute)
		r.restart(limit)
		r.until("after another restart", r.banned(victim, away), 6*time.Minute)
		<-time.After(6 * time.Minute)
		r.free(victim, away)
	})
}

// TestClockSteps: a ban ends by the clock that never steps.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.fail(3, victim, away)
	if until := r.failed[2].Until; !strings.Contains(until.String(), " m=") {
		t.Errorf("%v is a time of the wall clock alone", until)
	}
}

// counted counts the writes of an engine.
type counted struct {
	db.DB
	mu     sync.Mutex
	writes int
}

func (c *counted) Write(ctx context.Context, fn func(*db.Tx) error) error {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.DB.Write(ctx, fn)
}

func TestWritesAreRare(t *testing.T) {
	t.Parallel()
	engine := &counted{DB: dbtest.New(t, ban.Schema())}
	r := newRig(t, engine, 3)
	for range 50 {
		r.login(victim, home)
	}
	r.restart(3)
	r.login(victim, home)
	r.fail(2, victim, away)
	if engine.writes != 1 {
		t.Errorf("51 logins and 2 failures take %d writes", engine.writes)
	}
	r.fail(1, victim, away)
	for range 50 {
		r.isBanned(victim, away)
	}
	if engine.writes != 2 {
		t.Errorf("a ban takes %d writes", engine.writes-1)
	}
}

// A database that does not answer bans nobody less, and fails no login.
func TestWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	engine := dbtest.Embedded(t)
	r := &rig{t: t, db: engine}
	r.List = ban.New(ban.Options{DB: engine, Limit: 3, Logger: slog.New(slog.DiscardHandler)}) // there are no tables
	r.login(victim, home)
	r.fail(3, victim, away)
	if !r.isBanned(victim, away) || r.Load(t.Context()) == nil {
		t.Error("without tables")
	}
}

func TestProcessesShareBans(t *testing.T) {
	t.Parallel()
	a := quick(t)
	b := newRig(t, a.db, 3)
	a.fail(3, victim, away)
	b.must(b.Load(t.Context()))
	if !b.isBanned(victim, away) {
		t.Error("a ban of another process is not known")
	}
	if _, err := b.Clear(t.Context(), ban.ParseFilter(victim)); err != nil {
		t.Error(err)
	}
	a.must(a.Load(t.Context()))
	if got := a.states(); len(got) != 1 || got[0] != " "+away+"/32 stopped" {
		t.Errorf("cleared in another process: %v", got)
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	r := quick(t)
	r.login(victim, home)
	r.login("jiro@e.test", home)
	r.fail(3, victim, away)
	taro, err := mail.ParseAddress(victim)
	r.must(err)
	r.must(r.db.Write(t.Context(), func(tx *db.Tx) error { return r.Erase(tx, taro) }))
	if r.rows("login_network") != 1 || r.rows("login_ban") != 0 {
		t.Error("a removed account leaves rows")
	}
	r.login(victim, home) // somebody new of the same name
	if r.rows("login_network") != 2 {
		t.Error("the new one is not noted")
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	r := quick(t)
	const many = 2500
	old, today := mail.Micros(time.Now().Add(-40*24*time.Hour)), mail.Micros(time.Now())
	var networks, bans [][]any
	for i := range many {
		network := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32).String()
		at := old
		if i%10 == 0 {
			at = today
		}
		networks = append(networks, []any{victim, network, at})
		bans = append(bans, []any{victim, network, 1, 10, at, at + 600e6})
	}
	r.must(r.db.Write(t.Context(), func(tx *db.Tx) error {
		if err := tx.Insert(db.Insert{Into: "login_network", Columns: []string{"name", "network", "last_success"}}, networks...); err != nil {
			return err
		}
		return tx.Insert(db.Insert{Into: "login_ban", Columns: []string{"name", "network", "number", "failures", "began", "ends"}}, bans...)
	}))
	r.restart(limit)
	r.must(r.Sweep(t.Context()))
	if n, b, listed := r.rows("login_network"), r.rows("login_ban"), len(r.List.List()); n != many/10 || b != many/10 || listed != many/10 {
		t.Errorf("left: %d networks, %d bans, %d listed", n, b, listed)
	}
}

// Many goroutines on few pairs: for the race detector, and so that nothing is left
// behind.
func TestFromManyGoroutines(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, ban.Schema())
	l := ban.New(ban.Options{DB: engine, Limit: 10, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 100 {
				a := attempt([]string{victim, "root", "jiro@e.test"}[(i+j)%3], []string{home, away, "2001:db8::1"}[j%3])
				if end, err := l.Begin(ctx, a); err == nil {
					end(ctx, ban.Outcome((i+j)%3))
				}
				switch j % 20 {
				case 5:
					l.List()
				case 10:
					_, _ = l.Clear(ctx, ban.ParseFilter(home))
				case 15:
					l.SetLimit(5 + i)
				}
			}
		})
	}
	all.Go(func() {
		for range 20 {
			_ = l.Load(ctx)
			_ = l.Sweep(ctx)
		}
	})
	all.Wait()
	if _, err := l.Clear(t.Context(), ban.Filter{All: true}); err != nil || len(l.List()) != 0 {
		t.Errorf("%v, left %v", err, l.List())
	}
}
