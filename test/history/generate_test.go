package history

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/hayauma/hayauma/internal/mailbox"
)

// operation is one step of a history.
type operation struct {
	words string              // for people
	queue bool                // it gives the queue something to do
	model func() string       // changes the model and gives its answer
	world func(*world) string // asks a world
}

// generator draws operations by a look at the model.
type generator struct {
	r     *rand.Rand
	m     *model
	table []weighed
	sum   int
}

type weighed struct {
	weight int
	draw   func() operation
}

// Bounds of what is there at a time, so that a long history stays fast.
const (
	mostAccounts = 7
	mostBox      = 40  // messages of a mailbox
	mostMessages = 110 // and of an account
	mostQueued   = 60
	mostViews    = 8
)

func newGenerator(seed uint64, m *model) *generator {
	g := &generator{r: rand.New(rand.NewPCG(seed, 0x6861796175)), m: m}
	on := func(f func(*view) operation) func() operation { return func() operation { return g.onView(f) } }
	g.table = []weighed{
		{8, g.addDomain}, {8, g.removeDomain}, {2, g.addAccount}, {1, g.removeAccount}, {16, g.setAlias}, {12, g.removeAlias},
		{60, g.resolve}, {10, g.setQuota},
		{24, g.create}, {14, g.remove}, {18, g.rename}, {18, g.subscribe}, {25, g.list}, {45, g.status}, {15, g.usage},
		{16, g.reserve}, {4, g.reap},
		{45, g.deliver}, {35, g.appendTo},
		{40, g.selectBox}, {12, on(g.closeView)}, {110, on(g.poll)}, {75, on(g.store)}, {30, on(g.expunge)},
		{25, on(func(v *view) operation { return g.transfer(v, false) })}, {22, on(func(v *view) operation { return g.transfer(v, true) })},
		{45, on(g.rows)}, {80, on(g.search)}, {20, on(g.firstUnseen)},
		{25, g.insert}, {30, g.administer}, {25, g.listQueue}, {8, g.stats}, {10, g.report}, {4, g.letGo}, {4, g.startOrStop}, {2, g.toggleHold},
		{30, g.send}, {12, g.repeat}, {6, g.confirm}, {5, g.again}, {20, g.trace}, {6, g.traceByName},
		{1, g.restart}, {4, g.kill},
	}
	for _, t := range g.table {
		g.sum += t.weight
	}
	return g
}

// next draws an operation; what has grown too large is cut first.
func (g *generator) next() operation {
	switch {
	case len(g.m.domains) == 0:
		return g.addDomain()
	case len(g.m.accounts) < 2:
		if g.r.IntN(4) == 0 {
			return g.addDomain()
		}
		return g.addAccount()
	case len(g.m.accounts) > mostAccounts:
		return g.removeAccount()
	case len(g.m.rcpts) > mostQueued:
		return g.thin()
	case len(g.m.views) > mostViews:
		return g.closeView(pick(g.r, g.m.views))
	}
	for _, a := range g.m.accounts {
		_, n := a.used()
		for _, b := range sortedBoxes(a) {
			if len(b.list) > mostBox || n > mostMessages && len(b.list) > mostBox/3 {
				return g.empty(a, b)
			}
		}
	}
	n := g.r.IntN(g.sum)
	for _, t := range g.table {
		if n -= t.weight; n < 0 {
			return t.draw()
		}
	}
	return g.list()
}

func (g *generator) account() *acct { return pick(g.r, g.m.accounts) }

// onView does something in a session. Once its mailbox is gone, only what tells
// so is asked.
func (g *generator) onView(f func(*view) operation) operation {
	if len(g.m.views) == 0 {
		return g.selectBox()
	}
	v := pick(g.r, g.m.views)
	for range 3 {
		if len(v.uids) == 0 {
			v = pick(g.r, g.m.views)
		}
	}
	if !v.box.gone {
		return f(v)
	}
	switch n := g.r.IntN(5); {
	case n == 0 && len(v.uids) > 0:
		return g.store(v)
	case n == 1:
		return g.expunge(v)
	case n == 2:
		return g.firstUnseen(v)
	case n == 3:
		return g.closeView(v)
	}
	return g.poll(v)
}

// empty removes the older messages of a mailbox.
func (g *generator) empty(a *acct, b *box) operation {
	var uids []uint32
	for _, m := range b.list[:len(b.list)*2/3] {
		uids = append(uids, m.uid)
	}
	return operation{
		words: fmt.Sprintf("a%d empties %q", a.number, b.name),
		model: func() string {
			v := &view{number: 0, acct: a, box: b, recent: map[uint32]bool{}, others: map[uint32]bool{}}
			v.learn()
			b.written = b.mark
			g.m.store(v, uids, markDeleted())
			return fmt.Sprint(g.m.expunge(b, uids))
		},
		world: func(w *world) string {
			v, err := w.p.mailboxes.Select(w.ctx, w.accounts.id(a.number), b.name, false)
			if err != nil {
				return kind(err)
			}
			defer v.Close()
			c := markDeleted()
			if _, err := v.Store(w.ctx, uids, c.Mode, c.Flags, nil); err != nil {
				return kind(err)
			}
			gone, err := v.Expunge(w.ctx, uids)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(gone)
		},
	}
}

// thin takes some of a queue that has grown long away.
func (g *generator) thin() operation {
	v := verbs()[len(verbs())-1]
	f := filter{all: true, limit: mostQueued / 2}
	return operation{
		words: "delete the oldest half of the queue", queue: true,
		model: func() string {
			n := 0
			for _, r := range f.choose(g.m) {
				n += g.m.byHand(v, r)
			}
			g.m.sweepQueue()
			return fmt.Sprint(n)
		},
		world: func(w *world) string {
			real, err := f.real(w)
			if err != nil {
				return kind(err)
			}
			n, err := v.do(w.p.queue, w.ctx, real)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(n.All())
		},
	}
}

// restart is a process that ends in order, and another one.
func (g *generator) restart() operation {
	return operation{
		words: "restart", queue: true,
		model: func() string {
			g.m.leave()
			if g.m.running {
				g.m.stopQueue()
				g.m.running = true
			}
			return ok
		},
		world: func(w *world) string {
			again := w.p.stopQueue != nil
			w.end()
			err := w.blobs.Close()
			if err == nil {
				err = w.openBlobs()
			}
			w.begin()
			if err != nil {
				return kind(err)
			}
			if again {
				return w.startQueue()
			}
			return ok
		},
	}
}

// kill is a process that dies, and another one, which may take its time to find
// what the dead one had under way.
func (g *generator) kill() operation {
	start := g.r.IntN(3) > 0
	return operation{
		words: fmt.Sprintf("kill -9 and begin anew (queue: %v)", start), queue: true,
		model: func() string {
			// Whether these were forgotten by then is a matter of time.
			for _, print := range g.m.lifting {
				g.m.unsure[print] = true
			}
			g.m.lifting = nil
			for _, v := range g.m.views {
				v.box.mark = v.box.written
			}
			g.m.views = nil
			for _, a := range g.m.accounts {
				a.reserved = 0
			}
			if g.m.running = start; start {
				g.m.recover()
			}
			return ok
		},
		world: func(w *world) string {
			w.kill()
			if start {
				return w.startQueue()
			}
			return ok
		},
	}
}

// leave is what every session and transaction under way does when the process
// ends in order.
func (m *model) leave() {
	m.lifting = nil
	for _, v := range m.views {
		if !v.readOnly {
			v.box.written = v.box.mark
		}
	}
	m.views = nil
	for _, a := range m.accounts {
		a.reserved = 0
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func markDeleted() mailbox.Change { return mailbox.Change{Mode: mailbox.Add, Flags: mailbox.Deleted} }
