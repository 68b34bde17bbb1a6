package event

import (
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// Recorder writes an event for every attempt of the queue, and says of each that
// failed why.
type Recorder struct {
	ids     *mail.IDs
	classes *classify.Classifier
	metrics *Metrics
}

// NewRecorder returns a queue.Observer. Without metrics nothing is counted.
func NewRecorder(ids *mail.IDs, classes *classify.Classifier, m *Metrics) *Recorder {
	return &Recorder{ids: ids, classes: classes, metrics: m}
}

// Attempted implements queue.Observer.
func (r *Recorder) Attempted(tx *db.Tx, reports []queue.Report) error {
	events := make([]Event, 0, len(reports))
	for i := range reports {
		if e, ok := attempted(&reports[i]); ok {
			e.Detail.Class = string(r.class(e.Kind, &reports[i]))
			events = append(events, e)
		}
	}
	tx.OnCommit(func() { r.metrics.recorded(events) })
	return Append(tx, r.ids, events)
}

// class is why an attempt failed; empty if it did not, or was cut off by us. What is given up because its
// lifetime is over has the class of the last reply, so that it is known why it took
// that long; if that does not say, it has expired.
func (r *Recorder) class(kind Kind, report *queue.Report) classify.Class {
	if kind == Delivered || report.Result == queue.CutOff {
		return ""
	}
	class := r.classes.Of(classify.Reply{
		Code: report.Code, Enhanced: report.Enhanced, Text: report.Reply, Host: report.Host, Ours: report.Ours,
	})
	if kind == Expired && class == classify.Other {
		class = classify.Expired
	}
	return class
}

func attempted(r *queue.Report) (Event, bool) {
	e := Event{
		Message: r.Message.ID, Tenant: r.Message.Tenant, Account: r.Message.Account,
		Stream: r.Message.Stream, Recipient: r.Recipient.Address.String(),
		Detail: Detail{
			Host: r.Host, TLS: r.TLS, Code: r.Code, Enhanced: r.Enhanced, Reply: r.Reply, Ours: r.Ours,
			Attempt: r.Recipient.Attempts, Millis: (r.Ended - r.Started) / 1000, Reason: r.Rule,
		},
	}
	for _, t := range r.Before {
		e.Detail.Before = append(e.Detail.Before, tried(t))
	}
	if r.Result == queue.CutOff {
		e.Detail.Reason = "cut off by the end of this server; it is not known whether the message was taken, so that it may arrive twice"
	}
	if r.Shared {
		e.Detail.Reason = "found by the attempt of another message for this destination"
	}
	if r.Addr.IsValid() {
		e.Detail.Peer = r.Addr.String()
	}
	if r.Source.IsValid() {
		e.Detail.Local = r.Source.String()
	}
	switch {
	case r.Result == queue.Delivered:
		e.Kind = Delivered
	case r.Result == queue.NotTried:
		return e, false
	case r.Expired:
		e.Kind = Expired
	case r.Result == queue.Refused:
		e.Kind = Failed
	default:
		e.Kind = Deferred
		e.Detail.Next = mail.FromMicros(r.Recipient.Next).Format(time.RFC3339)
	}
	return e, true
}

// tried is one address that an attempt met before, in words.
func tried(t queue.Try) string {
	text := mail.FromMicros(t.At).Format(time.RFC3339) + " "
	if t.Code != 0 {
		text += fmt.Sprintf("%s[%s]: %d ", t.Host, t.Addr.Addr(), t.Code)
	}
	return text + t.Reply
}

var sqlHadIt = db.SQL("SELECT COUNT(*) FROM event WHERE message = ? AND kind IN ('filed', 'delivered')")

// tooLate tells whether somebody has a message that is to be taken back: who has it is
// not in the queue any more, or never was.
func tooLate(tx *db.Tx, reports []queue.Report) error {
	var had int
	if len(reports) == 0 {
		return nil
	}
	err := tx.Row(sqlHadIt, []any{reports[0].Message.ID}, &had)
	if err == nil && had > 0 {
		return queue.ErrTooLate
	}
	return err
}

// Administered implements queue.Observer: kind is the name of an event.
func (r *Recorder) Administered(tx *db.Tx, kind string, reports []queue.Report) error {
	if Kind(kind) == Recalled {
		if err := tooLate(tx, reports); err != nil {
			return err
		}
	}
	events := make([]Event, 0, len(reports))
	for i := range reports {
		m := reports[i].Message
		e := Event{
			Message: m.ID, Tenant: m.Tenant, Account: m.Account, Stream: m.Stream,
			Kind: Kind(kind), Recipient: reports[i].Recipient.Address.String(),
			Detail: Detail{Reason: "by the administrator"},
		}
		if e.Kind == Recalled {
			e.Detail.Reason = "taken back before anybody had it"
		}
		if e.Kind == Rerouted {
			e.Detail.Reason += ", to " + reports[i].Recipient.Site
		}
		if e.Kind == Failed {
			e.Detail.Code, e.Detail.Enhanced = reports[i].Code, reports[i].Enhanced
			e.Detail.Reply, e.Detail.Ours, e.Detail.Host = reports[i].Reply, reports[i].Ours, reports[i].Host
			e.Detail.Class = string(r.class(Failed, &reports[i]))
		}
		events = append(events, e)
	}
	return Append(tx, r.ids, events)
}
