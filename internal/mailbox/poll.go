package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Bounds of one Poll.
const (
	pollRows = 1000
	pollUIDs = 50000
)

// delta is a slice of what happened to a mailbox after a modseq.
type delta struct {
	box     record
	to      int64    // up to this change
	added   []uint32 // UIDs above the view's
	gone    []uint32 // expunged UIDs, ascending
	changed []Row    // messages of the view
	more    bool
}

// Poll brings the view up to date and tells what changed. Without expunge,
// messages that are gone stay in the view, as they must while a command uses
// sequence numbers. What this session itself Stored is not told.
// RFC 3501 §7.4.1
func (v *View) Poll(ctx context.Context, expunge bool) (Changes, error) {
	// Read before the rows: a change in between only costs another look.
	now := v.box.changes.Load()
	if now == v.seen {
		if !expunge || len(v.gone) == 0 {
			return Changes{Exists: v.Count(), Recent: v.Recent()}, nil
		}
		return v.take(delta{box: record{Status: Status{Mailbox: v.mailbox}}, to: v.modseq}, expunge), nil
	}
	var d delta
	err := v.s.db.Read(ctx, func(tx *db.Tx) (err error) {
		d, err = v.look(tx)
		return err
	})
	if err != nil {
		return Changes{}, fmt.Errorf("poll mailbox: %w", err)
	}
	c := v.take(d, expunge)
	if c.More = d.more; d.more {
		v.nudge()
	} else {
		v.seen = now
	}
	return c, nil
}

// look reads what happened since the view's modseq.
func (v *View) look(tx *db.Tx) (delta, error) {
	box, err := findID(tx, v.box.id)
	d := delta{box: box, to: box.Modseq}
	if err != nil || box.Modseq == v.modseq {
		return d, err
	}
	for _, log := range []string{"mailbox_message WHERE modseq > created AND", "mailbox_expunged WHERE"} {
		var bound int64
		err := tx.Row(db.SQL(`SELECT modseq FROM `+log+` mailbox = ? AND modseq > ? ORDER BY modseq LIMIT 1 OFFSET ?`),
			[]any{v.box.id, v.modseq, pollRows}, &bound)
		if err != nil && !errors.Is(err, db.ErrNoRows) {
			return d, err
		}
		if err == nil {
			d.to = min(d.to, bound)
		}
	}
	if d.added, err = readUIDs(tx, v.box.id, v.top, pollUIDs); err != nil {
		return d, err
	}
	if d.gone, err = v.readGone(tx, d.to); err != nil {
		return d, err
	}
	d.changed, err = v.readChanged(tx, d.to)
	d.more = d.to < box.Modseq || len(d.added) == pollUIDs
	return d, err
}

func readUIDs(tx *db.Tx, box mail.ID, after uint32, limit int) ([]uint32, error) {
	var list []uint32
	rows, err := tx.Query(db.SQL(`SELECT uid FROM mailbox_message WHERE mailbox = ? AND uid > ? ORDER BY uid LIMIT ?`),
		box, after, limit)
	if err != nil {
		return nil, err
	}
	return list, db.Each(rows, func(r db.Rows) error {
		var uid uint32
		err := r.Scan(&uid)
		list = append(list, uid)
		return err
	})
}

func (v *View) readGone(tx *db.Tx, to int64) ([]uint32, error) {
	var list []uint32
	rows, err := tx.Query(db.SQL(`SELECT uid FROM mailbox_expunged WHERE mailbox = ? AND modseq > ? AND modseq <= ?`),
		v.box.id, v.modseq, to)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var uid uint32
		err := r.Scan(&uid)
		list = append(list, uid)
		return err
	})
	slices.Sort(list)
	return list, err
}

func (v *View) readChanged(tx *db.Tx, to int64) ([]Row, error) {
	var list []Row
	rows, err := tx.Query(db.SQL(selectRow+` FROM mailbox_message m
		WHERE m.modseq > m.created AND m.mailbox = ? AND m.modseq > ? AND m.modseq <= ? AND m.uid <= ? ORDER BY m.modseq, m.uid`),
		v.box.id, v.modseq, to, v.top)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var row Row
		if err := scanRow(r, &row, 0); err != nil {
			return err
		}
		list = append(list, row)
		return nil
	})
	return list, err
}

// take moves the view on by a delta.
func (v *View) take(d delta, expunge bool) Changes {
	var c Changes
	gone := slices.DeleteFunc(d.gone, func(uid uint32) bool {
		_, in := v.Seq(uid)
		return !in
	})
	pending := mergeUIDs(v.gone, gone)
	if expunge {
		for _, uid := range slices.Backward(pending) {
			seq, _ := v.Seq(uid)
			c.Expunged = append(c.Expunged, seq)
		}
	}
	live := v.box.advance(step{
		from: v.modseq, to: d.to, whole: !d.more, uids: v.uids, gone: pending, added: d.added,
	})
	if expunge || len(pending) == 0 {
		v.uids, v.gone = live, nil
	} else {
		v.uids, v.gone = append(v.uids[:len(v.uids):len(v.uids)], d.added...), pending
	}
	if n := len(d.added); n > 0 {
		first := max(v.top+1, v.box.claim(d.added[n-1]+1, !v.readOnly))
		v.addRecent(Range{First: first, Last: d.added[n-1]})
		v.top = d.added[n-1]
	}
	v.modseq, v.mailbox = d.to, d.box.Mailbox
	c.Flags = v.news(d)
	c.Exists, c.Recent, c.ExistsChanged = v.Count(), v.Recent(), len(d.added) > 0
	return c
}

// news is the changed rows that the session does not know of.
func (v *View) news(d delta) []Row {
	var list []Row
	for _, row := range d.changed {
		_, own := v.own[row.Modseq]
		_, dirty := v.dirty[row.UID]
		delete(v.dirty, row.UID)
		seq, in := v.Seq(row.UID)
		if !in || own && !dirty {
			continue
		}
		row.Seq, row.Recent = seq, v.isRecent(row.UID)
		list = append(list, row)
	}
	for modseq := range v.own {
		if modseq <= d.to {
			delete(v.own, modseq)
		}
	}
	for _, uid := range d.gone {
		delete(v.dirty, uid)
	}
	return list
}

// mergeUIDs joins two ascending lists.
func mergeUIDs(a, b []uint32) []uint32 {
	if len(a) == 0 {
		return b
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}
