package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// reserveBatch is how many intents one commit makes.
const reserveBatch = 64

// reserver makes intents ahead of need, so that an object costs no commit of
// its own before it is sent. An intent that it gives away is held in pending;
// whoever takes it lets it go.
type reserver struct {
	s     *Store
	lock  chan struct{} // a mutex that a context can give up on
	ready []mail.ID
	until time.Time // when ready is too old to be used
}

func (r *reserver) init(s *Store) { r.s, r.lock = s, make(chan struct{}, 1) }

// take returns the id of an object whose intent is committed.
func (r *reserver) take(ctx context.Context) (mail.ID, error) {
	select {
	case r.lock <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-r.lock }()
	if len(r.ready) == 0 || time.Now().After(r.until) {
		if err := r.refill(ctx); err != nil {
			return 0, fmt.Errorf("note which objects will be stored: %w", err)
		}
	}
	last := len(r.ready) - 1
	id := r.ready[last]
	r.ready = r.ready[:last]
	return id, nil
}

// refill commits new intents. They are held before the rows can be seen, so
// that no sweep takes one for abandoned. Those that grew too old were never
// used: their rows just go.
func (r *reserver) refill(ctx context.Context) error {
	s, old := r.s, r.ready
	fresh := make([]mail.ID, reserveBatch)
	rows := make([][]any, len(fresh))
	now := mail.Micros(time.Now())
	for i := range fresh {
		fresh[i] = s.opt.IDs.Next()
		rows[i] = []any{int64(fresh[i]), stateIntent, 0, 0, 0, int64(s.owner), now, now}
		s.pending.hold(fresh[i])
	}
	r.ready, r.until = nil, time.Now().Add(reserveLife)
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		if err := deleteIntents(tx, old); err != nil {
			return err
		}
		return tx.Insert(insertObject, rows...)
	})
	s.pending.release(old...)
	if err != nil {
		s.pending.release(fresh...)
		return err
	}
	r.ready = fresh
	return nil
}

// giveBack deletes the intents that were not used.
func (r *reserver) giveBack(ctx context.Context) error {
	select {
	case r.lock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.lock }()
	if len(r.ready) == 0 {
		return nil
	}
	old := r.ready
	r.ready = nil
	err := r.s.db.Write(ctx, func(tx *db.Tx) error { return deleteIntents(tx, old) })
	r.s.pending.release(old...)
	if errors.Is(err, db.ErrClosed) {
		return nil // whoever closed it first lets a later sweep do it
	}
	return err
}

// deleteIntents is for objects that were never sent.
func deleteIntents(tx *db.Tx, ids []mail.ID) error {
	_, err := tx.ExecIn(db.SQL("DELETE FROM s3_object WHERE id IN (@ids) AND state = 0"), db.In{IDs: plain(ids)})
	return err
}

func plain(ids []mail.ID) []int64 {
	list := make([]int64, len(ids))
	for i, id := range ids {
		list[i] = int64(id)
	}
	return list
}
