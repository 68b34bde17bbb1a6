package event_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/testkit"
)

// reader follows the history and remembers the messages of what it was given.
type reader struct {
	*history
	at   event.Cursor
	seen []mail.ID
}

// read takes what there is.
func (r *reader) read() {
	r.t.Helper()
	for {
		events, next, err := r.After(r.t.Context(), r.at, 3)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range events {
			r.seen = append(r.seen, e.Message)
		}
		// A reader keeps its place as text.
		if r.at, err = event.ParseCursor(next.String()); err != nil {
			r.t.Fatal(err)
		}
		if len(events) == 0 {
			return
		}
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	r := &reader{history: newHistory(t)}
	var want []mail.ID
	for n := range 10 {
		e := r.accepted("<a@hayauma.test>")
		r.append(slices.Repeat([]event.Event{e}, n%3+1)...)
		want = append(want, slices.Repeat([]mail.ID{e.Message}, n%3+1)...)
		if n%4 == 0 {
			r.read()
		}
	}
	// On PostgreSQL the horizon waits for whoever else writes on that server.
	testkit.Eventually(t, 30*time.Second, "all events", func() bool {
		r.read()
		return len(r.seen) >= len(want)
	})
	if !slices.Equal(r.seen, want) {
		t.Errorf("read %v, want %v", r.seen, want)
	}
	for _, bad := range []string{"x", "1", "1/", "-1/2", "1/2/3", "/"} {
		if _, err := event.ParseCursor(bad); err == nil {
			t.Errorf("%q is a cursor", bad)
		}
	}
}

// TestAfterOfOverlappingWrites: a transaction that took its ids first commits
// last. Nothing of it is lost to a reader that looked in between.
func TestAfterOfOverlappingWrites(t *testing.T) {
	t.Parallel()
	// The embedded engine writes one transaction at a time: nothing overlaps.
	d := dbtest.Postgres(t, testkit.NewPostgres(t).URL(""))
	if err := d.Migrate(t.Context(), event.Schema()); err != nil {
		t.Fatal(err)
	}
	r := &reader{history: newHistoryOn(t, d)}
	inside, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	first, second := r.accepted("<first@hayauma.test>"), r.accepted("<second@hayauma.test>")
	wg.Go(func() {
		err := r.db.Write(context.WithoutCancel(t.Context()), func(tx *db.Tx) error {
			err := event.Append(tx, r.ids, []event.Event{first})
			close(inside)
			<-release
			return err
		})
		if err != nil {
			t.Errorf("the first write: %v", err)
		}
	})
	<-inside
	r.append(second)
	r.read()
	close(release)
	wg.Wait()
	testkit.Eventually(t, 10*time.Second, "both events", func() bool {
		r.read()
		return len(r.seen) >= 2
	})
	slices.Sort(r.seen)
	if !slices.Equal(r.seen, []mail.ID{first.Message, second.Message}) {
		t.Errorf("read %v, want %v and %v", r.seen, first.Message, second.Message)
	}
}

// TestAfterUnderLoad: many writers, and a reader that looks all the time, gets
// each event once.
func TestAfterUnderLoad(t *testing.T) {
	t.Parallel()
	r := &reader{history: newHistory(t)}
	var wg sync.WaitGroup
	const writers, each = 8, 25
	for range writers {
		wg.Go(func() {
			for range each {
				e := r.accepted("<x@hayauma.test>")
				err := r.db.Write(context.WithoutCancel(t.Context()), func(tx *db.Tx) error {
					return event.Append(tx, r.ids, []event.Event{e, e})
				})
				if err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	testkit.Eventually(t, 30*time.Second, "all events", func() bool {
		r.read()
		return len(r.seen) >= 2*writers*each
	})
	wg.Wait()
	r.read()
	counts := map[mail.ID]int{}
	for _, m := range r.seen {
		counts[m]++
	}
	for m, n := range counts {
		if n != 2 {
			t.Errorf("message %v was given %d times", m, n)
		}
	}
	if len(counts) != writers*each {
		t.Errorf("%d messages, want %d", len(counts), writers*each)
	}
}
