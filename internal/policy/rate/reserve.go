package rate

import (
	"context"

	"github.com/hayauma/hayauma/internal/mail"
)

// Reservation is one message on its way in, for which room is kept. It belongs
// to one goroutine until it is given to Commit. A nil one is that of a message
// that nobody is counted for.
type Reservation struct {
	l      *Limiter
	sender Sender
	names  []Subject

	contacts []said  // in the order of Recipient
	waits    mail.ID // the message, if it may be taken back

	// Limiter.mu guards what follows.
	list     []*subject
	held     counts
	released bool
	counted  bool
}

// said is a recipient that was taken.
type said struct {
	contact
	fresh bool  // it counts as a new one
	day   int64 // when it was written to last, neverWritten, or untracked
}

// Begin keeps room for a message, or says why there is none.
func (l *Limiter) Begin(ctx context.Context, s Sender) (*Reservation, *mail.Fault) {
	if s.Account == 0 {
		return nil, nil
	}
	r := &Reservation{l: l, sender: s, names: s.subjects()}
	if fault := r.reserve(ctx, counts{Messages: 1}, l.defaults()); fault != nil {
		return nil, fault
	}
	return r, nil
}

// Check tells whether a sender could send a message to so many recipients now.
// It keeps no room.
func (l *Limiter) Check(ctx context.Context, s Sender, recipients int) *mail.Fault {
	if s.Account == 0 {
		return nil
	}
	var fault *mail.Fault
	defaults := l.defaults()
	err := l.with(ctx, s.subjects(), func(now int64, list []*subject) {
		fault = l.judge(now, s.subjects(), list, counts{Messages: 1, Recipients: int32(min(recipients, maxAsked))}, defaults)
	})
	return orFault(fault, err)
}

// maxAsked bounds the recipients that Check is asked about.
const maxAsked = 1 << 30

// Recipient keeps room for a recipient of the message, or says why there is
// none.
func (r *Reservation) Recipient(ctx context.Context, a mail.Address) *mail.Fault {
	if r == nil {
		return nil
	}
	defaults := r.l.defaults()
	to, err := r.look(ctx, a, defaults)
	if err != nil {
		return mail.AsFault(err)
	}
	c := counts{Recipients: 1}
	if to.fresh {
		c[NewRecipients] = 1
	}
	if fault := r.reserve(ctx, c, defaults); fault != nil {
		return fault
	}
	r.contacts = append(r.contacts, to)
	return nil
}

// Withdraw gives back the room of the last recipient, which somebody else has
// refused.
func (r *Reservation) Withdraw() {
	if r == nil || len(r.contacts) == 0 {
		return
	}
	last := r.contacts[len(r.contacts)-1]
	r.contacts = r.contacts[:len(r.contacts)-1]
	c := counts{Recipients: 1}
	if last.fresh {
		c[NewRecipients] = 1
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.released || r.counted {
		return
	}
	r.held.take(c)
	for _, s := range r.list {
		s.pending.take(c)
	}
}

// Release gives the room back. It is harmless after the message was accepted.
func (r *Reservation) Release() {
	if r == nil {
		return
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.release()
}

// release takes what is held off what is pending, once. l.mu is held.
func (r *Reservation) release() {
	if r.released {
		return
	}
	r.released = true
	for _, s := range r.list {
		s.pending.take(r.held)
	}
}

// reserve keeps room in every subject or in none.
func (r *Reservation) reserve(ctx context.Context, c counts, defaults map[Kind]Limits) *mail.Fault {
	var fault *mail.Fault
	err := r.l.with(ctx, r.names, func(now int64, list []*subject) {
		if fault = r.l.judge(now, r.names, list, c, defaults); fault != nil {
			return
		}
		r.list = list
		r.held.add(c)
		for _, s := range list {
			s.pending.add(c)
		}
	})
	return orFault(fault, err)
}

func orFault(fault *mail.Fault, err error) *mail.Fault {
	if err != nil {
		return mail.Temporary(mail.SystemError, "We cannot look up how much you may send, please try again later").Because(err)
	}
	return fault
}

// judge says why there is no room for c. l.mu is held.
func (l *Limiter) judge(now int64, names []Subject, list []*subject, c counts, defaults map[Kind]Limits) *mail.Fault {
	for i, s := range list {
		if s.held {
			l.o.Metrics.refused(names[i].Kind, "held")
			return heldFault()
		}
		limits := s.limits(defaults[names[i].Kind])
		for n, rule := range ruleTable {
			if limits[n] == 0 || c[rule.Measure] == 0 {
				continue
			}
			over := s.used(now, rule) + int64(c[rule.Measure]) - limits[n]
			if over > 0 {
				l.o.Metrics.refused(names[i].Kind, rule.Name)
				return fullFault(names[i].Kind, rule, limits[n], s.windows[rule.Span].wait(now, rule.Measure, over))
			}
		}
	}
	return nil
}

// used is what counts against a limit.
func (s *subject) used(now int64, r Rule) int64 {
	return int64(s.windows[r.Span].sum(now)[r.Measure]) + int64(s.pending[r.Measure])
}

// defaults asks for the limits in force; it is not called under the mutex.
func (l *Limiter) defaults() map[Kind]Limits {
	return map[Kind]Limits{Account: l.o.Defaults(Account), Domain: l.o.Defaults(Domain), Key: l.o.Defaults(Key)}
}
