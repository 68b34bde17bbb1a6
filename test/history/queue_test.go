package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// wish is what somebody asked for a recipient under way.
type wish uint8

const (
	noWish wish = iota
	wishHold
	wishBounce
	wishDelete
)

// rcpt is one recipient in the queue.
type rcpt struct {
	message int
	from    string
	address string
	site    string
	token   int // attempts wait until it is open; 0 = they do not
	old     bool
	expired bool // its lifetime is over
	letter  *letter

	state    queue.State
	wish     wish
	attempts int
	code     int
	enhanced string
	gaveUp   bool
	delayed  bool
}

func (r *rcpt) name() string { return fmt.Sprintf("m%d %s", r.message, r.address) }

func (r *rcpt) String() string {
	return fmt.Sprintf("%s %v attempts=%d %d %s gaveup=%v delayed=%v", r.name(), r.state, r.attempts, r.code, r.enhanced, r.gaveUp, r.delayed)
}

func (w *world) rcpt(m *queue.Message, r queue.Recipient) string {
	return fmt.Sprintf("%s %s %v attempts=%d %d %s gaveup=%v delayed=%v", w.messageName(m.ID), r.Address, r.State, r.Attempts,
		r.Code, r.Enhanced, r.Expired, r.Delayed)
}

func (w *world) queueLines(list []*queue.Message) string {
	var lines []string
	for _, m := range list {
		lines = append(lines, fmt.Sprintf("from %q", m.From))
		for _, r := range m.Recipients {
			lines = append(lines, w.rcpt(m, r))
		}
	}
	return strings.Join(lines, "\n")
}

func queueLines(list []*rcpt) string {
	var lines []string
	last := 0
	for _, r := range list {
		if r.message != last {
			lines = append(lines, fmt.Sprintf("from %q", address(r.from)))
		}
		last = r.message
		lines = append(lines, r.String())
	}
	return strings.Join(lines, "\n")
}

// attempt is what the far side says: the first letter of an address and how
// often it was tried decide.
func attempt(address string, attempts int) (code int, enhanced string) {
	switch {
	case address[0] == 'r', address[0] == 'x' && attempts > 0:
		return 550, "5.1.1"
	case address[0] == 't', (address[0] == 'l' || address[0] == 'x') && attempts < 2:
		return 451, "4.2.0"
	}
	return 250, ""
}

// farAddress draws a recipient elsewhere: accepts, later, refuses, temporarily
// for ever, or refuses in the end.
func (g *generator) farAddress() string {
	return fmt.Sprintf("%s%d@%s", pick(g.r, []string{"d", "d", "l", "r", "t", "x"}), g.r.IntN(9), pick(g.r, farDomains()))
}

func senders() []string {
	return []string{"ann@home.test", "Bob@aa.test", "Ärger@home.test", "news@例え.test", ""}
}

// insertion is messages for the queue.
type insertion struct {
	list []*rcpt
	hold bool
}

// insert puts one or two messages into the queue, most of them for several
// recipients on several sites.
func (g *generator) insert() operation {
	var in insertion
	var words []string
	for range 1 + g.r.IntN(2) {
		g.m.messagesMade++
		one := rcpt{message: g.m.messagesMade, from: pick(g.r, senders()), old: g.r.IntN(3) == 0, expired: g.r.IntN(5) == 0}
		if g.r.IntN(3) == 0 && g.m.waiting() < 16 {
			g.m.tokensMade++
			one.token = g.m.tokensMade
		}
		seen := map[string]bool{}
		for range 1 + g.r.IntN(5) {
			r := one
			r.address = g.farAddress()
			if seen[r.address] {
				continue
			}
			seen[r.address] = true
			r.site = address(r.address).Domain.ASCII
			in.list = append(in.list, &r)
			words = append(words, r.name())
		}
	}
	in.hold = g.m.hold
	return operation{
		words: fmt.Sprintf("queue %s", strings.Join(words, ", ")),
		queue: true,
		model: func() string { return g.m.enqueue(in.list) },
		world: func(w *world) string { return w.insert(in) },
	}
}

// enqueue adds recipients that are new.
func (m *model) enqueue(list []*rcpt) string {
	for _, r := range list {
		r.state = queue.Queued
		if m.hold && r.site != queue.SiteLocal {
			r.state = queue.Held
		}
		m.rcpts = append(m.rcpts, r)
	}
	return ok
}

func (w *world) insert(in insertion) string {
	var list []*queue.Message
	var bodies []blob.Body
	now := time.Now()
	for _, r := range in.list {
		id := w.messageID(r.message)
		if n := len(list); n == 0 || list[n-1].ID != id {
			body, err := w.putBody("Subject: queued\r\n\r\n", id)
			if err != nil {
				return kind(err)
			}
			bodies = append(bodies, body)
			m := &queue.Message{
				ID: id, Tenant: 1, Stream: "main", Body: body.ID, Size: body.Size, Received: mail.Micros(now),
				Envelope: mail.Envelope{From: address(r.from)}, Tags: []string{"one", "two"},
			}
			if r.old {
				m.Received -= (2 * delayNotice).Microseconds()
			}
			if r.expired {
				m.Expires = mail.Micros(now.Add(-time.Hour))
			}
			list = append(list, m)
			w.gates.set(id, r.token)
		}
		m := list[len(list)-1]
		m.Recipients = append(m.Recipients, queue.Recipient{
			ID: w.ids.Next(), Recipient: mail.Recipient{Address: address(r.address), Notify: mail.NotifyFailure}, Site: r.site,
		})
	}
	return kind(w.p.db.Write(w.ctx, func(tx *db.Tx) error {
		if err := w.blobs.Record(tx, bodies...); err != nil {
			return err
		}
		return w.p.queue.Insert(tx, list)
	}))
}

// waiting is how many recipients have attempts that wait for their token.
func (m *model) waiting() (n int) {
	for _, r := range m.rcpts {
		if r.token != 0 && !m.open[r.token] {
			n++
		}
	}
	return n
}

// settle is what the queue does by itself: it tries what is due.
func (m *model) settle() {
	if !m.running {
		return
	}
	for _, r := range slices.Clone(m.rcpts) {
		switch {
		case r.state != queue.Queued:
		case r.token != 0 && !m.open[r.token]:
			r.state = queue.Leased
		default:
			m.attempt(r)
		}
	}
	m.sweepQueue()
}

// sweepQueue takes those out that are done.
func (m *model) sweepQueue() {
	m.rcpts = slices.DeleteFunc(m.rcpts, func(r *rcpt) bool { return r.state == 0 })
}

// attempt is one attempt from start to end.
func (m *model) attempt(r *rcpt) {
	code, enhanced := attempt(r.address, r.attempts)
	if r.site == queue.SiteLocal {
		code, enhanced = m.fileLate(r)
	}
	r.attempts++
	r.code, r.enhanced = code, enhanced
	asked := r.wish
	r.wish = noWish
	line := func(kind string) {
		m.event(r.message, address(r.address).String(), fmt.Sprintf("%s %d %s attempt %d", kind, code, enhanced, r.attempts))
	}
	granted := ""
	switch {
	case code == 250:
		r.state = 0
		line("delivered")
	case asked == wishDelete:
		r.state, granted = 0, "deleted"
	case code >= 500:
		r.state = queue.Failed
	case asked == wishBounce:
		r.bounce()
		granted = "failed"
	case r.expired:
		r.state, r.gaveUp = queue.Failed, true
		line("expired")
	case asked == wishHold:
		r.state, granted = queue.Held, "held"
	default:
		r.state = queue.Deferred
	}
	switch {
	case code == 250 || r.gaveUp:
	case code >= 500:
		line("failed")
	default:
		line("deferred")
	}
	if granted != "" {
		m.administered(r, granted)
	}
}

// bounce gives a recipient up by hand.
func (r *rcpt) bounce() {
	r.state, r.gaveUp = queue.Failed, false
	if r.code == 0 { // else what the last attempt found stays
		r.code, r.enhanced = 554, "5.0.0"
	}
}

func (m *model) administered(r *rcpt, kind string) {
	m.event(r.message, address(r.address).String(), kind+" by the administrator")
}

// verb is what somebody does to recipients by hand.
type verb struct {
	name string
	do   func(*queue.Queue, context.Context, queue.Filter) (queue.Touched, error)
	from []queue.State
	wish wish
	kind string // of the event
}

func verbs() []verb {
	return []verb{
		{"hold", (*queue.Queue).Hold, []queue.State{queue.Queued, queue.Deferred}, wishHold, "held"},
		{"release", (*queue.Queue).Release, []queue.State{queue.Held}, noWish, "released"},
		{"retry", (*queue.Queue).Retry, []queue.State{queue.Deferred}, noWish, ""},
		{"bounce", (*queue.Queue).Bounce, []queue.State{queue.Queued, queue.Deferred, queue.Held}, wishBounce, "failed"},
		{"delete", (*queue.Queue).Delete, []queue.State{queue.Queued, queue.Deferred, queue.Held, queue.Failed}, wishDelete, "deleted"},
	}
}

func (g *generator) administer() operation {
	v := pick(g.r, verbs())
	f := g.filter()
	return operation{
		words: fmt.Sprintf("%s %s", v.name, f.words),
		queue: true,
		model: func() string {
			if f.nothing() {
				return "no filter"
			}
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

// byHand is 1 if the verb touched the recipient.
func (m *model) byHand(v verb, r *rcpt) int {
	if r.state == queue.Leased {
		switch {
		case v.wish != noWish:
			r.wish = v.wish
			return 1
		case v.name == "release" && r.wish == wishHold:
			r.wish = noWish
			return 1
		}
		return 0
	}
	if !slices.Contains(v.from, r.state) {
		return 0
	}
	switch v.name {
	case "hold":
		r.state = queue.Held
	case "release", "retry":
		r.state = queue.Queued
	case "bounce":
		r.bounce()
	case "delete":
		r.state = 0
	}
	if v.kind != "" {
		m.administered(r, v.kind)
	}
	return 1
}

// letGo ends the attempts that wait for a token.
func (g *generator) letGo() operation {
	tokens := map[int]bool{}
	for _, r := range g.m.rcpts {
		if r.token != 0 && !g.m.open[r.token] {
			tokens[r.token] = true
		}
	}
	if len(tokens) == 0 {
		return g.insert()
	}
	token := pick(g.r, sortedKeys(tokens))
	return operation{
		words: fmt.Sprintf("attempts that wait for token %d go on", token),
		queue: true,
		model: func() string {
			g.m.open[token] = true
			if !g.m.running {
				return ok
			}
			for _, r := range g.m.rcpts {
				if r.token == token && r.state == queue.Leased {
					g.m.attempt(r)
				}
			}
			g.m.sweepQueue()
			return ok
		},
		world: func(w *world) string {
			w.gates.open(token)
			return ok
		},
	}
}

// startOrStop starts the queue, or ends the process in order and begins another
// one whose queue is not started: no queue runs twice.
func (g *generator) startOrStop() operation {
	if g.m.running {
		return operation{
			words: "restart without the queue", queue: true,
			model: func() string {
				g.m.leave()
				g.m.stopQueue()
				return ok
			},
			world: func(w *world) string {
				w.end()
				w.begin()
				return ok
			},
		}
	}
	return operation{
		words: "start the queue", queue: true,
		model: func() string {
			g.m.running = true
			g.m.recover()
			return ok
		},
		world: func(w *world) string { return w.startQueue() },
	}
}

// stopQueue gives back what is under way, untried.
func (m *model) stopQueue() {
	m.running = false
	for _, r := range m.rcpts {
		if r.state != queue.Leased {
			continue
		}
		switch r.wish {
		case wishHold:
			r.state = queue.Held
			m.administered(r, "held")
		case wishBounce:
			r.bounce()
			m.administered(r, "failed")
		case wishDelete:
			r.state = 0
			m.administered(r, "deleted")
		default:
			r.state = queue.Queued
		}
		r.wish = noWish
	}
	m.sweepQueue()
}

// recover frees what a dead process had under way.
func (m *model) recover() {
	for _, r := range m.rcpts {
		if r.state != queue.Leased {
			continue
		}
		r.attempts = max(r.attempts, 1)
		switch r.wish {
		case wishHold, wishDelete: // somebody should look at what was to be deleted
			r.state = queue.Held
			m.administered(r, "held")
		case wishBounce:
			r.bounce()
			m.administered(r, "failed")
		default:
			r.state = queue.Queued
		}
		r.wish = noWish
	}
}

func (g *generator) toggleHold() operation {
	on := !g.m.hold
	return operation{
		words: fmt.Sprintf("new mail for others is held: %v", on),
		model: func() string { g.m.hold = on; return ok },
		world: func(w *world) string { w.hold.Store(on); return ok },
	}
}
