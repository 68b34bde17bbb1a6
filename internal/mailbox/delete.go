package mailbox

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Delete removes a mailbox with its messages. One that holds other mailboxes
// keeps its name and becomes NoSelect; ErrHasChildren if it is that already.
// The messages leave the quota at once and their rows in slices: what a crash
// leaves of them is for Reap.
// RFC 3501 §6.3.4
func (s *Store) Delete(ctx context.Context, account mail.ID, name string) error {
	name, err := s.limits.lookUp(name)
	if err != nil {
		return err
	}
	if name == Inbox {
		return ErrNotAllowed
	}
	var b record
	err = s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		state, err := changeAccount(tx, accountDelta{account: account})
		if err != nil {
			return err
		}
		if b, err = find(tx, account, name); err != nil {
			return err
		}
		return s.kill(tx, b, state.modseq)
	})
	if err != nil {
		return fmt.Errorf("delete mailbox: %w", err)
	}
	if _, err := s.reapMailbox(ctx, b.ID, account); err != nil {
		s.log.Warn("a deleted mailbox is left to be reaped", slog.Any("mailbox", b.ID), slog.Any("error", err))
	}
	return nil
}

// kill takes the name from a mailbox and its messages from the account.
func (s *Store) kill(tx *db.Tx, b record, modseq int64) error {
	held, err := hasChildren(tx, b.Account, b.Name)
	if err != nil {
		return err
	}
	if held && b.NoSelect {
		return ErrHasChildren
	}
	if _, err := tx.Exec(db.SQL(`UPDATE mailbox SET name = NULL, changed = ?, modseq = ? WHERE id = ?`),
		modseq, modseq, b.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(db.SQL(`UPDATE mailbox_account SET used = used - ?, messages = messages - ?,
		mailboxes = mailboxes - 1 WHERE account = ?`), b.Size, b.Messages, b.Account); err != nil {
		return err
	}
	if _, err := tx.Exec(db.SQL(`INSERT INTO mailbox_deleted (account, modseq, mailbox) VALUES (?, ?, ?)`),
		b.Account, modseq, b.ID); err != nil {
		return err
	}
	tx.OnCommit(func() { s.announce(b.ID) })
	if !held {
		return nil
	}
	return s.insertMailboxes(tx, b.Account, modseq, []fresh{{id: s.ids.Next(), name: b.Name, noselect: true}})
}

func hasChildren(tx *db.Tx, account mail.ID, name string) (bool, error) {
	under := name + "/"
	var n int
	err := tx.Row(db.SQL(`SELECT COUNT(*) FROM mailbox WHERE account = ? AND substr(name, 1, ?) = ?`),
		[]any{account, len([]rune(under)), under}, &n)
	return n > 0, err
}
