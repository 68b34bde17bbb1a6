// Package tlsreport tells domains once a day what TLS came to with their mail
// exchangers, if they ask for that (RFC 8460).
package tlsreport

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

const (
	// storeEvery is how often results go from memory into the table.
	storeEvery = time.Minute
	// lastStore is how long the server's end waits for that.
	lastStore = 5 * time.Second
	// sendEvery is how often it is looked which reports are due.
	sendEvery = time.Minute
	// pruneEvery is how often what is old is dropped.
	pruneEvery = time.Hour
)

// Settings may change at any time.
type Settings struct {
	On           bool   // results are collected, and reports are sent
	Hostname     string // of this server
	Organization string // that the reports are from; empty = Hostname
	Contact      string // address of who is responsible for them; empty = postmaster at Hostname
}

// Options are what Reports are made of.
type Options struct {
	DB db.DB
	// TXT returns the TXT records of a name, the strings of each joined. An error that
	// is ErrNotFound or ErrNoData of package dnsx says that there are none.
	TXT func(ctx context.Context, name string) ([]string, error)
	// Post hands a report, which is compressed, to an https: URI: see Poster.
	Post     func(ctx context.Context, uri string, report []byte) error
	Settings func() Settings
	Now      func() time.Time // nil = time.Now
	Logger   *slog.Logger
	Metrics  *Metrics
}

// Reports collects results and sends the reports. It may be used by many goroutines.
type Reports struct {
	o Options

	mu      sync.Mutex
	mem     memory
	domains map[int64]int // how many each day has in the table, as far as it was counted
	full    chan struct{} // memory should be stored soon
}

// New returns Reports on the tables of Schema.
func New(o Options) *Reports {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Reports{o: o, mem: newMemory(), domains: map[int64]int{}, full: make(chan struct{}, 1)}
}

// Run stores results and sends reports until ctx ends; then it stores what is left.
func (r *Reports) Run(ctx context.Context) {
	var sender sync.WaitGroup
	sender.Go(func() { r.sendLoop(ctx) })
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-r.full:
		case <-ctx.Done():
			continue
		}
		r.told(ctx, "results not stored, they are kept for now, but for those that may be there", r.Store(ctx))
	}
	sender.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStore)
	defer cancel()
	r.told(last, "results of the last minute are lost", r.Store(last))
}

func (r *Reports) sendLoop(ctx context.Context) {
	send, prune := time.NewTicker(sendEvery), time.NewTicker(pruneEvery)
	defer send.Stop()
	defer prune.Stop()
	for {
		select {
		case <-send.C:
			r.told(ctx, "not sent, it goes on in a minute", r.Send(ctx))
		case <-prune.C:
			r.told(ctx, "old ones not dropped, it goes on in an hour", r.Prune(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// told logs what went wrong, unless that is the server's end.
func (r *Reports) told(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		r.o.Logger.Error("TLS reports are held up", "what", what, "error", err)
	}
}

// A day is counted in days since 1970, UTC.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// startOf is when a day begins.
func startOf(day int64) time.Time { return time.Unix(day*24*60*60, 0).UTC() }
