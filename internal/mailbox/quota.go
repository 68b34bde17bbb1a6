package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Usage is what an account holds. A copy counts like the first message.
type Usage struct {
	Bytes, Messages int64
}

// Usage returns what an account holds; ErrNoMailbox if it has no mailboxes.
func (s *Store) Usage(ctx context.Context, account mail.ID) (Usage, error) {
	var u Usage
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL(`SELECT used, messages FROM mailbox_account WHERE account = ? AND erased = 0`),
			[]any{account}, &u.Bytes, &u.Messages)
	})
	if errors.Is(err, db.ErrNoRows) {
		err = ErrNoMailbox
	}
	if err != nil {
		return Usage{}, fmt.Errorf("usage: %w", err)
	}
	return u, nil
}

// reservations are the octets promised to transactions in progress. It has an
// entry only while there are some.
type reservations struct {
	mu     sync.Mutex
	octets map[mail.ID]int64
}

func (r *reservations) add(account mail.ID, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.octets[account] += n; r.octets[account] <= 0 {
		delete(r.octets, account)
	}
}

// fit sets n octets aside if no more than room are then.
func (r *reservations) fit(account mail.ID, n, room int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.octets[account]+n > room {
		return false
	}
	r.octets[account] += n
	return true
}

// Reserve sets octets of an account's quota aside, in memory, and reports
// whether they fit beside what is used and reserved. A quota of 0 is none. What
// was reserved is given back by Release with the same number, after the commit
// or without one.
func (s *Store) Reserve(ctx context.Context, account mail.ID, octets, quota int64) (bool, error) {
	if quota <= 0 {
		s.reserved.add(account, octets)
		return true, nil
	}
	u, err := s.Usage(ctx, account)
	if err != nil {
		return false, err
	}
	return s.reserved.fit(account, octets, quota-u.Bytes), nil
}

// Release gives back what Reserve set aside.
func (s *Store) Release(account mail.ID, octets int64) { s.reserved.add(account, -octets) }
