package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

// deliver is a Deliverer that decides job by job.
type deliver func(ctx context.Context, site string, job *Job) []Outcome

func (d deliver) Deliver(ctx context.Context, site string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		done(job, d(ctx, site, job))
	}
}

// all gives every recipient of a job the same outcome.
func all(job *Job, o Outcome) []Outcome {
	var out []Outcome
	for _, r := range job.Recipients {
		o.Recipient = r.ID
		out = append(out, o)
	}
	return out
}

// observer remembers what it was told, as "address result state".
type observer struct {
	mu    sync.Mutex
	lines []string
	fail  func(reports []Report) error
}

func (o *observer) Attempted(tx *db.Tx, reports []Report) error {
	if o.fail != nil {
		if err := o.fail(reports); err != nil {
			return err
		}
	}
	return o.note(tx, reports, func(r Report) string { return r.Result.String() })
}

func (o *observer) Administered(tx *db.Tx, kind string, reports []Report) error {
	return o.note(tx, reports, func(Report) string { return kind })
}

func (o *observer) note(tx *db.Tx, reports []Report, word func(Report) string) error {
	var lines []string
	for _, r := range reports {
		state := r.Recipient.State.String()
		if r.Recipient.State == gone {
			state = "gone"
		}
		if r.Expired {
			state += " expired"
		}
		lines = append(lines, r.Recipient.Address.String()+" "+word(r)+" "+state)
	}
	tx.OnCommit(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.lines = append(o.lines, lines...)
	})
	return nil
}

func (o *observer) seen() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines)
}

func (o *observer) count(part string) (n int) {
	for _, line := range o.seen() {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// world is a queue over a real engine.
type world struct {
	t    testing.TB
	db   db.DB
	ids  *mail.IDs
	obs  *observer
	set  Settings    // before open
	hold atomic.Bool // new messages, whatever set says
	q    *Queue
}

func defaults() Settings {
	return Settings{
		Retry: []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}, Lifetime: 24 * time.Hour, DelayNotice: 4 * time.Hour,
		Memory: 16 << 20, Concurrency: 50, PerSite: 5, Grace: 5 * time.Second,
	}
}

func newWorld(t testing.TB, d Deliverer, change ...func(*Settings)) *world {
	t.Helper()
	return newWorldOn(t, dbtest.New(t, Schema()), d, change...)
}

// newBubble is newWorld for the bubble of testing/synctest.
func newBubble(t testing.TB, d Deliverer, change ...func(*Settings)) *world {
	t.Helper()
	return newWorldOn(t, dbtest.NewEmbedded(t, Schema()), d, change...)
}

func newWorldOn(t testing.TB, engine db.DB, d Deliverer, change ...func(*Settings)) *world {
	t.Helper()
	w := &world{t: t, ids: mail.NewIDs(1, 0), obs: &observer{}, set: defaults(), db: engine}
	for _, c := range change {
		c(&w.set)
	}
	w.open(d)
	return w
}

// open makes a new queue over the same database, as a new process does.
func (w *world) open(d Deliverer) {
	w.q = New(Options{DB: w.db, IDs: w.ids, Settings: w.settings, Deliverer: d,
		Observer: w.obs, Logger: slog.New(slog.DiscardHandler)})
}

func (w *world) settings() Settings {
	set := w.set
	set.Hold = set.Hold || w.hold.Load()
	return set
}

// run starts the queue and returns what stops it.
func (w *world) run() (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.q.Run(ctx) }()
	w.eventually("the queue to run", w.running)
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				w.t.Errorf("run: %v", err)
			}
		})
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *world) running() bool {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return w.q.running
}

// message has one recipient for each address.
func (w *world) message(addresses ...string) *Message {
	w.t.Helper()
	m := &Message{ID: w.ids.Next(), Tenant: 1, Stream: "main", Body: 7, Size: 100, Received: micros()}
	m.From = w.address("sender@home.test")
	for _, a := range addresses {
		address := w.address(a)
		m.Recipients = append(m.Recipients, Recipient{ID: w.ids.Next(),
			Recipient: mail.Recipient{Address: address}, Site: address.Domain.ASCII})
	}
	return m
}

func (w *world) address(s string) mail.Address {
	w.t.Helper()
	a, err := mail.ParseAddress(s)
	w.must(err)
	return a
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) insert(list ...*Message) {
	w.t.Helper()
	w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error { return w.q.Insert(tx, list) }))
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(sql), args...)
		return err
	}))
}

func (w *world) stats() map[State]int64 {
	w.t.Helper()
	s, err := w.q.Stats(w.t.Context())
	w.must(err)
	return s
}

func (w *world) rows(table string) (n int) {
	w.t.Helper()
	w.must(w.db.Read(w.t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT COUNT(*) FROM "+table), nil, &n)
	}))
	return n
}

// eventually waits for what has no signal of its own.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(60 * time.Second)
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			seen := w.obs.seen()
			w.t.Fatalf("waited too long for %s; last of %d events %v", what, len(seen), seen[max(0, len(seen)-20):])
		}
	}
}

// empty tells whether no row is left, and then waits until the observers of the
// last commit have heard of it: their hooks run before the next write.
func (w *world) empty() bool {
	if w.rows("queue_recipient") > 0 || w.rows("queue_message") > 0 {
		return false
	}
	if err := w.db.Write(context.Background(), func(*db.Tx) error { return nil }); err != nil {
		w.t.Logf("a write behind the last one: %v", err)
	}
	return true
}

// failing is an engine that refuses writes while it is told to.
type failing struct {
	db.DB
	mu  sync.Mutex
	err error
	n   int // writes refused
}

var errDown = errors.New("the database is away")

func (f *failing) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *failing) Write(ctx context.Context, fn func(*db.Tx) error) error {
	f.mu.Lock()
	err := f.err
	if err != nil {
		f.n++
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.DB.Write(ctx, fn)
}
