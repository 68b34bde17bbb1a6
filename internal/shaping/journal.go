package shaping

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Event is what happened to a provider, once or several times. What happens again
// within ten minutes is one event, for up to an hour.
type Event struct {
	ID       mail.ID `json:"id"`
	Provider string  `json:"provider"` // Everyone = of many, each of which would have had an event of its own
	Kind     string  `json:"kind"`
	About    string  `json:"about,omitempty"` // a site, or a rule
	First    int64   `json:"first"`           // microseconds
	Last     int64   `json:"last"`            // microseconds
	Times    int     `json:"times"`
	Text     string  `json:"text,omitempty"` // why, of the last time
}

const (
	// sameFor and sameAtMost are how long after the last and the first time another
	// one belongs to the same event.
	sameFor    = 10 * time.Minute
	sameAtMost = time.Hour
	// maxOpen bounds the events that may still happen again, and so what is held in
	// memory and written within ten minutes; beyond it there is one for each kind.
	maxOpen = 500
	// keptEvents bounds the table.
	keptEvents = 10_000
	// maxEventText bounds what is kept of words.
	maxEventText = 300

	journalGather = time.Second
	journalRetry  = 10 * time.Second
	journalGrace  = 5 * time.Second
)

// JournalOptions are what a Journal is made of.
type JournalOptions struct {
	DB      db.DB
	IDs     *mail.IDs
	Logger  *slog.Logger
	Metrics *JournalMetrics // nil = none
}

// JournalMetrics counts what happens to providers.
type JournalMetrics struct{ events *prometheus.CounterVec }

// NewJournalMetrics registers the metrics with r. All series are there from the
// beginning, one for each of these kinds.
func NewJournalMetrics(r prometheus.Registerer, kinds ...string) *JournalMetrics {
	m := &JournalMetrics{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hayauma_provider_events_total", Help: "What happened to providers of mailboxes, by kind; each time is counted."}, []string{"kind"})}
	r.MustRegister(m.events)
	for _, k := range kinds {
		m.events.WithLabelValues(k)
	}
	return m
}

// Journal writes down what happens to providers, behind the back of those who tell. It
// may be used by many goroutines.
type Journal struct {
	o    JournalOptions
	wake chan struct{}

	writing sync.Mutex // held while the database is asked, so that older sums do not come last

	mu   sync.Mutex
	open map[happening]*openEvent
}

// happening is what makes two times the same event.
type happening struct{ provider, kind, about string }

type openEvent struct {
	Event
	written int // times of it in the table
}

// NewJournal returns a journal; Run does its work.
func NewJournal(o JournalOptions) *Journal {
	return &Journal{o: o, wake: make(chan struct{}, 1), open: map[happening]*openEvent{}}
}

// Note takes down what happens now, at once and in bounded memory: of e the provider,
// the kind, what it is about and why are looked at.
func (j *Journal) Note(e Event) {
	now := mail.Micros(time.Now())
	if j.o.Metrics != nil {
		j.o.Metrics.events.WithLabelValues(e.Kind).Inc()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func() {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}()
	key := happening{e.Provider, e.Kind, e.About}
	if len(j.open) >= maxOpen && j.open[key] == nil {
		j.close(now)
		if len(j.open) >= maxOpen {
			e.Provider, e.About = Everyone, ""
			key = happening{Everyone, e.Kind, ""}
		}
	}
	o := j.open[key]
	if o == nil || o.over(now) && o.written == o.Times {
		o = &openEvent{Event: Event{ID: j.o.IDs.Next(), Provider: e.Provider, Kind: e.Kind, About: e.About, First: now}}
		j.open[key] = o
	}
	o.Last, o.Text = now, words(e.Text)
	o.Times++
}

// words are the first of a text, as every engine takes them.
func words(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), maxEventText)], "\x00", ""), "")
}

// over tells whether what happens now is another event.
func (o *openEvent) over(now int64) bool {
	return now-o.Last > sameFor.Microseconds() || now-o.First > sameAtMost.Microseconds()
}

// close forgets events that are over and written. j.mu is held.
func (j *Journal) close(now int64) {
	for key, o := range j.open {
		if o.over(now) && o.written == o.Times {
			delete(j.open, key)
		}
	}
}

// Run writes until ctx ends, and then what is left.
func (j *Journal) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-j.wake:
		case <-ctx.Done():
		}
		pause := journalGather
		for ctx.Err() == nil {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			err := j.Flush(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			pause = journalRetry
			j.o.Logger.Error("events of providers are not written yet", "error", err)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalGrace)
	defer cancel()
	if err := j.Flush(last); err != nil {
		j.o.Logger.Error("events of providers are lost", "error", err)
	}
}

var upsertEvent = db.Insert{
	Into: "shaping_event", Columns: []string{"id", "provider", "kind", "about", "first", "last", "times", "text"},
	Conflict: "ON CONFLICT (id) DO UPDATE SET last = excluded.last, times = excluded.times, text = excluded.text",
}

// Flush writes what is not written yet.
func (j *Journal) Flush(ctx context.Context) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	var batch []Event
	for _, o := range j.open {
		if o.written < o.Times {
			batch = append(batch, o.Event)
		}
	}
	j.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	slices.SortFunc(batch, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	rows := make([][]any, len(batch))
	for i, e := range batch {
		rows[i] = []any{int64(e.ID), e.Provider, e.Kind, e.About, e.First, e.Last, e.Times, e.Text}
	}
	if err := j.o.DB.Write(ctx, func(tx *db.Tx) error { return tx.Insert(upsertEvent, rows...) }); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range batch {
		if o := j.open[happening{e.Provider, e.Kind, e.About}]; o != nil && o.ID == e.ID {
			o.written = max(o.written, e.Times)
		}
	}
	j.close(mail.Micros(time.Now()))
	return nil
}

var selectEvents = db.SQL(`SELECT id, provider, kind, about, first, last, times, text FROM shaping_event
	WHERE last >= ? AND (provider = ? OR ? = '') ORDER BY last DESC, id DESC LIMIT ?`)

// Events returns what happened since a time, the newest first: to one provider, or
// with "" to all.
func (j *Journal) Events(ctx context.Context, provider string, since time.Time, limit int) (out []Event, err error) {
	if provider != "" {
		if provider, err = ProviderName(provider); err != nil {
			return nil, err
		}
	}
	if err := j.Flush(ctx); err != nil {
		return nil, fmt.Errorf("events of providers: %w", err)
	}
	err = j.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = []Event{}
		rows, err := tx.Query(selectEvents, mail.Micros(since), provider, provider, limit)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var e Event
			err := r.Scan(&e.ID, &e.Provider, &e.Kind, &e.About, &e.First, &e.Last, &e.Times, &e.Text)
			out = append(out, e)
			return err
		})
	})
	return out, err
}

var (
	deleteOld  = db.SQL("DELETE FROM shaping_event WHERE last < ?")
	deleteMany = db.SQL("DELETE FROM shaping_event WHERE id <= (SELECT id FROM shaping_event ORDER BY id DESC LIMIT 1 OFFSET ?)")
)

// Prune deletes events that last happened before a time, and the oldest of too many.
func (j *Journal) Prune(ctx context.Context, before time.Time) error {
	return j.o.DB.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(deleteOld, mail.Micros(before)); err != nil {
			return err
		}
		_, err := tx.Exec(deleteMany, keptEvents)
		return err
	})
}
