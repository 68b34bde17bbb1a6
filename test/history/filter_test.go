package history

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// filter chooses recipients by names of the model.
type filter struct {
	words    string
	messages []int
	rcpts    []string // names
	domain   string
	sender   string
	state    queue.State
	all      bool
	limit    int
}

func (f *filter) nothing() bool {
	return len(f.messages)+len(f.rcpts) == 0 && f.domain == "" && f.sender == "" && f.state == 0 && !f.all
}

// filter draws conditions; now and then none at all.
func (g *generator) filter() *filter {
	f := &filter{}
	switch g.r.IntN(14) {
	case 0, 1, 2, 3:
		for range 1 + g.r.IntN(3) {
			if len(g.m.rcpts) == 0 {
				break
			}
			if r := pick(g.r, g.m.rcpts); g.r.IntN(2) == 0 {
				f.messages = append(f.messages, r.message)
			} else {
				f.rcpts = append(f.rcpts, r.name())
			}
		}
		f.messages = append(f.messages, 1+g.r.IntN(g.m.messagesMade+1)) // mostly one that is not there
	case 4, 5, 6:
		f.domain = pick(g.r, append(farDomains(), "FAR1.test", "例え.test", "nowhere.test"))
	case 7, 8, 9:
		// None beyond ASCII: PostgreSQL folds the text that is asked for by the
		// locale of its database, and the column by octets, so it finds nothing.
		f.sender = pick(g.r, []string{"ann@home.test", "Bob@aa.test", "news@例え.test", "<>", "ANN@home.TEST", "<bob@aa.test>", "x@home.test"})
	case 10:
		f.all = true
		f.limit = 1 + g.r.IntN(10)
	case 11:
		// Nothing: a filter that must be refused.
	}
	if g.r.IntN(3) == 0 && (f.all || !f.nothing()) || g.r.IntN(3) == 0 && f.nothing() {
		f.state = pick(g.r, []queue.State{queue.Queued, queue.Leased, queue.Deferred, queue.Failed, queue.Held})
	}
	if g.r.IntN(6) == 0 && !f.nothing() {
		f.limit = 1 + g.r.IntN(5)
	}
	f.words = fmt.Sprintf("messages %v recipients %q domain %q sender %q state %v all %v, at most %d",
		f.messages, f.rcpts, f.domain, f.sender, f.state, f.all, f.limit)
	return f
}

// choose gives the recipients that a filter is for.
func (f *filter) choose(m *model) (list []*rcpt) {
	for _, r := range m.rcpts {
		byID := slices.Contains(f.messages, r.message) || slices.Contains(f.rcpts, r.name())
		if len(f.messages)+len(f.rcpts) > 0 && !byID {
			continue
		}
		if f.domain != "" && address(r.address).Domain.ASCII != domainForm(f.domain) {
			continue
		}
		if f.sender != "" && foldASCII(address(r.from).ASCII()) != foldASCII(address(strings.Trim(f.sender, "<>")).ASCII()) {
			continue
		}
		if f.state != 0 && r.state != f.state {
			continue
		}
		if list = append(list, r); f.limit > 0 && len(list) == f.limit {
			break
		}
	}
	return list
}

func domainForm(name string) string {
	d, _ := mail.ParseDomain(name)
	return d.ASCII
}

// foldASCII is lower case for ASCII alone, as an address is compared.
func foldASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// real is the filter with a world's ids.
func (f *filter) real(w *world) (queue.Filter, error) {
	out := queue.Filter{Domain: f.domain, Sender: f.sender, State: f.state, All: f.all, Limit: f.limit}
	for _, n := range f.messages {
		out.IDs = append(out.IDs, w.messages.id(n))
	}
	for _, name := range f.rcpts {
		message, addr, _ := strings.Cut(name, " ")
		m, err := w.p.queue.Show(w.ctx, w.messages.byName(message))
		if err != nil {
			return out, err
		}
		for _, r := range m.Recipients {
			if r.Address.String() == address(addr).String() {
				out.IDs = append(out.IDs, r.ID)
			}
		}
	}
	return out, nil
}

func (g *generator) listQueue() operation {
	f := g.filter()
	return operation{
		words: "list the queue: " + f.words,
		model: func() string {
			if f.nothing() {
				return "no filter"
			}
			return queueLines(f.choose(g.m))
		},
		world: func(w *world) string {
			real, err := f.real(w)
			if err != nil {
				return kind(err)
			}
			list, err := w.p.queue.List(w.ctx, real)
			if err != nil {
				return kind(err)
			}
			return w.queueLines(list)
		},
	}
}

func (g *generator) stats() operation {
	return operation{
		words: "count the queue",
		model: g.m.statsLine,
		world: func(w *world) string {
			counts, err := w.p.queue.Stats(w.ctx)
			if err != nil {
				return kind(err)
			}
			return statsText(counts)
		},
	}
}

func (m *model) statsLine() string {
	counts := map[queue.State]int64{}
	for _, r := range m.rcpts {
		counts[r.state]++
	}
	return statsText(counts)
}

func statsText(counts map[queue.State]int64) string {
	var parts []string
	for s := queue.Queued; s <= queue.Held; s++ {
		parts = append(parts, fmt.Sprintf("%v=%d", s, counts[s]))
	}
	return strings.Join(parts, " ")
}

// grouped are the first recipients of a list whose messages are at most limit.
func grouped(list []*rcpt, limit int) (out []*rcpt) {
	last := 0
	for _, r := range list {
		if r.message != last {
			if limit--; limit < 0 {
				break
			}
			last = r.message
		}
		out = append(out, r)
	}
	return out
}

// report reads what failed or is late, and settles it as the reporter does.
func (g *generator) report() operation {
	limit := 1 + g.r.IntN(4)
	failed, settle := g.r.IntN(3) > 0, g.r.IntN(4) > 0
	what := map[bool]string{true: "failed", false: "late"}[failed]
	return operation{
		words: fmt.Sprintf("report up to %d messages that %s (settle: %v)", limit, what, settle),
		queue: true,
		model: func() string {
			var list []*rcpt
			for _, r := range g.m.rcpts {
				if failed && r.state == queue.Failed || !failed && (r.state == queue.Deferred || r.state == queue.Queued) && r.old && !r.delayed {
					list = append(list, r)
				}
			}
			list = grouped(list, limit)
			text := queueLines(list)
			for _, r := range list {
				switch {
				case !settle:
				case failed:
					r.state = 0
				default:
					r.delayed = true
				}
			}
			g.m.sweepQueue()
			return text
		},
		world: func(w *world) string { return w.report(limit, failed, settle) },
	}
}

func (w *world) report(limit int, failed, settle bool) string {
	var list []*queue.Message
	// What has failed waits for the others of its message, but not for so long.
	err := w.p.db.Write(w.ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE queue_recipient SET next = 0 WHERE state = 4"))
		return err
	})
	switch {
	case err != nil:
	case failed:
		list, err = w.p.queue.Failed(w.ctx, 0, limit)
	default:
		list, err = w.p.queue.Delayed(w.ctx, limit)
	}
	if err != nil {
		return kind(err)
	}
	text := w.queueLines(list)
	if !settle {
		return text
	}
	var ids []mail.ID
	for _, m := range list {
		for _, r := range m.Recipients {
			ids = append(ids, r.ID)
		}
	}
	err = w.p.db.Write(w.ctx, func(tx *db.Tx) error {
		if failed {
			return w.p.queue.Settle(tx, ids)
		}
		return w.p.queue.MarkDelayed(tx, ids)
	})
	if err != nil {
		return kind(err)
	}
	return text
}
