// Package postgres is the SQL engine for PostgreSQL 15 and later: each Write a
// transaction, several at once, with an answer to every lost COMMIT.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hayauma/hayauma/internal/db"
)

// Options says where the database is and what may be used of it. Zero values
// mean the defaults named.
type Options struct {
	URL    string       // postgres://user:password@host1,host2/database?sslmode=...
	Logger *slog.Logger // nil = none

	Writers    int           // transactions at the same time that write: 6
	Readers    int           // and that read: 8
	MaxWaiting int           // writes that may wait, more get db.ErrOverloaded: 10000
	Patience   time.Duration // how long a Write takes at most, tries after a lost connection and look-ups included: 15 s
	Timeout    time.Duration // of a transaction that reads, after which its connection is given up: 30 s

	// Shared lets other processes with this option use the database as well: a
	// node of several.
	Shared bool

	// Place tells people where this process works, such as "mx1:/var/lib/hayauma".
	// Serves says that it is a server: while one has been seen lately, a process
	// elsewhere that is none is refused, even if the server has just lost its
	// connection. Not for Shared.
	Place  string
	Serves bool

	// Observe is told of every commit: how long it took and how many functions
	// were in it. It must not block.
	Observe func(commit time.Duration, functions int)
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Writers, 6)
	def(&o.Readers, 8)
	def(&o.MaxWaiting, 10000)
	if o.Patience <= 0 {
		o.Patience = 15 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(time.Duration, int) {}
	}
	return o
}

// DB is the engine: db.DB.
type DB struct {
	o                Options
	log              *slog.Logger
	texts            texts
	inserts          inserts
	writers, readers *pgxpool.Pool
	keeper           *keeper
	notices          notifier

	slots   chan struct{} // one for each Write that runs
	waiting atomic.Int64  // Writes that run or wait for a slot
	unclear atomic.Int64  // transactions whose mark is being looked for
	commits commits       // not answered yet
	epoch   atomic.Int64  // of this process; its transactions commit only while it is the newest
	final   atomic.Pointer[error]
	over    chan struct{} // closed once final is set

	work    sync.WaitGroup // goroutines that end with the engine
	once    sync.Once
	closing chan struct{}
}

var _ db.DB = (*DB)(nil)

// Open connects, checks that the server may be trusted with mail, and takes the
// database for this process: db.ErrInUse if another has it (see Serves), db.ErrUnavailable
// if it does not answer.
func Open(ctx context.Context, o Options) (_ *DB, err error) {
	o = o.withDefaults()
	cfg, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	d := &DB{o: o, log: o.Logger, slots: make(chan struct{}, o.Writers), over: make(chan struct{}), closing: make(chan struct{})}
	if d.keeper, err = takeOver(ctx, d, cfg.ConnConfig); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.writers, err = pool(cfg, o.Writers+1); err != nil {
		return nil, err
	}
	if d.readers, err = pool(cfg, o.Readers); err != nil {
		return nil, err
	}
	d.work.Go(d.keeper.run)
	if o.Shared {
		d.notices.start(d, cfg.ConnConfig)
	}
	return d, nil
}

// connectTimeout bounds how long one host may take to let us in.
const connectTimeout = 5 * time.Second

// parse reads a URL and adds what we always want.
func parse(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("storage.database: %w", err) // pgx leaves the password out
	}
	c := cfg.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	// After a failover the host that takes writes is the one to talk to.
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	params := c.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "hayauma"
	}
	// What a client that died left open must not keep rows locked.
	setDefault(params, "idle_in_transaction_session_timeout", "60s")
	setDefault(params, "tcp_keepalives_idle", "15")
	setDefault(params, "tcp_keepalives_interval", "5")
	setDefault(params, "tcp_keepalives_count", "3")
	c.OnNotice = func(pc *pgconn.PgConn, n *pgconn.Notice) {
		if kept, ok := pc.CustomData()[noticeKey].(*notices); ok && n.SeverityUnlocalized == "WARNING" {
			kept.warning = n.Message + " (" + n.Code + ")"
		}
	}
	return cfg, nil
}

func setDefault(params map[string]string, key, value string) {
	if _, set := params[key]; !set {
		params[key] = value
	}
}

const noticeKey = "hayauma.notices"

// notices is what a server said beside its answers.
type notices struct{ warning string }

func noticesOf(c *pgx.Conn) *notices {
	data := c.PgConn().CustomData()
	n, ok := data[noticeKey].(*notices)
	if !ok {
		n = &notices{}
		data[noticeKey] = n
	}
	return n
}

func pool(cfg *pgxpool.Config, size int) (*pgxpool.Pool, error) {
	cfg = cfg.Copy()
	cfg.MaxConns, cfg.MinConns = int32(size), 0
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.MaxConnLifetime, cfg.MaxConnLifetimeJitter = time.Hour, 10*time.Minute
	p, err := pgxpool.NewWithConfig(context.Background(), cfg)
	return p, wrap(err)
}

// enter waits for a place to write.
func (d *DB) enter(ctx context.Context) error {
	if d.isClosed() {
		return db.ErrClosed
	}
	if d.waiting.Add(1) > int64(d.o.MaxWaiting+d.o.Writers) {
		d.waiting.Add(-1)
		return db.ErrOverloaded
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		d.waiting.Add(-1)
		return context.Cause(ctx)
	case <-d.closing:
		d.waiting.Add(-1)
		return db.ErrClosed
	}
}

func (d *DB) leave() {
	<-d.slots
	d.waiting.Add(-1)
}

func (d *DB) isClosed() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

// refuses is why this process writes no more, nil if it does.
func (d *DB) refuses() error {
	if d.isClosed() {
		return db.ErrClosed
	}
	if p := d.final.Load(); p != nil {
		return *p
	}
	return nil
}

func (d *DB) breakWith(err error) error {
	if d.final.CompareAndSwap(nil, &err) {
		d.log.Error("the database takes no more writes from this process", "error", err)
		close(d.over)
	}
	return *d.final.Load()
}

// groups is how many groups of messages are under way at once: one forms while
// the other waits for the server. More are smaller, and cost more than they
// bring: 1, 2, 3 and 6 gave 2,900, 3,200, 3,300 and 2,600 messages a second.
const groups = 2

// Parallel is db.DB's.
func (d *DB) Parallel() int { return groups }

// Broken is db.DB's: another process has taken the database over.
func (d *DB) Broken() <-chan struct{} { return d.over }

// Health is db.DB's. It turns green again by itself once the database answers.
func (d *DB) Health() error {
	if err := d.refuses(); err != nil {
		return err
	}
	if waits := d.commits.longest(); waits > d.o.Patience/slowCommit {
		return fmt.Errorf("%w: a COMMIT has been without an answer for %v", db.ErrUnavailable, waits.Round(time.Second))
	}
	return d.keeper.health()
}

// Close is db.DB's.
func (d *DB) Close() error {
	d.once.Do(func() {
		close(d.closing)
		d.work.Wait()
		for range cap(d.slots) {
			d.slots <- struct{}{} // the writes that run end
		}
		if d.writers != nil {
			d.writers.Close()
		}
		if d.readers != nil {
			d.readers.Close()
		}
		d.keeper.close()
	})
	return nil
}
