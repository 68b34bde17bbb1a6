package intake

import (
	"context"
	"slices"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// sieve takes those out of the jobs for a site elsewhere who have come home since their
// message was accepted: a relay domain may have become a local one, a mailbox of a split
// domain may have moved here.
type sieve struct {
	l     *Local
	ctx   context.Context // of one call of Deliver
	next  func() *queue.Job
	done  func(*queue.Job, []queue.Outcome)
	parts map[*queue.Job]part
}

// part is a job of which others have a part.
type part struct {
	job    *queue.Job
	served []queue.Outcome
}

func (s *sieve) nextJob() *queue.Job {
	for job := s.next(); job != nil; job = s.next() {
		served, away := s.l.home(s.ctx, job)
		switch {
		case len(served) == 0:
			return job
		case len(away) == 0:
			s.done(job, served)
		default:
			rest := *job
			rest.Recipients = away
			if job.Course != nil {
				rest.Course = course{s, &rest}
			}
			s.parts[&rest] = part{job, served}
			return &rest
		}
	}
	return nil
}

// course is that of a job of which others have a part: what became of that is reported with
// the first of the rest.
type course struct {
	s    *sieve
	rest *queue.Job
}

// Another implements queue.Course.
func (c course) Another(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient {
	p := c.s.parts[c.rest]
	c.s.parts[c.rest] = part{job: p.job}
	return p.job.Course.Another(append(p.served, outcomes...), left)
}

func (s *sieve) doneJob(job *queue.Job, outcomes []queue.Outcome) {
	if p, ok := s.parts[job]; ok {
		delete(s.parts, job)
		job, outcomes = p.job, append(p.served, outcomes...)
	}
	s.done(job, outcomes)
}

// home serves the recipients of a job who are at home here, and returns those who are not.
func (l *Local) home(ctx context.Context, job *queue.Job) (out []queue.Outcome, away []queue.Recipient) {
	var asked mail.Domain
	var may, local bool
	var err error
	var s *served
	for i, r := range job.Recipients {
		if d := r.Address.Domain; i == 0 || d != asked {
			asked = d
			may, local, err = l.standing(ctx, d)
		}
		var target account.Target
		if may && err == nil {
			target, err = l.in.o.Directory.Resolve(ctx, r.Address)
		}
		if !may && err == nil || err == nil && !local && (target.Kind != account.Here || returns(target, r.Address)) {
			away = append(away, r)
			continue
		}
		o := putOff(r)
		switch {
		case err != nil:
			o.Reply = noDirectory
		case target.Kind != account.Here:
			// Who moves a domain may add its accounts later: no sender can do anything about it.
			o.Enhanced = mail.NoSuchMailbox.Enhanced(mail.Transient)
			o.Reply = "The domain is served here now, and has no such address: add the account or the alias"
		default:
			if s == nil {
				s = new(served)
				s.content, s.err = l.content(ctx, job.Message.Body)
			}
			o = l.welcome(ctx, job.Message, r, target, *s)
		}
		// Of a domain that is here as a whole there is nothing down any more.
		o.Aside = o.Result != queue.Delivered || !local
		out = append(out, o)
	}
	return out, away
}

// returns tells whether an address of a split domain leads to itself, which is to the far
// side: a recipient who has it is on the way there.
func returns(t account.Target, a mail.Address) bool {
	return slices.ContainsFunc(t.Forwards, func(f mail.Address) bool { return f.Key() == a.Key() })
}

// standing tells whether addresses of a domain may be at home here, and whether all are.
func (l *Local) standing(ctx context.Context, d mail.Domain) (may, local bool, err error) {
	if local, err = l.in.o.Directory.IsLocal(ctx, d); err != nil || local {
		return local, local, err
	}
	r, err := l.in.o.Directory.Relay(ctx, d)
	return r != nil && r.Split, false, err
}

// welcome is file for somebody who was elsewhere when the message was accepted: where
// the address leads elsewhere too, the message waits for those from now on.
func (l *Local) welcome(ctx context.Context, m *queue.Message, r queue.Recipient, target account.Target, s served) queue.Outcome {
	o := l.file(ctx, m, r, target, s)
	if o.Result != queue.Delivered {
		return o
	}
	o.Watches = true // the time to deliver ends here (RFC 2852)
	if len(target.Forwards) == 0 {
		return o
	}
	each := r.Recipient
	if len(target.Accounts)+len(target.Forwards) > 1 {
		each.Notify = r.Notify.WithoutSuccess()
	}
	o.Reports = each.Notify == r.Notify // who has the message next tells of it (RFC 3461 §5.2.7)
	more := make([]queue.Recipient, 0, len(target.Forwards))
	for _, f := range target.Forwards {
		to := queue.Recipient{ID: l.in.o.IDs.Next(), Recipient: each, NotBefore: r.NotBefore}
		to.Address = f
		to.Site = l.in.o.Site(ctx, Sender{m.Account, m.Tenant, m.From.Domain}, f.Domain)
		more = append(more, to)
	}
	file := o.Also
	o.Reply = "Filed, or passed on as its alias says"
	o.Also = func(tx *db.Tx) error {
		if err := file(tx); err != nil {
			return err
		}
		return l.in.o.Queue.Extend(tx, m, more)
	}
	return o
}
