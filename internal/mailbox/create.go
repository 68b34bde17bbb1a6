package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Provision gives a new account its mailboxes, all subscribed.
func (s *Store) Provision(tx *db.Tx, account mail.ID) error {
	first := []struct {
		name string
		role Role
	}{
		{Inbox, RoleInbox}, {"Drafts", RoleDrafts}, {"Sent", RoleSent},
		{"Junk", RoleJunk}, {"Trash", RoleTrash}, {"Archive", RoleArchive},
	}
	boxes := make([]fresh, len(first))
	names := make([]string, len(first))
	for i, f := range first {
		boxes[i] = fresh{id: s.ids.Next(), name: f.name, role: f.role}
		names[i] = f.name
	}
	_, err := tx.Exec(db.SQL(`INSERT INTO mailbox_account
		(account, modseq, uidvalidity, used, messages, mailboxes, inbox, erased) VALUES (?, 1, 0, 0, 0, 0, ?, 0)`),
		account, boxes[0].id)
	if err == nil {
		err = s.insertMailboxes(tx, account, 1, boxes)
	}
	if err == nil {
		err = subscribe(tx, account, names...)
	}
	if err != nil {
		return fmt.Errorf("provision mailboxes: %w", err)
	}
	return nil
}

// fresh is a mailbox about to be.
type fresh struct {
	id       mail.ID
	name     string
	role     Role
	noselect bool
}

// insertMailboxes makes mailboxes, whose account the transaction holds, and
// gives each the next UIDVALIDITY.
func (s *Store) insertMailboxes(tx *db.Tx, account mail.ID, modseq int64, boxes []fresh) error {
	validity, err := s.takeValidities(tx, account, len(boxes), len(boxes))
	if err != nil {
		return err
	}
	rows := make([][]any, len(boxes))
	for i, b := range boxes {
		rows[i] = []any{
			b.id, account, b.name, string(b.role), b2i(b.noselect),
			validity + int64(i), 1, 1, 0, 0, 0, 0, modseq, modseq, modseq,
		}
	}
	return tx.Insert(db.Insert{Into: "mailbox", Columns: []string{
		"id", "account", "name", "role", "noselect", "uidvalidity", "uidnext", "recent",
		"messages", "unseen", "deleted", "size", "modseq", "changed", "created",
	}}, rows...)
}

// takeValidities counts more mailboxes and returns the first of n new
// UIDVALIDITY values. They are no smaller than the time in seconds, so that an
// account restored to an earlier point does not give out a value again.
// RFC 3501 §2.3.1.1
func (s *Store) takeValidities(tx *db.Tx, account mail.ID, n, more int) (int64, error) {
	var last int64
	var count int
	err := tx.Row(db.SQL(`SELECT uidvalidity, mailboxes FROM mailbox_account WHERE account = ?`),
		[]any{account}, &last, &count)
	if err != nil {
		return 0, err
	}
	if more > 0 && count+more > s.limits.mailboxes {
		return 0, ErrTooMany
	}
	first := max(last+1, time.Now().Unix())
	_, err = tx.Exec(db.SQL(`UPDATE mailbox_account SET uidvalidity = ?, mailboxes = mailboxes + ? WHERE account = ?`),
		first+int64(n)-1, more, account)
	return first, err
}

// Create makes a mailbox and those above it that are missing; ErrBadName,
// ErrMailboxExists, ErrTooMany.
func (s *Store) Create(ctx context.Context, account mail.ID, name string) (Mailbox, error) {
	name, err := s.limits.cleanName(name)
	if err != nil {
		return Mailbox{}, err
	}
	var made record
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		state, err := changeAccount(tx, accountDelta{account: account})
		if err != nil {
			return err
		}
		if err := s.create(tx, account, state.modseq, name); err != nil {
			return err
		}
		made, err = find(tx, account, name)
		return err
	})
	if err != nil {
		return Mailbox{}, fmt.Errorf("create mailbox: %w", err)
	}
	return made.Mailbox, nil
}

// create makes a mailbox of a stored name in an account that the transaction
// holds.
func (s *Store) create(tx *db.Tx, account mail.ID, modseq int64, name string) error {
	missing, err := s.missingParents(tx, account, name)
	if err != nil {
		return err
	}
	old, err := find(tx, account, name)
	switch {
	case errors.Is(err, ErrNoMailbox):
		missing = append(missing, fresh{id: s.ids.Next(), name: name})
	case err != nil:
		return err
	case old.NoSelect:
		return s.revive(tx, old, modseq)
	default:
		return ErrMailboxExists
	}
	return s.insertMailboxes(tx, account, modseq, missing)
}

func (s *Store) missingParents(tx *db.Tx, account mail.ID, name string) ([]fresh, error) {
	var missing []fresh
	for _, up := range parents(name) {
		_, err := find(tx, account, up)
		if errors.Is(err, ErrNoMailbox) {
			missing = append(missing, fresh{id: s.ids.Next(), name: up})
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// revive makes a mailbox of a name that only held others.
func (s *Store) revive(tx *db.Tx, b record, modseq int64) error {
	validity, err := s.takeValidities(tx, b.Account, 1, 0)
	if err != nil {
		return err
	}
	_, err = tx.Exec(db.SQL(`UPDATE mailbox SET noselect = 0, uidvalidity = ?, modseq = ?, changed = ? WHERE id = ?`),
		validity, modseq, modseq, b.ID)
	return err
}
