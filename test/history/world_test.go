package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

func schemas() []db.Schema {
	return []db.Schema{account.Schema(), pack.Schema(), mailbox.Schema(), queue.Schema(), event.Schema(), intake.Schema()}
}

func references() []blob.Reference { return append(mailbox.References(), queue.References()...) }

// delayNotice is how old a message is of whose delay the sender is told.
const delayNotice = time.Hour

// world is one engine with all parts of the domain on it.
type world struct {
	name     string
	t        testing.TB
	classes  *classify.Classifier
	patience time.Duration // with what must happen
	ctx      context.Context
	db       db.DB
	dir      string
	blobs    blob.Store
	ids      *mail.IDs
	began    int64 // microseconds
	hold     atomic.Bool
	gates    *gates
	p        *process

	accounts, messages, boxes *names
	validities                map[string]uint32 // "a1 3" is the third of an account
	views                     map[int]*mailbox.View
	receipts                  map[string]intake.Receipt
	cursor                    event.Cursor
	seen                      map[mail.ID]bool
}

// process is what a process of the server has in memory.
type process struct {
	db        *cut
	mailboxes *mailbox.Store
	directory *account.Directory
	queue     *queue.Queue
	intake    *intake.Intake
	log       *event.Log
	stop      func() // ends what always runs
	stopQueue func() // nil while the queue does not run
}

func newWorld(t testing.TB, name string, engine db.DB) *world {
	t.Helper()
	classes, err := classify.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		classes: classes,
		name:    name, t: t, patience: time.Minute, ctx: context.WithoutCancel(t.Context()), db: engine, dir: t.TempDir(), ids: mail.NewIDs(0, 0),
		began: mail.Micros(time.Now()), gates: newGates(),
		accounts: newNames("a"), messages: newNames("m"), boxes: newNames("box"), validities: map[string]uint32{},
		views: map[int]*mailbox.View{}, receipts: map[string]intake.Receipt{}, seen: map[mail.ID]bool{},
	}
	if err := engine.Migrate(t.Context(), schemas()...); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := w.openBlobs(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	w.begin()
	t.Cleanup(func() {
		w.end()
		if err := w.blobs.Close(); err != nil {
			t.Errorf("%s: close the bodies: %v", name, err)
		}
	})
	return w
}

func (w *world) openBlobs() error {
	blobs, err := pack.Open(w.ctx, pack.Options{
		Dir: w.dir, DB: w.db, IDs: w.ids, Prealloc: 1 << 20, PackSize: 2 << 20, MinFree: -1,
		Grace: time.Nanosecond, // a body that nobody refers to any more may go at once
	})
	if err == nil {
		w.blobs = blobs
	}
	return err
}

// begin puts the parts together as a new process does.
func (w *world) begin() {
	log := slog.New(slog.DiscardHandler)
	p := &process{db: &cut{DB: w.db}}
	w.p = p
	p.mailboxes = mailbox.New(mailbox.Options{
		DB: p.db, Blobs: w.blobs, IDs: w.ids, Logger: log, Mailboxes: maxBoxes, NameBytes: maxName, Depth: maxDepth,
		Quota: func(ctx context.Context, id mail.ID) (int64, error) {
			a, err := p.directory.Get(ctx, id)
			return p.directory.Quota(a), err
		},
	})
	p.directory = account.New(account.Options{
		DB: p.db, IDs: w.ids, Logger: log,
		Postmaster:   func() mail.Address { return mail.Address{} },
		DefaultQuota: func() int64 { return 0 },
		Created:      func(tx *db.Tx, a account.Account) error { return p.mailboxes.Provision(tx, a.ID) },
		Removed:      func(tx *db.Tx, a account.Account) error { return p.mailboxes.Erase(tx, a.ID) },
	})
	p.queue = queue.New(queue.Options{
		DB: p.db, IDs: w.ids, Deliverer: deliverer{w: w, p: p}, Observer: event.NewRecorder(w.ids, w.classes, nil), Logger: log,
		Settings: func() queue.Settings {
			return queue.Settings{
				Hold: w.hold.Load(), Retry: []time.Duration{5 * time.Hour}, Lifetime: 5 * 24 * time.Hour, DelayNotice: delayNotice,
				Memory: 64 << 20, Concurrency: 500, PerSite: 200, Grace: 30 * time.Second,
			}
		},
		// Attempts that hang teach nothing of what a provider bears.
		Limits: func(string) queue.Limits { return queue.Limits{First: 200} },
	})
	p.intake = intake.New(intake.Options{
		DB: p.db, Blobs: w.blobs, IDs: w.ids, Directory: p.directory, Mailboxes: p.mailboxes, Queue: p.queue,
		Settings: func() intake.Settings {
			return intake.Settings{Hostname: hostname, MessageSize: maxContent, HeaderSize: 2000, Recipients: 100}
		},
		Metrics: intake.NewMetrics(prometheus.NewRegistry()), Logger: log,
	})
	p.log = event.NewLog(p.db, w.ids)
	p.stop = w.background(func(ctx context.Context) error { p.intake.Run(ctx); return nil })
}

// background runs f until the function that it returns is called.
func (w *world) background(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := f(ctx); err != nil {
			w.t.Errorf("%s: %v", w.name, err)
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		ended.Wait()
	})
}

func (w *world) startQueue() string {
	q := w.p.queue
	w.p.stopQueue = w.background(q.Run)
	return kind(w.eventually("the queue to run", func() bool { return q.Health() == nil }))
}

// end stops the process.
func (w *world) end() {
	for _, v := range w.views {
		v.Close()
	}
	clear(w.views)
	if w.p.stopQueue != nil {
		w.p.stopQueue()
	}
	w.p.stop()
}

// kill ends the process as kill -9 does: nothing that it still wants to write
// gets through.
func (w *world) kill() {
	w.p.db.off.Store(true)
	w.end()
	w.begin()
}

// eventually waits for what has no signal of its own.
func (w *world) eventually(what string, done func() bool) error {
	end := time.NewTimer(w.patience)
	defer end.Stop()
	tick := time.NewTicker(300 * time.Microsecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end.C:
			return fmt.Errorf("waited %v for %s", w.patience, what)
		}
	}
	return nil
}

// cut is an engine that can be taken away from the process that uses it.
type cut struct {
	db.DB
	off atomic.Bool
}

func (c *cut) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if c.off.Load() {
		return db.ErrClosed
	}
	return c.DB.Write(ctx, fn)
}

func (c *cut) Read(ctx context.Context, fn func(*db.Tx) error) error {
	if c.off.Load() {
		return db.ErrClosed
	}
	return c.DB.Read(ctx, fn)
}

// names are the ids of a world by the numbers of the model.
type names struct {
	prefix  string
	ids     map[int]mail.ID
	numbers map[mail.ID]int
}

func newNames(prefix string) *names {
	return &names{prefix: prefix, ids: map[int]mail.ID{}, numbers: map[mail.ID]int{}}
}

// bind notes which id something has: never another one, and no two the same.
func (n *names) bind(number int, id mail.ID) error {
	if n.ids[number] == 0 && n.numbers[id] == 0 && number != 0 && id != 0 {
		n.ids[number], n.numbers[id] = id, number
	}
	if n.ids[number] != id || n.numbers[id] != number {
		return fmt.Errorf("%s%d has the id %v, but that is of %s%d, whose is %v", n.prefix, number, id, n.prefix, n.numbers[id], n.ids[number])
	}
	return nil
}

func (n *names) id(number int) mail.ID { return n.ids[number] }

func (n *names) number(id mail.ID) int { return n.numbers[id] }

func (n *names) byName(name string) mail.ID {
	var number int
	if _, err := fmt.Sscanf(strings.TrimPrefix(name, n.prefix), "%d", &number); err != nil {
		return 0
	}
	return n.ids[number]
}

func (w *world) messageName(id mail.ID) string { return fmt.Sprintf("m%d", w.messages.number(id)) }

// messageID is the id of a message of the model, made at the first call.
func (w *world) messageID(number int) mail.ID {
	if id := w.messages.id(number); id != 0 {
		return id
	}
	id := w.ids.Next()
	_ = w.messages.bind(number, id) // both are new
	return id
}

const ok = "ok"

// kind is an error as the model knows it.
func kind(err error) string {
	if err == nil {
		return ok
	}
	for _, k := range []struct {
		err  error
		name string
	}{
		{account.ErrNoAccount, "no account"}, {account.ErrNoDomain, "no domain"}, {account.ErrNoAlias, "no alias"},
		{account.ErrExists, "exists"}, {account.ErrInUse, "in use"}, {account.ErrPassword, "bad password"}, {account.ErrNobody, "nobody"},
		{mail.ErrAddress, "bad address"}, {mail.ErrDomain, "bad domain"},
		{mailbox.ErrNoMailbox, "no mailbox"}, {mailbox.ErrNoSelect, "no select"}, {mailbox.ErrMailboxExists, "exists"},
		{mailbox.ErrBadName, "bad name"}, {mailbox.ErrNotAllowed, "not allowed"}, {mailbox.ErrHasChildren, "has children"},
		{mailbox.ErrTooMany, "too many"}, {mailbox.ErrReadOnly, "read-only"}, {mailbox.ErrOverQuota, "over quota"},
		{mailbox.ErrBadKeyword, "bad keyword"}, {queue.ErrNotFound, "not found"}, {queue.ErrNoFilter, "no filter"},
		{event.ErrNoMessage, "no message"},
	} {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	if strings.Contains(err.Error(), "an alias needs") {
		return "error"
	}
	return "error: " + err.Error()
}
