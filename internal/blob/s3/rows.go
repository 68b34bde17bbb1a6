package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// States of an object. Statements name them by these numbers.
const (
	stateIntent    = 0 // it may be there, or be sent just now; no body is recorded
	stateKept      = 1 // bodies of it are recorded, and more may follow
	stateSettled   = 2 // no more will follow
	stateCondemned = 3 // no body is left, nothing may be recorded; it is to be deleted
	stateErased    = 4 // deleted once; deleted again in case a late request stored it
)

// Schema returns the tables of the store.
//
//	body       id, object, start (in the object), length (there), size (octets as
//	           written), sums (one after the other), created
//	s3_object  id, state, size (octets of all bodies that were put into it), dead
//	           (octets of those without a row, true once settled), dead_since
//	           (0 = none is dead), owner (the process that wrote it), created,
//	           changed
func Schema() db.Schema {
	return db.Schema{Package: "blob_s3", Steps: []db.Stmt{db.SQL(`
CREATE TABLE s3_object (
	id INTEGER PRIMARY KEY,
	state INTEGER NOT NULL,
	size INTEGER NOT NULL,
	dead INTEGER NOT NULL,
	dead_since INTEGER NOT NULL,
	owner INTEGER NOT NULL,
	created INTEGER NOT NULL,
	changed INTEGER NOT NULL
);
CREATE INDEX s3_object_state ON s3_object (state, dead_since);
CREATE TABLE body (
	id INTEGER PRIMARY KEY,
	object INTEGER NOT NULL REFERENCES s3_object (id),
	start INTEGER NOT NULL,
	length INTEGER NOT NULL,
	size INTEGER NOT NULL,
	sums BLOB NOT NULL,
	created INTEGER NOT NULL
);
CREATE INDEX body_object ON body (object, start);
`)}}
}

var (
	insertObject = db.Insert{Into: "s3_object", Columns: []string{"id", "state", "size", "dead", "dead_since", "owner", "created", "changed"}}
	insertBody   = db.Insert{Into: "body", Columns: []string{"id", "object", "start", "length", "size", "sums", "created"}}
)

// place is where a body lies.
type place struct {
	object        mail.ID
	start, length int64
	size          int64
	sums          []byte
}

func (p place) String() string {
	b := append(make([]byte, 0, 40), p.object.String()...)
	b = strconv.AppendInt(append(b, '/'), p.start, 10)
	return string(strconv.AppendInt(append(b, '/'), p.length, 10))
}

// Record implements blob.Store. The objects are taken first and in the order of
// their ids, so that two transactions never wait for each other in a circle. One
// that was condemned meanwhile is not found here, and nothing is recorded.
func (s *Store) Record(tx *db.Tx, bodies ...blob.Body) error {
	now := mail.Micros(time.Now())
	rows := make([][]any, len(bodies))
	found := make([]waiting, len(bodies))
	for i, b := range bodies {
		w, ok := s.pending.touch(b.ID)
		if !ok {
			return fmt.Errorf("record body %s: %w: it was committed too long ago, or recorded already", b.ID, blob.ErrNotFound)
		}
		if b.Size != w.size || b.Place != w.String() {
			return fmt.Errorf("record body %s: it was not committed like this", b.ID)
		}
		found[i] = w
		rows[i] = []any{int64(b.ID), int64(w.object), w.start, w.length, w.size, w.sums, now}
	}
	for _, w := range objectsOf(found) {
		n, err := tx.Exec(db.SQL("UPDATE s3_object SET state = 1, size = ?, changed = ? WHERE id = ? AND state IN (0, 1)"),
			w.objectSize, now, int64(w.object))
		if err != nil {
			return fmt.Errorf("record bodies: %w", err)
		}
		if n != 1 {
			return fmt.Errorf("record bodies: object %s: %w: it was given up", w.object, blob.ErrNotFound)
		}
	}
	if err := tx.Insert(insertBody, rows...); err != nil {
		return fmt.Errorf("record bodies: %w", err)
	}
	tx.OnCommit(func() {
		for i, b := range bodies {
			s.places.Put(b.ID, found[i].place)
			s.pending.done(b.ID)
		}
	})
	return nil
}

// objectsOf returns one of the bodies of each object, in the order of objects.
func objectsOf(bodies []waiting) []waiting {
	one := slices.Clone(bodies)
	slices.SortFunc(one, func(a, b waiting) int { return cmp.Compare(a.object, b.object) })
	return slices.CompactFunc(one, func(a, b waiting) bool { return a.object == b.object })
}

// Drop implements blob.Store. What an object holds of them is dead.
func (s *Store) Drop(bodies ...blob.Body) {
	for _, b := range bodies {
		s.pending.done(b.ID)
		s.cache.forget(b.ID, b.Size)
	}
}

// lookup reads the place of a body; blob.ErrNotFound if there is no row.
func (s *Store) lookup(ctx context.Context, id mail.ID) (place, error) {
	var p place
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT object, start, length, size, sums FROM body WHERE id = ?"), []any{int64(id)},
			(*int64)(&p.object), &p.start, &p.length, &p.size, &p.sums)
	})
	if errors.Is(err, db.ErrNoRows) {
		return p, fmt.Errorf("body %s: %w", id, blob.ErrNotFound)
	}
	if err == nil && (p.size < 0 || p.length != p.size || len(p.sums) != sumLen*blocksOf(p.size)) {
		err = fmt.Errorf("body %s: %w: its row cannot be right", id, blob.ErrCorrupt)
	}
	return p, err
}

// bodyRow is a row of the table body.
type bodyRow struct {
	id mail.ID
	place
}

// bodiesOf reads up to limit rows of an object behind a body, in the order of
// their places.
func (s *Store) bodiesOf(ctx context.Context, object mail.ID, after bodyRow, limit int) ([]bodyRow, error) {
	var list []bodyRow
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		// Empty bodies share their start with the next one.
		rows, err := tx.Query(db.SQL(`SELECT id, object, start, length, size, sums FROM body
			WHERE object = ? AND (start > ? OR start = ? AND id > ?) ORDER BY start, id LIMIT ?`),
			int64(object), after.start, after.start, int64(after.id), limit)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var b bodyRow
			err := r.Scan((*int64)(&b.id), (*int64)(&b.object), &b.start, &b.length, &b.size, &b.sums)
			list = append(list, b)
			return err
		})
	})
	return list, err
}

// objectRow is a row of the table s3_object.
type objectRow struct {
	id, owner                    mail.ID
	state, size, dead, deadSince int64
	created, changed             int64
}

// objects reads up to limit rows behind an id that a condition selects.
func (s *Store) objects(ctx context.Context, where string, after mail.ID, limit int, args ...any) ([]objectRow, error) {
	var list []objectRow
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(db.SQL("SELECT id, owner, state, size, dead, dead_since, created, changed FROM s3_object WHERE "+
			where+" AND id > ? ORDER BY id LIMIT ?"), append(slices.Clone(args), int64(after), limit)...)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var o objectRow
			err := r.Scan((*int64)(&o.id), (*int64)(&o.owner), &o.state, &o.size, &o.dead, &o.deadSince, &o.created, &o.changed)
			list = append(list, o)
			return err
		})
	})
	return list, err
}
