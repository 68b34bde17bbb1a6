package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// errNothing undoes a transaction that found nothing to change.
var errNothing = errors.New("nothing to change")

// Store changes the flags of messages and returns their rows as they are then,
// also of those that it found as wanted. Messages that are gone are left out.
// The session's next Poll does not tell of it, except for messages that another
// session had changed too. A keyword given for Remove need not be valid.
func (v *View) Store(ctx context.Context, uids []uint32, mode Mode, flags Flags, keywords []string) ([]Row, error) {
	var all []Row
	err := v.StoreEach(ctx, uids, Change{Mode: mode, Flags: flags, Keywords: keywords}, func(r Row) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

// Change is what StoreEach does to the flags of a message.
type Change struct {
	Mode     Mode
	Flags    Flags
	Keywords []string
}

// StoreEach is Store that yields the rows as it goes on; each slice of them is
// durable by then.
func (v *View) StoreEach(ctx context.Context, uids []uint32, c Change, yield func(Row) error) error {
	if v.readOnly {
		return ErrReadOnly
	}
	c.Flags &= AllFlags
	if c.Mode != Remove {
		var err error
		if c.Keywords, err = cleanKeywords(c.Keywords); err != nil {
			return err
		}
	}
	for len(uids) > 0 {
		part := uids[:min(len(uids), chunk)]
		uids = uids[len(part):]
		rows, err := v.storeSlice(ctx, part, c)
		if err != nil {
			return fmt.Errorf("store flags: %w", err)
		}
		for _, r := range rows {
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// storing is one slice of a Store.
type storing struct {
	modseq int64
	before []stored
	after  []marks
}

func (v *View) storeSlice(ctx context.Context, uids []uint32, c Change) ([]Row, error) {
	var s storing
	err := v.s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
		if s, err = v.storeTx(tx, uids, c); err != nil {
			return err
		}
		if s.modseq == 0 {
			return errNothing
		}
		tx.OnCommit(func() { v.s.announce(v.box.id) })
		return nil
	})
	if err != nil && !errors.Is(err, errNothing) {
		return nil, err
	}
	if s.modseq != 0 {
		v.own[s.modseq] = struct{}{}
	}
	return v.stored(s), nil
}

// storeTx changes one slice; a modseq of 0 says that there was nothing to do.
func (v *View) storeTx(tx *db.Tx, uids []uint32, c Change) (storing, error) {
	var s storing
	state, err := changeAccount(tx, accountDelta{account: v.box.account})
	if err != nil {
		return s, err
	}
	if s.before, err = readStored(tx, v.box.id, uids); err != nil {
		return s, err
	}
	s.after = make([]marks, len(s.before))
	alike := make(map[marks][]int64) // new marks to UIDs
	var order []marks
	d := mailboxDelta{mailbox: v.box.id, account: v.box.account, modseq: state.modseq}
	for i, m := range s.before {
		if s.after[i], err = m.change(c.Mode, c.Flags, c.Keywords); err != nil {
			return s, err
		}
		if s.after[i] == m.marks {
			continue
		}
		if alike[s.after[i]] == nil {
			order = append(order, s.after[i])
		}
		alike[s.after[i]] = append(alike[s.after[i]], int64(m.uid))
		d.count(m.flags, m.size, -1)
		d.count(s.after[i].flags, m.size, 1)
	}
	if len(order) == 0 {
		// Even so the mailbox must still be there.
		_, err := findID(tx, v.box.id)
		return s, err
	}
	if _, err := changeMailbox(tx, d); err != nil {
		return s, err
	}
	for _, m := range order {
		_, err := tx.ExecIn(db.SQL(`UPDATE mailbox_message SET flags = ?, keywords = ?, modseq = ?
			WHERE mailbox = ? AND uid IN (@ids)`),
			db.In{Before: []any{int64(m.flags), m.keywords, state.modseq, v.box.id}, IDs: alike[m]})
		if err != nil {
			return s, err
		}
	}
	s.modseq = state.modseq
	return s, nil
}

// stored turns a slice that is durable into rows.
func (v *View) stored(s storing) []Row {
	rows := make([]Row, 0, len(s.before))
	for i, m := range s.before {
		changed := s.after[i] != m.marks
		if _, own := v.own[m.modseq]; changed && m.modseq > v.modseq && !own {
			v.dirty[m.uid] = struct{}{}
		}
		seq, in := v.Seq(m.uid)
		if !in {
			continue
		}
		row := Row{
			Seq: seq, UID: m.uid, Flags: s.after[i].flags, Keywords: splitKeywords(s.after[i].keywords),
			Recent: v.isRecent(m.uid), Modseq: m.modseq, Size: m.size, Date: m.date, Message: m.message, Thread: m.thread,
		}
		if changed {
			row.Modseq = s.modseq
		}
		rows = append(rows, row)
	}
	return rows
}
