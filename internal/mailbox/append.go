package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Append is a message on its way into a mailbox. Exactly one of Commit and
// Abort ends it; Abort after Commit does nothing.
type Append struct {
	s    *Store
	box  Mailbox
	body blob.Writer
}

// Append begins a message for a mailbox; ErrNoMailbox, ErrNoSelect.
func (s *Store) Append(ctx context.Context, account mail.ID, name string) (*Append, error) {
	box, err := s.Find(ctx, account, name)
	if err != nil {
		return nil, err
	}
	if box.NoSelect {
		return nil, ErrNoSelect
	}
	return &Append{s: s, box: box, body: s.blobs.Create()}, nil
}

// Write adds octets of the message.
func (a *Append) Write(p []byte) (int, error) { return a.body.Write(p) }

// Abort drops the message.
func (a *Append) Abort() { a.body.Abort() }

// Commit returns once the message is durable, its date in microseconds (0 is
// now); ErrOverQuota, ErrBadKeyword, ErrNoMailbox. With an error nothing was
// filed.
func (a *Append) Commit(ctx context.Context, flags Flags, keywords []string, date int64) (uidvalidity, uid uint32, err error) {
	defer a.body.Abort()
	size, account := a.body.Size(), a.box.Account
	quota, err := a.s.quota(ctx, account)
	if err != nil {
		return 0, 0, fmt.Errorf("append: %w", err)
	}
	fits, err := a.s.Reserve(ctx, account, size, quota)
	if err != nil {
		return 0, 0, fmt.Errorf("append: %w", err)
	}
	if !fits {
		return 0, 0, ErrOverQuota
	}
	defer a.s.Release(account, size)

	if date == 0 {
		date = nowMicros()
	}
	d := &Delivery{
		Account: account, Mailbox: a.box.ID, Message: a.s.ids.Next(), Size: size, Date: date,
		Flags: flags & AllFlags, Keywords: keywords,
	}
	if d.Content, err = describeWritten(a.body); err != nil {
		return 0, 0, fmt.Errorf("append: %w", err)
	}
	if err := a.commit(ctx, d); err != nil {
		return 0, 0, fmt.Errorf("append: %w", err)
	}
	return d.UIDValidity, d.UID, nil
}

func (a *Append) commit(ctx context.Context, d *Delivery) error {
	body, err := a.body.Commit(ctx, blob.Meta{Message: d.Message, Account: d.Account, Mailbox: d.Mailbox, Time: d.Date})
	if err != nil {
		return err
	}
	d.Body, d.Content.Body = body.ID, body.ID
	err = a.s.db.Write(ctx, func(tx *db.Tx) error {
		if err := a.s.blobs.Record(tx, body); err != nil {
			return err
		}
		if err := a.s.File(tx, []*Delivery{d}); err != nil {
			return err
		}
		return d.Err
	})
	if err != nil && !errors.Is(err, db.ErrUnknown) {
		a.s.blobs.Drop(body)
	}
	return err
}

// describeWritten parses a body that is about to be committed.
func describeWritten(w blob.Writer) (*Content, error) {
	r, err := w.Reader()
	if err != nil {
		return nil, err
	}
	part, err := mime.Parse(r, mime.Limits{})
	if err != nil {
		return nil, err
	}
	if r, err = w.Reader(); err != nil {
		return nil, err
	}
	head := make([]byte, min(part.HeaderSize, maxHeader))
	if _, err := io.ReadFull(r, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	references, _ := mime.Header(head).Get("References")
	return Describe(0, part, references), nil
}
