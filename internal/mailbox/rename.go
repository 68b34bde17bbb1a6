package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Rename gives a mailbox and those that it holds a new name; ErrNoMailbox,
// ErrMailboxExists, ErrBadName, ErrNotAllowed. Sessions on them go on. Missing
// mailboxes above the new name are made. A new name is subscribed if the old
// one was; subscriptions to old names stay.
//
// Renaming INBOX makes a mailbox and moves the messages of INBOX there; those
// that INBOX holds stay.
// RFC 3501 §6.3.5
func (s *Store) Rename(ctx context.Context, account mail.ID, from, to string) error {
	from, err := s.limits.lookUp(from)
	if err != nil {
		return err
	}
	if to, err = s.limits.cleanName(to); err != nil {
		return err
	}
	if strings.HasPrefix(to, from+"/") && from != Inbox {
		return ErrNotAllowed
	}
	if from == Inbox {
		err = s.emptyInbox(ctx, account, to)
	} else {
		err = s.db.Write(ctx, func(tx *db.Tx) error { return s.rename(tx, account, from, to) })
	}
	if err != nil {
		return fmt.Errorf("rename mailbox: %w", err)
	}
	return nil
}

// renaming is one row that gets a new name.
type renaming struct {
	id         mail.ID
	from, to   string
	subscribed bool
}

func (s *Store) rename(tx *db.Tx, account mail.ID, from, to string) error {
	state, err := changeAccount(tx, accountDelta{account: account})
	if err != nil {
		return err
	}
	if _, err := find(tx, account, from); err != nil {
		return err
	}
	if _, err := find(tx, account, to); !errors.Is(err, ErrNoMailbox) {
		if err == nil {
			err = ErrMailboxExists
		}
		return err
	}
	missing, err := s.missingParents(tx, account, to)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := s.insertMailboxes(tx, account, state.modseq, missing); err != nil {
			return err
		}
	}
	list, err := renamings(tx, account, from, to)
	if err != nil {
		return err
	}
	var names []string
	for _, r := range list {
		if _, err := s.limits.cleanName(r.to); err != nil {
			return err
		}
		if r.subscribed {
			names = append(names, r.to)
		}
		if _, err := tx.Exec(db.SQL(`UPDATE mailbox SET name = ?, changed = ? WHERE id = ?`), r.to, state.modseq, r.id); err != nil {
			return err
		}
	}
	return subscribe(tx, account, names...)
}

// renamings finds a mailbox and all that it holds.
func renamings(tx *db.Tx, account mail.ID, from, to string) ([]renaming, error) {
	under := from + "/"
	rows, err := tx.Query(db.SQL(selectMailbox+`WHERE b.account = ? AND (b.name = ? OR substr(b.name, 1, ?) = ?)`),
		account, from, len([]rune(under)), under)
	if err != nil {
		return nil, err
	}
	var list []renaming
	return list, db.Each(rows, func(r db.Rows) error {
		var b record
		if err := b.scan(r); err != nil {
			return err
		}
		list = append(list, renaming{id: b.ID, from: b.Name, to: to + b.Name[len(from):], subscribed: b.Subscribed})
		return nil
	})
}

// emptyInbox moves the messages of INBOX, in slices, to a new mailbox.
func (s *Store) emptyInbox(ctx context.Context, account mail.ID, to string) error {
	made, err := s.Create(ctx, account, to)
	if err != nil {
		return err
	}
	inbox, err := s.Find(ctx, account, Inbox)
	if err != nil {
		return err
	}
	t := transfer{account: account, from: inbox.ID, to: made.ID, move: true}
	for after := uint32(0); ; {
		var part []uint32
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			part, err = readUIDs(tx, inbox.ID, after, chunk)
			return err
		})
		if err != nil || len(part) == 0 {
			return err
		}
		// What comes in meanwhile is for INBOX.
		for len(part) > 0 && part[len(part)-1] >= inbox.UIDNext {
			part = part[:len(part)-1]
		}
		if len(part) == 0 {
			return nil
		}
		after = part[len(part)-1]
		if _, err := s.transferAll(ctx, t, part); err != nil {
			return err
		}
	}
}
