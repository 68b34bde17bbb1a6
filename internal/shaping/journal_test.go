package shaping_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/shaping"
)

func journal(t *testing.T, engine db.DB) *shaping.Journal {
	t.Helper()
	return shaping.NewJournal(shaping.JournalOptions{DB: engine, IDs: mail.NewIDs(1, 0), Logger: slog.New(slog.DiscardHandler),
		Metrics: shaping.NewJournalMetrics(prometheus.NewRegistry(), "fewer")})
}

// happened is all that a journal tells, newest first: kind about xTimes.
func happened(t *testing.T, j *shaping.Journal, provider string) string {
	t.Helper()
	list, err := j.Events(t.Context(), provider, time.Now().Add(-24*time.Hour), 1000)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Provider, e.Kind, e.About))+fmt.Sprintf(" x%d", e.Times))
	}
	return strings.Join(out, ", ")
}

// TestStormIsAFewEvents: what happens again soon is the same event, for an hour.
func TestStormIsAFewEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := journal(t, dbtest.NewEmbedded(t, shaping.Schema()))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { j.Run(ctx); close(ended) }()
		for range 90 * 60 { // an hour and a half of 421s
			j.Note(shaping.Event{Provider: "x.test", Kind: "fewer", Text: "1 at once: 421 busy\x00\xff"})
			time.Sleep(time.Second)
		}
		list, err := j.Events(t.Context(), "", time.Now().Add(-24*time.Hour), 1000)
		if err != nil || len(list) != 2 || list[0].Times+list[1].Times != 90*60 || list[1].Times < 3600 || list[1].Times > 3610 {
			t.Errorf("%v, %+v", err, list)
		}
		time.Sleep(11 * time.Minute)
		j.Note(shaping.Event{Provider: "x.test", Kind: "fewer", Text: strings.Repeat("x", 1000)})
		j.Note(shaping.Event{Provider: "y.test", Kind: "down", About: "a.test"})
		j.Note(shaping.Event{Provider: "y.test", Kind: "down", About: "b.test"})
		cancel()
		<-ended // and what is left is written
		if got := happened(t, j, "X.test"); !strings.HasPrefix(got, "x.test fewer x1, x.test fewer x1") || strings.Count(got, "fewer") != 3 {
			t.Error(got)
		}
		if got := happened(t, j, "y.test"); got != "y.test down b.test x1, y.test down a.test x1" {
			t.Error(got)
		}
	})
}

// unwilling is a database that may take no writes.
type unwilling struct {
	db.DB
	full atomic.Bool
}

func (u *unwilling) Write(ctx context.Context, f func(*db.Tx) error) error {
	if u.full.Load() {
		return errors.New("the disk is full")
	}
	return u.DB.Write(ctx, f)
}

// TestJournalIsBounded: a thousand providers at once are a thousand lines no longer, in
// memory or in the table; and while the database takes nothing it is counted.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	engine := &unwilling{DB: dbtest.New(t, shaping.Schema())}
	j := journal(t, engine)
	engine.full.Store(true)
	for range 2 {
		for i := range 1000 {
			j.Note(shaping.Event{Provider: fmt.Sprintf("p%d.test", i), Kind: "down", About: "s.test"})
		}
	}
	if err := j.Flush(t.Context()); err == nil {
		t.Error("written to a full disk")
	}
	engine.full.Store(false)
	got := happened(t, j, "")
	if n := strings.Count(got, "down s.test x2"); n != 500 || !strings.Contains(got, "* down x1000") {
		t.Errorf("%d events of their own: %.200s", n, got)
	}
	if err := j.Prune(t.Context(), time.Now().Add(-time.Hour)); err != nil || happened(t, j, "") != got {
		t.Errorf("pruned too early: %v", err)
	}
	if err := j.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil || happened(t, j, "") != "" {
		t.Errorf("%v, left: %s", err, happened(t, j, ""))
	}
}
