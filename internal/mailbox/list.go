package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const selectMailbox = `SELECT b.id, b.account, COALESCE(b.name, ''), b.role, b.uidvalidity, b.uidnext, b.modseq, b.noselect,
	CASE WHEN s.name IS NULL THEN 0 ELSE 1 END,
	b.recent, b.messages, b.unseen, b.deleted, b.size
	FROM mailbox b LEFT JOIN mailbox_subscription s ON s.account = b.account AND s.name = b.name `

// record is a mailbox's row.
type record struct {
	Status
	recent uint32 // the \Recent mark
}

func (b *record) scan(r db.Rows) error {
	var noselect, subscribed int64
	var role string
	err := r.Scan(&b.ID, &b.Account, &b.Name, &role, &b.UIDValidity, &b.UIDNext, &b.Modseq, &noselect, &subscribed,
		&b.recent, &b.Messages, &b.Unseen, &b.Deleted, &b.Size)
	b.Role, b.NoSelect, b.Subscribed = Role(role), noselect != 0, subscribed != 0
	return err
}

// find reads the mailbox of a stored name.
func find(tx *db.Tx, account mail.ID, name string) (record, error) {
	return findWhere(tx, `WHERE b.account = ? AND b.name = ?`, account, name)
}

// findID reads a mailbox that is not dead.
func findID(tx *db.Tx, id mail.ID) (record, error) {
	return findWhere(tx, `WHERE b.id = ? AND b.name IS NOT NULL`, id)
}

func findWhere(tx *db.Tx, where string, args ...any) (record, error) {
	var b record
	found := false
	rows, err := tx.Query(db.SQL(selectMailbox+where), args...)
	if err != nil {
		return b, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		found = true
		return b.scan(r)
	})
	if err == nil && !found {
		err = ErrNoMailbox
	}
	return b, err
}

// Find returns a mailbox; ErrNoMailbox.
func (s *Store) Find(ctx context.Context, account mail.ID, name string) (Mailbox, error) {
	name, err := s.limits.lookUp(name)
	if err != nil {
		return Mailbox{}, err
	}
	var b record
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		b, err = find(tx, account, name)
		return err
	})
	if err != nil {
		return Mailbox{}, fmt.Errorf("find mailbox: %w", err)
	}
	return b.Mailbox, nil
}

// Status returns a mailbox with its counters; ErrNoMailbox, ErrNoSelect.
func (s *Store) Status(ctx context.Context, account mail.ID, name string) (Status, error) {
	name, err := s.limits.lookUp(name)
	if err != nil {
		return Status{}, err
	}
	var b record
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		if b, err = find(tx, account, name); err != nil {
			return err
		}
		if b.NoSelect {
			return ErrNoSelect
		}
		return tx.Row(db.SQL(`SELECT COUNT(*) FROM mailbox_message WHERE mailbox = ? AND uid >= ?`),
			[]any{b.ID, max(b.recent, s.hub.told(b.ID))}, &b.Recent)
	})
	if err != nil {
		return Status{}, fmt.Errorf("mailbox status: %w", err)
	}
	return b.Status, nil
}

// List returns all mailboxes of an account, INBOX first, the others by name.
func (s *Store) List(ctx context.Context, account mail.ID) ([]Mailbox, error) {
	var list []Mailbox
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(db.SQL(selectMailbox+`WHERE b.account = ? AND b.name IS NOT NULL`), account)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var b record
			if err := b.scan(r); err != nil {
				return err
			}
			list = append(list, b.Mailbox)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list mailboxes: %w", err)
	}
	above := make(map[string]bool)
	for _, b := range list {
		for _, up := range parents(b.Name) {
			above[up] = true
		}
	}
	for i := range list {
		list[i].Children = above[list[i].Name]
	}
	slices.SortFunc(list, func(a, b Mailbox) int {
		if (a.Name == Inbox) != (b.Name == Inbox) {
			return cmp.Compare(b2i(b.Name == Inbox), b2i(a.Name == Inbox))
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return list, nil
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Subscriptions returns the subscribed names in order, whether or not there is
// a mailbox of that name.
func (s *Store) Subscriptions(ctx context.Context, account mail.ID) ([]string, error) {
	var names []string
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		names = nil
		rows, err := tx.Query(db.SQL(`SELECT name FROM mailbox_subscription WHERE account = ?`), account)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// Subscribe adds a name to the subscriptions or takes it away. It does not ask
// for a mailbox of that name.
func (s *Store) Subscribe(ctx context.Context, account mail.ID, name string, on bool) error {
	name, err := s.limits.cleanName(name)
	if err != nil {
		return err
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		if _, err := changeAccount(tx, accountDelta{account: account}); err != nil {
			return err
		}
		if !on {
			_, err := tx.Exec(db.SQL(`DELETE FROM mailbox_subscription WHERE account = ? AND name = ?`), account, name)
			return err
		}
		if err := subscribe(tx, account, name); err != nil {
			return err
		}
		var n int
		err := tx.Row(db.SQL(`SELECT COUNT(*) FROM mailbox_subscription WHERE account = ?`), []any{account}, &n)
		if err == nil && n > s.limits.mailboxes {
			err = ErrTooMany
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrTooMany) {
		return fmt.Errorf("subscribe: %w", err)
	}
	return err
}

func subscribe(tx *db.Tx, account mail.ID, names ...string) error {
	rows := make([][]any, len(names))
	for i, name := range names {
		rows[i] = []any{account, name}
	}
	return tx.Insert(db.Insert{
		Into: "mailbox_subscription", Columns: []string{"account", "name"},
		Conflict: "ON CONFLICT (account, name) DO NOTHING",
	}, rows...)
}
