package intake

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Local serves the recipients at home: of the site queue.SiteLocal, who were too many
// for their transaction, and of all others those who have come home while they waited.
type Local struct {
	in     *Intake
	others queue.Deliverer
}

// NewLocal returns the deliverer of an intake, which leaves to others who is elsewhere;
// nil = there is only queue.SiteLocal.
func NewLocal(in *Intake, others queue.Deliverer) *Local { return &Local{in: in, others: others} }

// Deliver implements queue.Deliverer: it files in the commit that records the
// outcome, so that no copy is filed twice.
func (l *Local) Deliver(ctx context.Context, site string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	if site != queue.SiteLocal {
		s := &sieve{l: l, ctx: ctx, next: next, done: done, parts: map[*queue.Job]part{}}
		l.others.Deliver(ctx, site, s.nextJob, s.doneJob)
		return
	}
	for job := next(); job != nil; job = next() {
		content, err := l.content(ctx, job.Message.Body)
		outcomes := make([]queue.Outcome, 0, len(job.Recipients))
		for _, r := range job.Recipients {
			outcomes = append(outcomes, l.serve(ctx, job.Message, r, served{content: content, err: err}))
		}
		done(job, outcomes)
	}
}

// maxHead bounds the header in which References are looked for, in octets.
const maxHead = 256 << 10

type served struct {
	content *mailbox.Content
	err     error
}

func (l *Local) content(ctx context.Context, body mail.ID) (content *mailbox.Content, err error) {
	r, err := l.in.o.Blobs.Open(ctx, body)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	part, err := mime.Parse(io.NewSectionReader(r, 0, r.Size()), mime.Limits{})
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(part.HeaderSize, maxHead))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	references, _ := mime.Header(head).Get("References")
	return mailbox.Describe(body, part, references), nil
}

func (l *Local) serve(ctx context.Context, m *queue.Message, r queue.Recipient, s served) queue.Outcome {
	acc, err := l.in.o.Directory.Find(ctx, r.Address)
	switch {
	case s.err != nil: // it is told by file
	case errors.Is(err, account.ErrNoAccount):
		o := putOff(r)
		o.Result, o.Code, o.Enhanced, o.Reply = queue.Refused, 550, "5.1.1", "There is no account with this address"
		return o
	case err != nil:
		o := putOff(r)
		o.Aside, o.Reply = true, noDirectory
		return o
	}
	return l.file(ctx, m, r, account.Target{Accounts: []account.Account{acc}}, s)
}

const noDirectory = "The directory of users is not available"

// putOff is the outcome of a recipient for whom nothing can be done now, for a reason of ours.
func putOff(r queue.Recipient) queue.Outcome {
	now := mail.Micros(time.Now())
	return queue.Outcome{Recipient: r.ID, Result: queue.TryLater, Ours: true, Code: 451, Enhanced: "4.3.0", Started: now, Ended: now}
}

// refused is an outcome with a fault of a mailbox.
func refused(o queue.Outcome, f *mail.Fault) queue.Outcome {
	if f.Class == mail.Permanent {
		o.Result = queue.Refused
	}
	o.Code, o.Enhanced, o.Reply = f.Code(), f.Enhanced(), f.Public
	return o
}

// file puts a message where a recipient leads.
func (l *Local) file(ctx context.Context, m *queue.Message, r queue.Recipient, target account.Target, s served) queue.Outcome {
	o := putOff(r)
	if s.err != nil {
		o.Aside, o.Reply = true, "The message could not be read here"
		if errors.Is(s.err, blob.ErrNotFound) {
			l.in.o.Logger.Error("a queued message has no body", "message", m.ID.String(), "error", s.err)
		}
		return o
	}
	t := Transaction{env: m.Envelope}
	prefix := t.prefix(r.Address)
	var copies []*mailbox.Delivery
	for _, acc := range target.Accounts {
		quota := l.in.o.Directory.Quota(acc)
		full, err := l.full(ctx, acc, quota, m)
		switch {
		case err != nil:
			o.Aside, o.Reply = true, "The size of the mailbox could not be read here"
			return o
		case full:
			return refused(o, noRoom(quota, m.Size))
		}
		copies = append(copies, &mailbox.Delivery{
			Account: acc.ID, Message: m.ID, Body: m.Body, Prefix: prefix,
			Size: int64(len(prefix)) + m.Size, Date: m.Received, Content: s.content,
		})
	}
	o.Result, o.Code, o.Enhanced, o.Reply = queue.Delivered, 250, "2.1.5", "Filed"
	o.Also = func(tx *db.Tx) error {
		err := l.in.o.Mailboxes.File(tx, copies)
		for _, d := range copies {
			err = errors.Join(err, d.Err)
		}
		return err
	}
	return o
}

// full tells whether a message passes the quota. A report may always be filed.
func (l *Local) full(ctx context.Context, acc account.Account, quota int64, m *queue.Message) (bool, error) {
	if quota == 0 || m.From.IsNull() {
		return false, nil
	}
	ok, err := l.in.o.Mailboxes.Reserve(ctx, acc.ID, m.Size, quota)
	if ok {
		l.in.o.Mailboxes.Release(acc.ID, m.Size)
	}
	return !ok, err
}
