package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// mostRelease is how long a message may have to wait for its time.
const mostRelease = 5 * time.Hour

// bring has the process accept mail.
func (w *world) bring() {
	var list []*queue.Message
	for range 1 + w.rng.IntN(3) {
		list = append(list, w.message())
	}
	var names []string
	for _, m := range list {
		w.model.add(m)
		for _, r := range m.Recipients {
			names = append(names, r.Address.ASCII())
		}
	}
	w.op("brings "+strings.Join(names, " "), func(ctx context.Context, p *process) error {
		err := p.db.Write(ctx, func(tx *db.Tx) error {
			if err := p.q.Insert(tx, list); err != nil {
				return err
			}
			w.model.effect(tx, func() {
				for _, m := range list {
					w.model.inserted(m)
				}
			})
			return nil
		})
		for _, m := range list {
			for _, given := range m.Recipients {
				r := w.model.of(given.ID)
				if r.acked = err == nil; r.acked && !r.committed {
					w.fail("%s is accepted and not stored", r.address)
				}
			}
		}
		return err
	})
}

func (w *world) message() *queue.Message {
	now := mail.Micros(time.Now())
	m := &queue.Message{ID: w.ids.Next(), Tenant: 1, Stream: "main", Received: now, Body: w.ids.Next()}
	m.From = address("sender@home.test")
	text := fmt.Sprintf("Subject: %v\r\n\r\n", m.ID)
	for range w.rng.IntN(30) {
		text += oneOf(w, "some words\r\n", ".\r\n", "..dots\r\n", "\r\n", strings.Repeat("long ", 100)+"\r\n")
	}
	if w.chance(20) {
		text += strings.Repeat("a large message\r\n", 10_000)
	}
	w.bodies[m.Body] = text
	m.Prefix = []byte("Received: by us\r\n")
	if w.chance(10) {
		m.Prefix = []byte(strings.Repeat("X-Large: header\r\n", 40_000))
	}
	m.Size = int64(len(m.Prefix) + len(text))
	switch w.rng.IntN(20) {
	case 0, 1:
		m.Release = now + w.rng.Int64N(int64(mostRelease/time.Microsecond))
	case 2, 3:
		m.Priority = mail.Priority(w.rng.IntN(19) - 9)
	case 4:
		m.By = mail.DeliverBy{At: now + w.rng.Int64N(int64(6*time.Hour/time.Microsecond)), Return: w.chance(500), Trace: w.chance(300)}
	}
	m.Expires = max(now, m.Release) + w.set.Lifetime.Microseconds()
	people := 1 + w.rng.IntN(5)
	if w.chance(15) {
		people = 130
	}
	held, success := w.chance(60), w.chance(150)
	s := w.sites[w.rng.IntN(len(w.sites))]
	for range people {
		if people < 100 {
			s = w.sites[w.rng.IntN(len(w.sites))]
		}
		w.people++
		a := address(fmt.Sprintf("r%d@%s", w.people, s.name))
		r := queue.Recipient{ID: w.ids.Next(), Recipient: mail.Recipient{Address: a}, Site: s.name}
		if held {
			r.State, r.Next = queue.Held, now
		}
		if success {
			r.Notify = mail.NotifySuccess | mail.NotifyFailure
		}
		m.Recipients = append(m.Recipients, r)
	}
	return m
}

func address(text string) mail.Address {
	local, domain, _ := strings.Cut(text, "@")
	return mail.Address{Local: local, Domain: mail.Domain{ASCII: domain, Unicode: domain}}
}

// administer has somebody do something by hand.
func (w *world) administer() {
	if len(w.model.order) == 0 {
		return
	}
	chosen := w.model.order[w.rng.IntN(len(w.model.order))]
	var f queue.Filter
	what := chosen.address
	switch w.rng.IntN(6) {
	case 0:
		f.Domain = chosen.site
		what = chosen.site
	case 1:
		f.IDs = []mail.ID{chosen.m.ID}
		what = "the message of " + what
	case 2:
		if f.All = w.chance(200); f.All {
			what = "all"
			break
		}
		fallthrough
	default:
		f.IDs = []mail.ID{chosen.id}
	}
	verb := oneOf(w, "hold", "hold", "release", "release", "retry", "retry", "retry", "bounce", "delete", "recall")
	var asked []*recipient // those of a retry may be attempted before their time from now on
	for _, r := range w.model.order {
		if verb == "retry" && (f.All || r.site == f.Domain || slices.Contains(f.IDs, r.id) || slices.Contains(f.IDs, r.m.ID)) {
			r.asked++
			r.touched = true
			asked = append(asked, r)
		}
	}
	w.op(verb+" "+what, func(ctx context.Context, p *process) error {
		n, err := verbOf(ctx, p.q, verb, f, chosen.m.ID)
		if !p.dead.Load() {
			for _, r := range asked {
				r.asked--
				r.touched = true
			}
		}
		if err == nil && !p.dead.Load() {
			w.trace("  %d are touched", n)
		}
		return err
	})
}

func verbOf(ctx context.Context, q *queue.Queue, verb string, f queue.Filter, message mail.ID) (int, error) {
	var t queue.Touched
	var err error
	switch verb {
	case "hold":
		t, err = q.Hold(ctx, f)
	case "release":
		t, err = q.Release(ctx, f)
	case "retry":
		t, err = q.Retry(ctx, f)
	case "bounce":
		t, err = q.Bounce(ctx, f)
	case "delete":
		t, err = q.Delete(ctx, f)
	default:
		return q.Recall(ctx, message, 0)
	}
	return t.All(), err
}

func (w *world) releaseAll() {
	w.op("release all", func(ctx context.Context, p *process) error {
		_, err := p.q.Release(ctx, queue.Filter{All: true})
		return err
	})
}

// report has the reports to senders written, by one at a time.
func (w *world) report() {
	if w.reporting == w.p {
		return
	}
	w.reporting = w.p
	w.op("reports", func(ctx context.Context, p *process) error {
		err := w.reports(ctx, p)
		if w.reporting == p {
			w.reporting = nil
		}
		return err
	})
}

func (w *world) reports(ctx context.Context, p *process) error {
	failed, err := p.q.Failed(ctx, 0, 5)
	if err != nil {
		return err
	}
	served, err := p.q.Served(ctx, 0, 5)
	if err != nil {
		return err
	}
	for _, m := range append(failed, served...) {
		ids := idsOf(m)
		err := p.db.Write(ctx, func(tx *db.Tx) error {
			w.model.effect(tx, func() { w.model.settled(ids) })
			return p.q.Settle(tx, ids)
		})
		if err != nil {
			return err
		}
	}
	late, err := p.q.Delayed(ctx, 5)
	if len(failed)+len(served)+len(late) == 0 {
		w.nothing = time.Now()
	}
	if err != nil || len(late) == 0 {
		return err
	}
	return p.db.Write(ctx, func(tx *db.Tx) error {
		for _, m := range late {
			ids := idsOf(m)
			w.model.effect(tx, func() { w.model.delayed(ids) })
			if err := p.q.MarkDelayed(tx, ids); err != nil {
				return err
			}
		}
		return nil
	})
}

func idsOf(m *queue.Message) []mail.ID {
	ids := make([]mail.ID, len(m.Recipients))
	for i, r := range m.Recipients {
		ids[i] = r.ID
	}
	return ids
}
