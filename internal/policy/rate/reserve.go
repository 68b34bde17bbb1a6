package rate

import (
	"context"

	"github.com/hayauma/hayauma/internal/mail"
)

// Reservation is one message on its way in. Keep has room kept for it: before, it is
// only asked whether there is some, so that transactions that just stand open are in
// nobody's way. It belongs to one goroutine until it is given to Commit. A nil one is
// that of a message that nobody is counted for.
type Reservation struct {
	l      *Limiter
	sender Sender
	names  []Subject

	wants    counts  // what it will count for
	contacts []said  // in the order of Recipient
	waits    mail.ID // the message, if it may be taken back

	// Limiter.mu guards what follows.
	list     []*subject // in which room is kept
	released bool
	counted  bool
}

// said is a recipient that was taken.
type said struct {
	contact
	fresh bool  // it counts as a new one
	day   int64 // when it was written to last, neverWritten, or untracked
}

// Begin says why there is no room for a message, if there is none.
func (l *Limiter) Begin(ctx context.Context, s Sender) (*Reservation, *mail.Fault) {
	if s.Account == 0 {
		return nil, nil
	}
	r := &Reservation{l: l, sender: s, names: s.subjects(), wants: counts{Messages: 1}}
	if fault := l.ask(ctx, r.names, r.wants, l.defaults()); fault != nil {
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
	return l.ask(ctx, s.subjects(), counts{Messages: 1, Recipients: int32(min(recipients, maxAsked))}, l.defaults())
}

// ask judges what would be sent by what was sent.
func (l *Limiter) ask(ctx context.Context, names []Subject, c counts, defaults map[Kind]Limits) *mail.Fault {
	var fault *mail.Fault
	err := l.with(ctx, names, func(now int64, list []*subject) { fault = l.judge(now, names, list, c, defaults) })
	return orFault(fault, err)
}

// maxAsked bounds the recipients that Check is asked about.
const maxAsked = 1 << 30

// Recipient adds a recipient of the message, or says why there is no room.
func (r *Reservation) Recipient(ctx context.Context, a mail.Address) *mail.Fault {
	if r == nil {
		return nil
	}
	defaults := r.l.defaults()
	to, err := r.look(ctx, a, defaults)
	if err != nil {
		return mail.AsFault(err)
	}
	wants := r.wants
	wants.add(to.counts())
	if fault := r.l.ask(ctx, r.names, wants, defaults); fault != nil {
		return fault
	}
	r.wants, r.contacts = wants, append(r.contacts, to)
	return nil
}

// counts are those of one recipient.
func (s said) counts() counts {
	c := counts{Recipients: 1}
	if s.fresh {
		c[NewRecipients] = 1
	}
	return c
}

// Withdraw takes the last recipient out again, whom somebody else has refused.
func (r *Reservation) Withdraw() {
	if r == nil || len(r.contacts) == 0 {
		return
	}
	last := len(r.contacts) - 1
	r.wants.take(r.contacts[last].counts())
	r.contacts = r.contacts[:last]
}

// Keep keeps room for the message in every subject or in none, and says why. It is
// called once, when all of the message has come and before Commit: a sender who is
// slow, or idle, keeps nobody else of the domain waiting.
func (r *Reservation) Keep(ctx context.Context) *mail.Fault {
	if r == nil {
		return nil
	}
	var fault *mail.Fault
	defaults := r.l.defaults()
	err := r.l.with(ctx, r.names, func(now int64, list []*subject) {
		if fault = r.l.judge(now, r.names, list, r.wants, defaults); fault != nil {
			return
		}
		if fault = r.l.crowded(now, r.names, list, r.wants, defaults); fault != nil {
			return
		}
		r.list = list
		for _, s := range list {
			s.pending.add(r.wants)
		}
	})
	return orFault(fault, err)
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

// release takes its message off what is pending, once. l.mu is held.
func (r *Reservation) release() {
	if r.released {
		return
	}
	r.released = true
	for _, s := range r.list {
		s.pending.take(r.wants)
	}
}

func orFault(fault *mail.Fault, err error) *mail.Fault {
	if err != nil {
		return mail.Temporary(mail.SystemError, "We cannot look up how much you may send, please try again later").Because(err)
	}
	return fault
}

// judge says why there is no room for c beside what was sent. l.mu is held.
func (l *Limiter) judge(now int64, names []Subject, list []*subject, c counts, defaults map[Kind]Limits) *mail.Fault {
	for i, s := range list {
		if s.held {
			l.o.Metrics.refused(names[i].Kind, "held")
			return heldFault()
		}
		limits := s.limits(defaults[names[i].Kind])
		for n, rule := range ruleTable {
			if over := s.sent(now, rule) + int64(c[rule.Measure]) - limits[n]; limits[n] > 0 && c[rule.Measure] > 0 && over > 0 {
				l.o.Metrics.refused(names[i].Kind, rule.Name)
				return fullFault(names[i].Kind, rule, limits[n], s.windows[rule.Span].wait(now, rule.Measure, over))
			}
		}
	}
	return nil
}

// crowded says that there would be room for c but for the messages that are being
// accepted. What becomes of those is known in a moment. l.mu is held.
func (l *Limiter) crowded(now int64, names []Subject, list []*subject, c counts, defaults map[Kind]Limits) *mail.Fault {
	for i, s := range list {
		limits := s.limits(defaults[names[i].Kind])
		for n, rule := range ruleTable {
			if limits[n] > 0 && c[rule.Measure] > 0 && s.sent(now, rule)+int64(s.pending[rule.Measure]+c[rule.Measure]) > limits[n] {
				l.o.Metrics.refused(names[i].Kind, rule.Name)
				return crowdedFault(names[i].Kind, rule, limits[n])
			}
		}
	}
	return nil
}

// sent is what counts against a limit.
func (s *subject) sent(now int64, r Rule) int64 {
	return int64(s.windows[r.Span].sum(now)[r.Measure])
}

// defaults asks for the limits in force; it is not called under the mutex.
func (l *Limiter) defaults() map[Kind]Limits {
	return map[Kind]Limits{Account: l.o.Defaults(Account), Domain: l.o.Defaults(Domain), Key: l.o.Defaults(Key)}
}
