package queue

import (
	"fmt"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
)

// Insert adds messages in the commit that takes responsibility for them. Their
// ids and those of their recipients are given; Expires is Received plus the
// lifetime if it is 0. A recipient is born Held if the settings hold new mail
// for others; Leased, and handed to its worker once the commit is durable,
// while the memory budget lasts; else Queued. One that is given as Served or Held
// stays so.
func (q *Queue) Insert(tx *db.Tx, list []*Message) error {
	if len(list) == 0 {
		return nil
	}
	b := birth{q: q, set: q.o.Settings(), now: micros(), room: q.room()}
	for _, m := range list {
		b.add(m)
	}
	if err := tx.Insert(insertMessage, b.messages...); err != nil {
		return fmt.Errorf("queue messages: %w", err)
	}
	if err := tx.Insert(insertRecipient, b.recipients...); err != nil {
		return fmt.Errorf("queue recipients: %w", err)
	}
	if len(b.born) > 0 || b.waiting || b.served {
		q.hears(tx)
		tx.OnCommit(func() { q.born(&b) })
	}
	return nil
}

// Extend adds recipients to a message that is in the queue, due at once, in the commit of
// an outcome of another one.
func (q *Queue) Extend(tx *db.Tx, m *Message, list []Recipient) error {
	now := micros()
	rows := make([][]any, 0, len(list))
	for _, r := range list {
		r.State, r.Next = Queued, now
		rows = append(rows, recipientRow(m, &r, 0))
	}
	if err := tx.Insert(insertRecipient, rows...); err != nil {
		return fmt.Errorf("more recipients: %w", err)
	}
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.due(now)
	})
	return nil
}

// room is how much memory is left for handing over, by site and in all.
// What is urgent does not stand behind what waits in the database, and has the
// memory of claims besides.
func (q *Queue) room() func(d delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.running || q.ending() || q.behind() {
		return func(delivery) bool { return false }
	}
	memory := q.o.Settings().Memory
	left := memory - q.octets
	most := left / 2 // no site takes all that is left, and no flow more than half of all
	used, flows := map[string]int64{}, map[int64]int64{}
	behind := func(d delivery, flow int64) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		if _, known := flows[flow]; !known {
			flows[flow] = q.flows[flow]
		}
		// Those before it in the database come first, if they are of its flow.
		s := q.sites[d.site]
		return s != nil && s.more && s.ready.has(flow)
	}
	return func(d delivery) bool {
		octets, flow := estimate(d.message, d.recipients), d.message.flow()
		urgent := d.message.Priority.Level() > 0 && left+claimMemory >= octets
		if !urgent && (behind(d, flow) || left < octets || used[d.site]+octets > most || flows[flow]+octets > memory/2) {
			return false
		}
		left -= octets
		used[d.site] += octets
		flows[flow] += octets
		return true
	}
}

// birth gathers the rows of new messages. It touches nothing but itself, since
// the commit may run again.
type birth struct {
	q    *Queue
	set  Settings
	now  int64
	room func(delivery) bool

	messages, recipients [][]any
	born                 []delivery
	waiting              bool // some are left to the scheduler
	served               bool // some reports are due
}

// delivery is what one message has for one site.
type delivery struct {
	message    *Message
	site       string
	recipients []Recipient
}

func (b *birth) add(given *Message) {
	m := *given
	m.Recipients = nil
	if m.Expires == 0 {
		m.Expires = max(m.Received, m.Release) + b.q.lifetime(&m, b.set.Lifetime).Microseconds()
	}
	if m.By.Return && m.By.At != 0 {
		m.Expires = min(m.Expires, m.By.At)
	}
	b.messages = append(b.messages, messageRow(&m))
	for _, d := range bySite(&m, b.open(&m, given.Recipients)) {
		state := b.state(d)
		owner := b.q.owner
		if state != Leased {
			owner = 0
		}
		for i := range d.recipients {
			r := &d.recipients[i]
			r.State, r.Next, r.Holder = state, max(b.now, m.Release), HeldBySetting
			r.NotBefore = m.Release
			b.recipients = append(b.recipients, recipientRow(&m, r, owner))
		}
		if state == Leased {
			b.born = append(b.born, d)
		}
	}
}

// open returns the recipients that have no state yet, and adds the others.
func (b *birth) open(m *Message, all []Recipient) []Recipient {
	given := func(r Recipient) bool { return r.State == Served || r.State == Held }
	if !slices.ContainsFunc(all, given) {
		return all
	}
	for _, r := range all {
		if given(r) {
			if r.State == Served {
				r.Next, b.served = m.Release, true
			}
			r.Holder = HeldAsItCame
			b.recipients = append(b.recipients, recipientRow(m, &r, 0))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), given)
}

func (b *birth) state(d delivery) State {
	switch {
	case b.set.Hold && d.site != SiteLocal:
		return Held
	case d.message.Release > b.now: // the scheduler finds it when it is due
	case b.room(d):
		return Leased
	}
	b.waiting = true
	return Queued
}

// bySite splits recipients by their site, in the order of the first of each.
func bySite(m *Message, recipients []Recipient) []delivery {
	if len(recipients) == 1 {
		return []delivery{{message: m, site: recipients[0].Site, recipients: slices.Clone(recipients)}}
	}
	var out []delivery
	at := map[string]int{}
	for _, r := range recipients {
		i, known := at[r.Site]
		if !known {
			i = len(out)
			at[r.Site] = i
			out = append(out, delivery{message: m, site: r.Site})
		}
		out[i].recipients = append(out[i].recipients, r)
	}
	return out
}

// born hands new messages to their workers once they are durable.
func (q *Queue) born(b *birth) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range b.born {
		q.push(d.message, d.site, d.recipients)
	}
	if b.waiting {
		q.due(b.now)
	}
	if b.served {
		signal(q.failed)
	}
}

// due tells the scheduler of rows that are due from a time on. q.mu is held.
func (q *Queue) due(next int64) {
	q.rewind = min(q.rewind, next)
	signal(q.wake)
}
