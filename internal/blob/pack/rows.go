package pack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// States of a pack.
const (
	packOpen   = 0 // written to, or was when the process ended
	packSealed = 1
	packGone   = 2 // no body is left; the file is being removed
)

// Schema returns the tables of the store.
//
//	body  id, pack (0 = a large file), start (offset of the entry), length
//	      (header and bytes), size (octets as written), codec, created
//	pack  id, state, mark (all below was synced long ago), size (once sealed),
//	      dead (octets of deleted bodies), dead_since (of the oldest), created
func Schema() db.Schema {
	return db.Schema{Package: "blob", Steps: []db.Stmt{db.SQL(`
CREATE TABLE pack (
	id INTEGER PRIMARY KEY,
	state INTEGER NOT NULL,
	mark INTEGER NOT NULL,
	size INTEGER NOT NULL,
	dead INTEGER NOT NULL,
	dead_since INTEGER NOT NULL,
	created INTEGER NOT NULL
);
CREATE TABLE body (
	id INTEGER PRIMARY KEY,
	pack INTEGER NOT NULL,
	start INTEGER NOT NULL,
	length INTEGER NOT NULL,
	size INTEGER NOT NULL,
	codec INTEGER NOT NULL,
	created INTEGER NOT NULL
);
CREATE INDEX body_pack ON body (pack, start);
`)}}
}

// place is where a body lies.
type place struct {
	pack, start  int64 // pack 0: a file of its own, named by the body id
	length, size int64
}

func (p place) String() string {
	b := strconv.AppendInt(make([]byte, 0, 32), p.pack, 10)
	b = strconv.AppendInt(append(b, '/'), p.start, 10)
	return string(strconv.AppendInt(append(b, '/'), p.length, 10))
}

// parsePlace is the inverse of place.String, for a body of a known size.
func parsePlace(text string, size int64) (place, error) {
	p := place{size: size}
	rest := text
	for _, v := range [...]*int64{&p.pack, &p.start, &p.length} {
		var field string
		field, rest, _ = strings.Cut(rest, "/")
		n, err := strconv.ParseUint(field, 10, 63)
		if err != nil {
			return p, fmt.Errorf("place %q of a body: %w", text, err)
		}
		*v = int64(n)
	}
	if rest != "" {
		return p, fmt.Errorf("place %q of a body has too many parts", text)
	}
	return p, nil
}

var insertBody = db.Insert{Into: "body", Columns: []string{"id", "pack", "start", "length", "size", "codec", "created"}}

// Record implements blob.Store.
func (s *Store) Record(tx *db.Tx, bodies ...blob.Body) error {
	now := mail.Micros(time.Now())
	rows := make([][]any, len(bodies))
	found := make([]place, len(bodies))
	for i, b := range bodies {
		p, err := parsePlace(b.Place, b.Size)
		if err != nil {
			return err
		}
		if !s.pending.touch(b.ID) {
			return fmt.Errorf("record body %s: %w: it was committed too long ago, or recorded already", b.ID, blob.ErrNotFound)
		}
		found[i] = p
		rows[i] = []any{int64(b.ID), p.pack, p.start, p.length, p.size, int64(codecNone), now}
	}
	if err := tx.Insert(insertBody, rows...); err != nil {
		return fmt.Errorf("record bodies: %w", err)
	}
	tx.OnCommit(func() {
		for i, b := range bodies {
			s.pending.done(b.ID)
			s.places.Put(b.ID, found[i])
		}
	})
	return nil
}

// Drop implements blob.Store. What a pack holds of them is dead space.
func (s *Store) Drop(bodies ...blob.Body) {
	var large []mail.ID
	for _, b := range bodies {
		if j := s.prepared.take(b.ID); j != nil {
			j.release()
		}
		if p, err := parsePlace(b.Place, b.Size); err == nil && s.pending.touch(b.ID) {
			s.pending.done(b.ID)
			if p.pack == 0 {
				large = append(large, b.ID)
			}
		}
	}
	if err := s.removeLarge(large, &blob.Swept{}); err != nil {
		s.log.Warn("the file of a body that was not recorded stays until the next start", "error", err)
	}
}

// lookup reads the place of a body; blob.ErrNotFound if there is no row.
func (s *Store) lookup(ctx context.Context, id mail.ID) (place, error) {
	var p place
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT pack, start, length, size FROM body WHERE id = ?"), []any{int64(id)},
			&p.pack, &p.start, &p.length, &p.size)
	})
	if errors.Is(err, db.ErrNoRows) {
		return p, fmt.Errorf("body %s: %w", id, blob.ErrNotFound)
	}
	return p, err
}

func (s *Store) insertPack(ctx context.Context, id, created int64) error {
	return s.exec(ctx, `INSERT INTO pack (id, state, mark, size, dead, dead_since, created)
		VALUES (?, ?, ?, 0, 0, 0, ?)`, id, packOpen, packHeadLen, created)
}

func (s *Store) setMark(ctx context.Context, id, mark int64) error {
	return s.exec(ctx, "UPDATE pack SET mark = ? WHERE id = ? AND mark < ?", mark, id, mark)
}

func (s *Store) sealPack(ctx context.Context, id, size int64) error {
	return s.exec(ctx, "UPDATE pack SET state = ?, size = ?, mark = ? WHERE id = ?", packSealed, size, size, id)
}

func (s *Store) setPackState(ctx context.Context, id, state int64) error {
	return s.exec(ctx, "UPDATE pack SET state = ? WHERE id = ?", state, id)
}

func (s *Store) deletePack(ctx context.Context, id int64) error {
	return s.exec(ctx, "DELETE FROM pack WHERE id = ?", id)
}

func (s *Store) exec(ctx context.Context, sql string, args ...any) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(sql), args...)
		return err
	})
}

// packRow is a row of the table pack.
type packRow struct {
	id, state, mark, size, dead, deadSince int64
}

func (s *Store) packRows(ctx context.Context) ([]packRow, error) {
	var list []packRow
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(db.SQL("SELECT id, state, mark, size, dead, dead_since FROM pack ORDER BY id"))
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var p packRow
			if err := r.Scan(&p.id, &p.state, &p.mark, &p.size, &p.dead, &p.deadSince); err != nil {
				return err
			}
			list = append(list, p)
			return nil
		})
	})
	return list, err
}

// bodyRow is a row of the table body.
type bodyRow struct {
	id mail.ID
	place
}

// bodiesOf reads up to limit rows of a pack that lie at or behind a place, in
// the order of places.
func (s *Store) bodiesOf(ctx context.Context, pack, from int64, limit int) ([]bodyRow, error) {
	return s.bodyQuery(ctx, "SELECT id, pack, start, length, size FROM body WHERE pack = ? AND start >= ? ORDER BY start LIMIT ?",
		pack, from, limit)
}

// largeAfter reads up to limit rows of large files in the order of ids.
func (s *Store) largeAfter(ctx context.Context, after mail.ID, limit int) ([]bodyRow, error) {
	return s.bodyQuery(ctx, "SELECT id, pack, start, length, size FROM body WHERE pack = 0 AND start = 0 AND id > ? ORDER BY id LIMIT ?",
		int64(after), limit)
}

func (s *Store) bodyQuery(ctx context.Context, sql string, args ...any) ([]bodyRow, error) {
	var list []bodyRow
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(db.SQL(sql), args...)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var b bodyRow
			if err := r.Scan((*int64)(&b.id), &b.pack, &b.start, &b.length, &b.size); err != nil {
				return err
			}
			list = append(list, b)
			return nil
		})
	})
	return list, err
}
