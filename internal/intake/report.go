package intake

import (
	"context"
	"io"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// Reports knows what other hosts tell later of mail that left here.
type Reports interface {
	// Resolve says where the sender is whose message left under a return path;
	// ours = false for any other address.
	Resolve(ctx context.Context, a mail.Address) (t account.Target, ours bool, err error)
	// Hear looks at a message that may be a report, before it is committed.
	Hear(ctx context.Context, a Arrival) (Heard, error)
}

// Arrival is a message that may be a report.
type Arrival struct {
	ID      mail.ID
	To      []mail.Address
	Content *io.SectionReader // begins with our Received field
}

// Heard is what a report leads to.
type Heard struct {
	Events []event.Event // of the message that it tells of
	// Enough says that the sender of that message need not get it. It counts for
	// what came to a return path; anything else goes to whom it is addressed.
	Enough bool
	// Done is called when the commit is over, or will not be; nil = nobody waits.
	Done func()
}

func (in *Intake) returnPath(ctx context.Context, a mail.Address) (t account.Target, ours bool, err error) {
	if in.o.Reports == nil {
		return t, false, nil
	}
	t, ours, err = in.o.Reports.Resolve(ctx, a)
	t.ReturnPath = ours
	return t, ours, err
}

// hear has the content looked at where it may be a report. What came to a return
// path is of no use unless its message is found; other mail does not depend on
// that.
func (t *Transaction) hear(ctx context.Context) *mail.Fault {
	if t.in.o.Reports == nil || !t.mayReport() {
		return nil
	}
	a := Arrival{ID: t.id}
	for _, r := range t.recipients {
		a.To = append(a.To, r.Address)
	}
	var err error
	var heard Heard
	if a.Content, err = t.content.writer.Reader(); err == nil {
		heard, err = t.in.o.Reports.Hear(ctx, a)
	}
	switch {
	case err != nil && t.returned:
		return storeFault(err)
	case err != nil:
		t.in.o.Logger.Warn("what may be a report is delivered without a look", "message", t.id.String(), "error", err)
		return nil
	}
	t.over = heard.Done
	if len(heard.Events) > 0 {
		t.Also(func(tx *db.Tx) error { return event.Append(tx, t.in.o.IDs, heard.Events) })
	}
	if t.returned && (heard.Enough || len(t.accounts)+len(t.full)+len(t.remote) == 0) {
		t.heard = true
		t.accounts, t.full, t.remote, t.told, t.expanded = nil, nil, nil, nil, nil
		t.content.abort()
	}
	return nil
}

// mayReport tells whether it is worth a look: mail from other hosts without a
// sender, or of the type for reports, and all that comes to a return path.
func (t *Transaction) mayReport() bool {
	if t.returned {
		return true
	}
	if t.origin.Door != mail.DoorSMTP && t.origin.Door != mail.DoorLMTP {
		return false
	}
	if t.env.From.IsNull() {
		return true
	}
	p := t.content.structure()
	return p != nil && p.Type == "multipart" && p.Subtype == "report"
}
