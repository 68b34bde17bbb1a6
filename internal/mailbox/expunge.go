package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Expunge removes those of uids that have \Deleted, or all of the view with
// nil, and returns the UIDs that it removed. The view holds them until Poll is
// called with expunge. With an error it tells what was removed before.
func (v *View) Expunge(ctx context.Context, uids []uint32) ([]uint32, error) {
	if v.readOnly {
		return nil, ErrReadOnly
	}
	var done []uint32
	each := func(part []uint32) error {
		gone, err := v.s.expunge(ctx, v.box.account, v.box.id, expunging{uids: part, flags: Deleted})
		done = append(done, gone...)
		return err
	}
	var err error
	if uids != nil {
		err = inChunks(uids, each)
	} else {
		err = v.eachDeleted(ctx, each)
	}
	if err != nil {
		return done, fmt.Errorf("expunge: %w", err)
	}
	return done, nil
}

func inChunks(uids []uint32, each func([]uint32) error) error {
	for len(uids) > 0 {
		part := uids[:min(len(uids), chunk)]
		uids = uids[len(part):]
		if err := each(part); err != nil {
			return err
		}
	}
	return nil
}

// eachDeleted finds the view's messages with \Deleted in slices.
func (v *View) eachDeleted(ctx context.Context, each func([]uint32) error) error {
	for after := uint32(0); ; {
		var part []uint32
		err := v.s.db.Read(ctx, func(tx *db.Tx) error {
			part = nil
			b, err := findID(tx, v.box.id)
			if err != nil || b.Deleted == 0 {
				return err
			}
			rows, err := tx.Query(db.SQL(`SELECT uid FROM mailbox_message
				WHERE mailbox = ? AND uid > ? AND uid <= ? AND (flags & ?) <> 0 ORDER BY uid LIMIT ?`),
				v.box.id, after, v.MaxUID(), int64(Deleted), chunk)
			if err != nil {
				return err
			}
			return db.Each(rows, func(r db.Rows) error {
				var uid uint32
				err := r.Scan(&uid)
				part = append(part, uid)
				return err
			})
		})
		if err != nil || len(part) == 0 {
			return err
		}
		after = part[len(part)-1]
		if err := each(part); err != nil {
			return err
		}
	}
}

// expunging says what an expunge removes: those UIDs (a chunk at most) that
// have all of the flags.
type expunging struct {
	uids  []uint32
	flags Flags
}

func (s *Store) expunge(ctx context.Context, account, box mail.ID, e expunging) ([]uint32, error) {
	var gone []uint32
	err := s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		gone = nil
		state, err := changeAccount(tx, accountDelta{account: account})
		if err != nil {
			return err
		}
		list, err := readStored(tx, box, e.uids)
		if err != nil {
			return err
		}
		d := mailboxDelta{mailbox: box, account: account, modseq: state.modseq}
		kept := list[:0]
		for _, m := range list {
			if m.flags&e.flags == e.flags {
				kept, gone = append(kept, m), append(gone, m.uid)
				d.count(m.flags, m.size, -1)
			}
		}
		if len(kept) == 0 {
			return errNothing
		}
		if _, err := changeMailbox(tx, d); err != nil {
			return err
		}
		if err := bury(tx, box, state.modseq, kept); err != nil {
			return err
		}
		tx.OnCommit(func() { s.announce(box) })
		return addUsed(tx, accountDelta{account: account, used: d.size, messages: d.messages})
	})
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return gone, nil
}
