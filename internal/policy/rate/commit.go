package rate

import (
	"cmp"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
)

// Commit counts the messages of a group in the transaction that accepts them,
// so that what is accepted is counted, and nothing else is: one row for each
// subject, however many messages it sends. It may run more than once, as any
// function of a transaction. Nil reservations are left out; room is kept for the others.
func (l *Limiter) Commit(tx *db.Tx, group ...*Reservation) error {
	group = slices.DeleteFunc(slices.Clone(group), func(r *Reservation) bool { return r == nil })
	if len(group) == 0 {
		return nil
	}
	at, minute := l.clock.now(), l.clock.minute()
	if err := tx.Insert(insertCount, countRows(group, minute)...); err != nil {
		return err
	}
	if err := tx.Insert(insertWaiting, waitingRows(group, at, minute)...); err != nil {
		return err
	}
	today := minute / minutesPerDay
	written := contactsOf(group, today)
	if err := tx.Insert(insertContact, contactRows(written, today)...); err != nil {
		return err
	}
	tx.OnCommit(func() {
		for _, r := range group {
			l.accepted(r, at)
		}
		for _, c := range written {
			l.remember(c, today)
		}
	})
	return nil
}

var insertCount = db.Insert{
	Into: "send_count", Columns: []string{"kind", "subject", "minute", "messages", "recipients", "fresh"},
	Conflict: `ON CONFLICT (kind, subject, minute) DO UPDATE SET messages = send_count.messages + excluded.messages,
	recipients = send_count.recipients + excluded.recipients, fresh = send_count.fresh + excluded.fresh`,
}

// countRows sums a group up, in the one order in which rows are taken.
func countRows(group []*Reservation, minute int64) [][]any {
	sums := map[Subject]counts{}
	for _, r := range group {
		for _, n := range r.names {
			c := sums[n]
			c.add(r.wants)
			sums[n] = c
		}
	}
	rows := make([][]any, 0, len(sums))
	for _, n := range inOrder(sums) {
		c := sums[n]
		rows = append(rows, []any{n.Kind, n.Name, minute, c[Messages], c[Recipients], c[NewRecipients]})
	}
	return rows
}

func inOrder(sums map[Subject]counts) []Subject {
	names := make([]Subject, 0, len(sums))
	for n := range sums {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b Subject) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return names
}

var insertContact = db.Insert{
	Into: "send_contact", Columns: []string{"account", "hash", "day"},
	Conflict: "ON CONFLICT (account, hash) DO UPDATE SET day = excluded.day WHERE send_contact.day < excluded.day",
}

// contactsOf are those whose day has to be written: each once a day.
func contactsOf(group []*Reservation, today int64) []contact {
	var list []contact
	for _, r := range group {
		for _, to := range r.contacts {
			if to.day != untracked && to.day < today {
				list = append(list, to.contact)
			}
		}
	}
	slices.SortFunc(list, func(a, b contact) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.hash, b.hash))
	})
	return slices.Compact(list)
}

func contactRows(list []contact, today int64) [][]any {
	rows := make([][]any, 0, len(list))
	for _, c := range list {
		rows = append(rows, []any{c.account, c.hash, today})
	}
	return rows
}

// accepted counts a message that is durable. Its session may have given up
// before: the answer to a commit can come late.
func (l *Limiter) accepted(r *Reservation, at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.counted {
		return
	}
	r.release()
	r.counted = true
	for _, s := range r.list {
		s.count(at, r.wants)
		if s.held {
			// It was on its way when the account was stopped: its part of the
			// queue has to be held as well.
			l.again[r.sender.Account] = true
			l.signal()
		}
	}
}
