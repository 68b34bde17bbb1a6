package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// transfer is a copy or a move inside an account.
type transfer struct {
	account, from, to mail.ID
	move              bool
	quota             int64 // for a copy, 0 = none
}

// Copy copies messages to a mailbox of the same account, with their flags,
// dates and ids: all of them or, with an error, none; ErrNoMailbox,
// ErrNoSelect, ErrOverQuota. Those that are gone are left out.
func (v *View) Copy(ctx context.Context, uids []uint32, name string) (Copied, error) {
	quota, err := v.s.quota(ctx, v.box.account)
	if err != nil {
		return Copied{}, fmt.Errorf("copy messages: %w", err)
	}
	to, err := v.target(ctx, name)
	if err != nil {
		return Copied{}, err
	}
	t := transfer{account: v.box.account, from: v.box.id, to: to.ID, quota: quota}
	done, err := v.s.transferAll(ctx, t, uids)
	if err != nil {
		v.s.takeBack(ctx, t, done.To)
		return Copied{}, fmt.Errorf("copy messages: %w", err)
	}
	done.UIDValidity = to.UIDValidity
	return done, nil
}

// Move moves messages, each atomically; with an error, Copied tells of those
// that were moved. The view holds them until Poll is called with expunge.
// RFC 6851 §3.3
func (v *View) Move(ctx context.Context, uids []uint32, name string) (Copied, error) {
	if v.readOnly {
		return Copied{}, ErrReadOnly
	}
	to, err := v.target(ctx, name)
	if err != nil {
		return Copied{}, err
	}
	t := transfer{account: v.box.account, from: v.box.id, to: to.ID, move: true}
	done, err := v.s.transferAll(ctx, t, uids)
	done.UIDValidity = to.UIDValidity
	if err != nil {
		return done, fmt.Errorf("move messages: %w", err)
	}
	return done, nil
}

func (v *View) target(ctx context.Context, name string) (Mailbox, error) {
	to, err := v.s.Find(ctx, v.box.account, name)
	if err == nil && to.NoSelect {
		err = ErrNoSelect
	}
	return to, err
}

// transferAll works in slices, each one Write.
func (s *Store) transferAll(ctx context.Context, t transfer, uids []uint32) (Copied, error) {
	var all Copied
	if t.move {
		ctx = db.WithReserve(ctx) // often to Trash, on the way to be expunged
	}
	for len(uids) > 0 {
		part := uids[:min(len(uids), chunk)]
		uids = uids[len(part):]
		var c Copied
		err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			c, err = s.transferSlice(tx, t, part)
			return err
		})
		if errors.Is(err, errNothing) {
			continue
		}
		if err != nil {
			return all, err
		}
		all.From, all.To = append(all.From, c.From...), append(all.To, c.To...)
	}
	return all, nil
}

func (s *Store) transferSlice(tx *db.Tx, t transfer, uids []uint32) (Copied, error) {
	var c Copied
	state, err := changeAccount(tx, accountDelta{account: t.account})
	if err != nil {
		return c, err
	}
	list, err := readStored(tx, t.from, uids)
	if err != nil {
		return c, err
	}
	if len(list) == 0 {
		if _, err := findID(tx, t.from); err != nil {
			return c, err
		}
		return c, errNothing
	}
	come := mailboxDelta{mailbox: t.to, account: t.account, modseq: state.modseq, uids: int64(len(list))}
	leave := mailboxDelta{mailbox: t.from, account: t.account, modseq: state.modseq}
	for _, m := range list {
		come.count(m.flags, m.size, 1)
		leave.count(m.flags, m.size, -1)
	}
	if t.quota > 0 && !t.move && state.used+come.size > t.quota {
		return c, ErrOverQuota
	}
	dest, err := changeMailbox(tx, come)
	if err != nil {
		return c, err
	}
	next := uint32(dest.uidnext - come.uids)
	rows := make([][]any, len(list))
	for i, m := range list {
		c.From, c.To = append(c.From, m.uid), append(c.To, next+uint32(i))
		m.uid, m.modseq, m.created = next+uint32(i), state.modseq, state.modseq
		rows[i] = m.row(t.to)
	}
	if err := tx.Insert(insertMessage, rows...); err != nil {
		return c, err
	}
	if t.move {
		if _, err = changeMailbox(tx, leave); err == nil {
			err = bury(tx, t.from, state.modseq, list)
		}
	} else {
		err = addUsed(tx, accountDelta{account: t.account, used: come.size, messages: come.messages})
	}
	tx.OnCommit(func() { s.announce(t.to, t.from) })
	return c, err
}

// takeBack removes the first copies of a Copy that failed later.
// RFC 3501 §6.4.7
func (s *Store) takeBack(ctx context.Context, t transfer, copies []uint32) {
	ctx = context.WithoutCancel(ctx)
	for len(copies) > 0 {
		part := copies[:min(len(copies), chunk)]
		copies = copies[len(part):]
		if _, err := s.expunge(ctx, t.account, t.to, expunging{uids: part}); err != nil {
			s.log.Warn("copies of a failed copy stay", slog.Any("mailbox", t.to), slog.Any("error", err))
			return
		}
	}
}
