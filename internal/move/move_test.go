package move_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/move"
)

// What a used server leaves is made once: nothing is ever written to a source.
func TestRun(t *testing.T) {
	t.Parallel()
	from := source(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, move.Side)
	}{
		{"every column tells", everyColumnTells},
		{"there and back", thereAndBack},
		{"killed anywhere", killedAnywhere},
		{"cancelled and opened again", cancelledAndReopened},
		{"differences are found", differences},
		{"damaged bodies", damagedBodies},
		{"many damaged bodies", manyDamagedBodies},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, from)
		})
	}
}

// From the engine of the environment to the embedded one, to that of the
// environment, and back.
func thereAndBack(t *testing.T, from move.Side) {
	first := from
	var before move.Report
	for i, to := range []place{embedded(t), empty(t, dbtest.Empty(t)), inDatabase(t, dbtest.Empty(t)), embedded(t)} {
		wantStage(t, to.DB, move.None)
		r := run(t, options(from, to.Side))
		wantStage(t, to.DB, move.Complete)
		wantSame(t, first, to.Side)
		if r.Bodies.Count < 273 || r.Bodies.Octets < 1<<20 || len(r.Tables) != len(tables) || r.Resumed || r.DamagedBodies != 0 {
			t.Errorf("report %+v", r)
		}
		r.Copied, r.Verified = 0, 0
		if diff := cmp.Diff(before, r); i > 0 && diff != "" {
			t.Errorf("the reports differ:\n%s", diff)
		}
		for i, table := range r.Tables {
			if table.Name != tables[i].name || len(table.SHA256) != 64 || table.Rows == 0 {
				t.Errorf("table %+v", table)
			}
		}
		from, before = to.Side, r
	}
	served(t, from)
}

// served reads and changes a mailbox as a server would.
func served(t *testing.T, s move.Side) {
	t.Helper()
	ctx := t.Context()
	boxes := mailbox.New(mailbox.Options{DB: s.DB, Blobs: s.Blobs, IDs: mail.NewIDs(0, 0)})
	address, err := mail.ParseAddress("anna@a.test")
	must(t, err)
	acc, err := account.New(account.Options{DB: s.DB, IDs: mail.NewIDs(0, 0)}).Find(ctx, address)
	must(t, err)
	v, err := boxes.Select(ctx, acc.ID, mailbox.Inbox, false)
	must(t, err)
	defer v.Close()
	if v.Count() != 2 {
		t.Errorf("%d messages", v.Count())
	}
	if _, err := v.Store(ctx, v.UIDs(mailbox.Set{{First: 1}}), mailbox.Add, mailbox.Seen, nil); err != nil {
		t.Error(err)
	}
}

// Whoever dies after each write, before it or with its answer lost, and comes
// again gets the same in the end.
func killedAnywhere(t *testing.T, from move.Side) {
	want := run(t, options(from, embedded(t).Side))
	for name, after := range map[string]bool{"before a write": false, "after a write": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := empty(t, dbtest.Empty(t))
			engine := &mortal{DB: to.DB, after: after}
			o := options(from, move.Side{DB: engine, Blobs: to.Blobs})
			runs := 0
			for ; ; runs++ {
				engine.left.Store(1)
				if after {
					engine.left.Store(0)
				}
				r, err := move.Run(context.WithoutCancel(t.Context()), o)
				if errors.Is(err, errDied) {
					if stage, err := move.State(t.Context(), to.DB); after && stage == move.Complete && err == nil {
						break
					}
					wantUnusableOnceBegun(t, to.DB, runs, after)
					continue
				}
				must(t, err)
				r.Copied, r.Verified, r.Resumed = 0, 0, false
				want.Copied, want.Verified = 0, 0
				if diff := cmp.Diff(want, r); !after && diff != "" {
					t.Errorf("the report differs:\n%s", diff)
				}
				break
			}
			if runs < 30 {
				t.Errorf("only %d runs died", runs)
			}
			wantStage(t, to.DB, move.Complete)
			wantSame(t, from, to.Side)
		})
	}
}

func wantUnusableOnceBegun(t *testing.T, d db.DB, runs int, after bool) {
	t.Helper()
	if err := move.Usable(t.Context(), d); err == nil && (runs > 0 || after) {
		t.Errorf("usable after %d runs", runs)
	}
}

// Ended by its context at every step, on engines that are opened again.
func cancelledAndReopened(t *testing.T, from move.Side) {
	to := embedded(t)
	for runs, finished := 0, false; !finished; runs++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		o := options(from, to.Side)
		calls := 0
		o.Progress = func(p move.Progress) {
			if p.Step < 1 || p.Step > p.Steps || p.Name == "" {
				t.Errorf("progress %+v", p)
			}
			if calls++; calls == 7 {
				cancel(errDied)
			}
		}
		r, err := move.Run(ctx, o)
		cancel(nil)
		switch {
		case err == nil && runs < 3:
			t.Fatalf("finished in run %d", runs)
		case err == nil:
			finished = true
			if !r.Resumed {
				t.Error("the report does not say that it was resumed")
			}
		case !errors.Is(err, errDied):
			t.Fatal(err)
		}
		must(t, to.Blobs.Close())
		to.open(t)
	}
	wantSame(t, from, to.Side)
}

func TestAnotherSourceIsRefused(t *testing.T) {
	t.Parallel()
	one, other, to := embedded(t), embedded(t), embedded(t)
	engine := &mortal{DB: to.DB}
	engine.left.Store(2)
	if _, err := move.Run(t.Context(), options(one.Side, move.Side{DB: engine, Blobs: to.Blobs})); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	wantStage(t, to.DB, move.Copying)
	before := dump(t, to.DB)
	if _, err := move.Run(t.Context(), options(other.Side, to.Side)); !errors.Is(err, move.ErrOtherSource) {
		t.Errorf("another source: %v", err)
	}
	if diff := cmp.Diff(before, dump(t, to.DB)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	if _, err := move.Run(t.Context(), options(to.Side, other.Side)); !errors.Is(err, move.ErrIncomplete) {
		t.Errorf("an incomplete source: %v", err)
	}
	run(t, options(one.Side, to.Side))
	wantStage(t, to.DB, move.Complete)
}

func TestATargetThatIsNotEmptyIsRefused(t *testing.T) {
	t.Parallel()
	from, to := embedded(t), empty(t, dbtest.Empty(t))
	exec(t, to.DB, "INSERT INTO domain (name, tenant, created) VALUES ('a.test', 1, 1)")
	_, err := move.Run(t.Context(), options(from.Side, to.Side))
	if !errors.Is(err, move.ErrNotEmpty) || !strings.Contains(err.Error(), "table domain") {
		t.Errorf("with a domain: %v", err)
	}
	wantStage(t, to.DB, move.None)
	exec(t, to.DB, "DELETE FROM domain")
	run(t, options(from.Side, to.Side))
	if _, err := move.Run(t.Context(), options(from.Side, to.Side)); !errors.Is(err, move.ErrNotEmpty) {
		t.Errorf("a complete copy: %v", err)
	}
	wantStage(t, to.DB, move.Complete)
}

// What is wrong in the target once all is copied is found, and again.
func differences(t *testing.T, from move.Side) {
	box := "(SELECT mailbox FROM mailbox_message ORDER BY mailbox LIMIT 1)"
	for name, c := range map[string]struct {
		spoil func(t *testing.T, to *place)
		want  string
	}{
		"a bit of a body": {func(t *testing.T, to *place) {
			to.flip(t, to.first(t, "SELECT body FROM queue_message ORDER BY body LIMIT 1 OFFSET 99"))
		}, "cannot give it"},
		"no row of a body": {func(t *testing.T, to *place) {
			exec(t, to.DB, "DELETE FROM body WHERE id = (SELECT body FROM queue_message ORDER BY body LIMIT 1)")
			must(t, to.Blobs.Close()) // it remembers where bodies lie
			to.open(t)
		}, "no such body"},
		"a missing row": {func(t *testing.T, to *place) {
			exec(t, to.DB, "DELETE FROM event WHERE id = (SELECT id FROM event ORDER BY id LIMIT 1 OFFSET 550)")
		}, "table event, id"},
		"a missing last row": {func(t *testing.T, to *place) {
			exec(t, to.DB, "DELETE FROM event WHERE id = (SELECT max(id) FROM event)")
		}, "the target does not have this row"},
		"a row too many": {func(t *testing.T, to *place) {
			exec(t, to.DB, "INSERT INTO mailbox_subscription (account, name) VALUES (5, 'x')")
		}, "the source does not have this row"},
		"a last row too many": {func(t *testing.T, to *place) {
			exec(t, to.DB, "INSERT INTO fingerprint (mark, message, at) VALUES (9223372036854775807, 1, 1)")
		}, "table fingerprint, mark 9223372036854775807: the source does not"},
		"another value": {func(t *testing.T, to *place) {
			exec(t, to.DB, "UPDATE mailbox_message SET flags = flags + 1 WHERE uid = 2 AND mailbox = "+box)
		}, "column flags is"},
		"NULL instead of empty": {func(t *testing.T, to *place) {
			exec(t, to.DB, "UPDATE mailbox SET name = NULL WHERE name = 'Work'")
		}, `column name is "Work" in the source and NULL in the target`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := empty(t, dbtest.Empty(t))
			store := &struct{ blob.Store }{to.Blobs} // it may be opened again
			o := options(from, move.Side{DB: to.DB, Blobs: store})
			o.Progress = func(p move.Progress) {
				if p.Name == "copy table fingerprint" {
					c.spoil(t, &to)
					store.Store = to.Blobs
				}
			}
			for i := range 2 {
				_, err := move.Run(t.Context(), o)
				var d *move.Difference
				if !errors.As(err, &d) || !errors.Is(err, move.ErrDifferent) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("run %d: %v, want %q", i, err, c.want)
				}
				wantStage(t, to.DB, move.Verifying)
			}
		})
	}
}

func damagedBodies(t *testing.T, from move.Side) {
	spoilt, to := embedded(t), embedded(t)
	run(t, options(from, spoilt.Side))
	ids := bodies(t, from.DB)
	spoilt.flip(t, ids[20])
	large := spoilt.first(t, "SELECT id FROM body WHERE size > 1048576")
	bad := map[mail.ID]error{ids[7]: fmt.Errorf("no: %w", blob.ErrNotFound), large: errLate}
	o := options(move.Side{DB: spoilt.DB, Blobs: sick{spoilt.Blobs, bad}}, to.Side)
	for range 2 {
		r, err := move.Run(t.Context(), o)
		if !errors.Is(err, move.ErrDamaged) || !strings.Contains(err.Error(), ids[7].String()) || !strings.Contains(err.Error(), ids[20].String()) {
			t.Errorf("%v", err)
		}
		if len(r.Damaged) != 3 || r.DamagedBodies != 3 || r.Damaged[0].Body != large || r.Damaged[1].Body != ids[7] || r.Damaged[2].Body != ids[20] {
			t.Errorf("damaged %+v", r.Damaged)
		}
		wantStage(t, to.DB, move.Copying)
	}
	clear(bad) // the files were put back
	r, err := move.Run(t.Context(), o)
	if !errors.Is(err, move.ErrDamaged) || len(r.Damaged) != 1 || r.Damaged[0].Body != ids[20] {
		t.Errorf("%v, damaged %+v", err, r.Damaged)
	}
	o.SkipDamaged = true
	r = run(t, o)
	if r.DamagedBodies != 1 || r.Bodies.Count != int64(len(ids)-1) {
		t.Errorf("report %+v", r)
	}
	if diff := cmp.Diff(dump(t, from.DB), dump(t, to.DB)); diff != "" {
		t.Errorf("rows differ:\n%s", diff)
	}
	read(t, to.Blobs, ids[7])
	read(t, to.Blobs, large)
}

// A source that has lost nearly everything is not walked to its end.
func manyDamagedBodies(t *testing.T, from move.Side) {
	to := embedded(t)
	bad := map[mail.ID]error{}
	for _, id := range bodies(t, from.DB) {
		bad[id] = blob.ErrNotFound
	}
	o := options(move.Side{DB: from.DB, Blobs: sick{from.Blobs, bad}}, to.Side)
	r, err := move.Run(t.Context(), o)
	if !errors.Is(err, move.ErrDamaged) || len(r.Damaged) != move.MaxDamaged || r.DamagedBodies < move.MaxDamaged ||
		r.DamagedBodies >= int64(len(bad)) {
		t.Errorf("%v: %d of %d listed, %d in all", err, len(r.Damaged), len(bad), r.DamagedBodies)
	}
	o.SkipDamaged = true
	r = run(t, o)
	if r.DamagedBodies != int64(len(bad)) || r.Bodies.Count != 0 || len(r.Damaged) != move.MaxDamaged {
		t.Errorf("%d damaged of %d, %d copied", r.DamagedBodies, len(bad), r.Bodies.Count)
	}
}
