package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Erase takes all mailboxes of an account away at once; their rows are left to
// Reap.
func (s *Store) Erase(tx *db.Tx, account mail.ID) error {
	if _, err := tx.Exec(db.SQL(`UPDATE mailbox_account SET erased = 1 WHERE account = ?`), account); err != nil {
		return fmt.Errorf("erase mailboxes: %w", err)
	}
	var gone []mail.ID
	rows, err := tx.Query(db.SQL(`UPDATE mailbox SET name = NULL WHERE account = ? AND name IS NOT NULL RETURNING id`), account)
	if err == nil {
		err = db.Each(rows, func(r db.Rows) error {
			var id mail.ID
			err := r.Scan(&id)
			gone = append(gone, id)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("erase mailboxes: %w", err)
	}
	tx.OnCommit(func() { s.announce(gone...) })
	return nil
}

// Reap removes the rows of deleted mailboxes and erased accounts in slices,
// and returns how many messages that were.
func (s *Store) Reap(ctx context.Context) (int, error) {
	total := 0
	for {
		dead, err := s.pairs(ctx, `SELECT id, account FROM mailbox WHERE name IS NULL LIMIT ?`)
		if err != nil || len(dead) == 0 {
			if err == nil {
				err = s.reapAccounts(ctx)
			}
			return total, err
		}
		for _, d := range dead {
			n, err := s.reapMailbox(ctx, d[0], d[1])
			total += n
			if err != nil {
				return total, err
			}
		}
	}
}

// pairs reads a slice of pairs of ids.
func (s *Store) pairs(ctx context.Context, sql string) ([][2]mail.ID, error) {
	var list [][2]mail.ID
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(db.SQL(sql), chunk)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var p [2]mail.ID
			err := r.Scan(&p[0], &p[1])
			list = append(list, p)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("find what to reap: %w", err)
	}
	return list, nil
}

// reapMailbox removes a dead mailbox.
func (s *Store) reapMailbox(ctx context.Context, id, account mail.ID) (int, error) {
	total := 0
	for {
		n := 0
		err := s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
			n, err = reapSlice(tx, id, account)
			return err
		})
		total += n
		if err != nil {
			return total, fmt.Errorf("reap mailbox: %w", err)
		}
		if n < chunk {
			return total, nil
		}
	}
}

func reapSlice(tx *db.Tx, id, account mail.ID) (int, error) {
	state, err := changeAccount(tx, accountDelta{account: account})
	erased := errors.Is(err, ErrNoMailbox)
	if err != nil && !erased {
		return 0, err
	}
	rows, err := readFirst(tx, id)
	if err != nil {
		return 0, err
	}
	if erased {
		err = deleteStored(tx, id, rows)
	} else {
		err = bury(tx, id, state.modseq, rows)
	}
	if err == nil && len(rows) < chunk {
		_, err = tx.Exec(db.SQL(`DELETE FROM mailbox WHERE id = ? AND name IS NULL`), id)
	}
	return len(rows), err
}

// reapAccounts removes what is left of erased accounts without mailboxes.
func (s *Store) reapAccounts(ctx context.Context) error {
	for {
		gone, err := s.pairs(ctx, `SELECT account, inbox FROM mailbox_account WHERE erased = 1 LIMIT ?`)
		if err != nil || len(gone) == 0 {
			return err
		}
		for _, g := range gone {
			if err := s.reapAccount(ctx, g[0]); err != nil {
				return fmt.Errorf("reap account: %w", err)
			}
		}
	}
}

func (s *Store) reapAccount(ctx context.Context, account mail.ID) error {
	slices := []string{
		`DELETE FROM mailbox_expunged WHERE (mailbox, modseq, uid) IN
			(SELECT mailbox, modseq, uid FROM mailbox_expunged WHERE account = ? LIMIT ?)`,
		`DELETE FROM mailbox_deleted WHERE (account, modseq, mailbox) IN
			(SELECT account, modseq, mailbox FROM mailbox_deleted WHERE account = ? LIMIT ?)`,
		`DELETE FROM mailbox_subscription WHERE (account, name) IN
			(SELECT account, name FROM mailbox_subscription WHERE account = ? LIMIT ?)`,
		`DELETE FROM mailbox_account WHERE account IN
			(SELECT account FROM mailbox_account WHERE account = ? AND erased = 1 LIMIT ?)`,
	}
	for _, sql := range slices {
		for more := true; more; {
			err := s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
				n, err := tx.Exec(db.SQL(sql), account, chunk)
				more = n == chunk
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
