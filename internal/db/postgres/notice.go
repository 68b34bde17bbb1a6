package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// noticePause is the least time between two notices of one process.
	noticePause = 20 * time.Millisecond
	// noticeBytes bounds a notice: PostgreSQL takes 8000 octets.
	noticeBytes = 7500
	// noticeIDs bounds the ids of a topic that wait to be announced; beyond
	// that everyone is told to look at everything.
	noticeIDs = 5000
	// listenWait bounds how long a lost connection goes unnoticed.
	listenWait = 30 * time.Second
)

// notifier tells other processes what changed, and hears it from them, each over
// a connection of its own: a NOTIFY in the transaction itself would have all
// commits wait for each other.
type notifier struct {
	d    *DB
	cfg  *pgx.ConnConfig
	self string // names this process in its notices
	wake chan struct{}

	mu        sync.Mutex
	waiting   map[string][]int64 // by topic; nil under a topic = everything
	listeners map[string][]*func([]int64)
}

func (n *notifier) start(d *DB, cfg *pgx.ConnConfig) {
	n.d, n.cfg = d, cfg
	n.self = strconv.FormatInt(rand.Int64(), 36) //nolint:gosec // a name, no secret
	n.wake = make(chan struct{}, 1)
	n.waiting, n.listeners = map[string][]int64{}, map[string][]*func([]int64){}
	d.work.Go(n.send)
	d.work.Go(n.hear)
}

// Announce is db.DB's.
func (d *DB) Announce(topic string, ids ...int64) {
	n := &d.notices
	if !d.o.Shared || len(ids) == 0 {
		return
	}
	n.mu.Lock()
	have, all := n.waiting[topic]
	switch {
	case all && have == nil: // everything is announced already
	case len(have)+len(ids) > noticeIDs:
		n.waiting[topic] = nil
	default:
		n.waiting[topic] = append(have, ids...)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Listen is db.DB's.
func (d *DB) Listen(ctx context.Context, topic string, f func(ids []int64)) bool {
	n := &d.notices
	if !d.o.Shared {
		return false
	}
	n.mu.Lock()
	n.listeners[topic] = append(n.listeners[topic], &f)
	n.mu.Unlock()
	context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.listeners[topic] = slices.DeleteFunc(n.listeners[topic], func(g *func([]int64)) bool { return g == &f })
	})
	return true
}

// channel is the same for all processes in a schema.
const channel = "'hayauma_' || hashtext(current_schema())"

// send announces what gathered, at most once in noticePause.
func (n *notifier) send() {
	var c *pgx.Conn
	defer func() { closeConn(c) }()
	for {
		select {
		case <-n.wake:
		case <-n.d.closing:
			return
		}
		for _, text := range n.take() {
			c = n.notify(c, text)
		}
		if !n.d.rest(noticePause) {
			return
		}
	}
}

// notify sends one notice and returns the connection to use next. What cannot be
// sent is lost: those who listen look for themselves.
func (n *notifier) notify(c *pgx.Conn, text string) *pgx.Conn {
	ctx, cancel := context.WithTimeout(context.Background(), keeperTimeout)
	defer cancel()
	if c == nil || c.IsClosed() {
		var err error
		if c, err = pgx.ConnectConfig(ctx, n.cfg); err != nil {
			return nil
		}
	}
	if _, err := c.Exec(ctx, "SELECT pg_notify("+channel+", $1)", text); err != nil {
		closeConn(c)
		return nil
	}
	return c
}

// take returns the notices that wait: "process topic id id ...".
func (n *notifier) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for topic, ids := range n.waiting {
		head := n.self + " " + topic
		slices.Sort(ids)
		b := []byte(head)
		for _, id := range slices.Compact(ids) {
			if len(b) > noticeBytes {
				out = append(out, string(b))
				b = []byte(head)
			}
			b = strconv.AppendInt(append(b, ' '), id, 36)
		}
		out = append(out, string(b))
	}
	clear(n.waiting)
	return out
}

// hear gives notices to those who listen, until the engine is closed.
func (n *notifier) hear() {
	for tries := 0; ; tries++ {
		n.listen()
		if !n.d.rest(pause(tries)) {
			return
		}
	}
}

// listen hears notices until the connection is lost.
func (n *notifier) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-n.d.closing:
			cancel()
		case <-stop:
		}
	}()
	c, err := pgx.ConnectConfig(ctx, n.cfg)
	if err != nil {
		return
	}
	defer closeConn(c)
	var name string
	if err := c.QueryRow(ctx, "SELECT "+channel).Scan(&name); err != nil {
		return
	}
	if _, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
		return
	}
	n.tell("", nil) // what came before this LISTEN was missed
	for {
		wait, done := context.WithTimeout(ctx, listenWait)
		notice, err := c.WaitForNotification(wait)
		done()
		switch {
		case err == nil:
			n.give(notice.Payload)
		case ctx.Err() != nil || c.IsClosed() || c.Ping(ctx) != nil:
			return
		}
	}
}

// give reads a notice. One that is not understood comes from another version.
func (n *notifier) give(text string) {
	words := strings.Fields(text)
	if len(words) < 2 || words[0] == n.self {
		return
	}
	ids := make([]int64, 0, len(words)-2)
	for _, w := range words[2:] {
		id, err := strconv.ParseInt(w, 36, 64)
		if err != nil {
			n.d.log.Warn("a notice of another process is not understood", "error", fmt.Errorf("%q: %w", w, err))
			return
		}
		ids = append(ids, id)
	}
	n.tell(words[1], ids)
}

// tell calls the listeners of a topic, or of all if it is empty.
func (n *notifier) tell(topic string, ids []int64) {
	n.mu.Lock()
	var call []*func([]int64)
	for t, list := range n.listeners {
		if topic == "" || t == topic {
			call = append(call, list...)
		}
	}
	n.mu.Unlock()
	for _, f := range call {
		(*f)(ids)
	}
}

func closeConn(c *pgx.Conn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), keeperTimeout)
	defer cancel()
	_ = c.Close(ctx) // nothing hangs on it
}
