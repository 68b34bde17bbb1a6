package pack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// compactChunk is how many bodies, or compactBytes how many octets, are copied
// before their places are committed.
const (
	compactChunk = 64
	compactBytes = 1 << 20
	// manySmall is how many packs that restarts cut short may lie about
	// before their bodies are brought together.
	manySmall = 16
)

// compact empties and removes the packs that are mostly dead, and those that
// have held dead bytes for as long as they may.
func (s *Store) compact(ctx context.Context, done *blob.Swept) error {
	rows, err := s.packRows(ctx)
	if err != nil {
		return err
	}
	small := 0
	for _, p := range rows {
		if s.isSmall(p) {
			small++
		}
	}
	overdue := mail.Micros(time.Now().Add(-time.Duration(s.erase.Load())))
	for _, p := range rows {
		if ctx.Err() != nil {
			return nil
		}
		late := p.deadSince != 0 && p.deadSince <= overdue
		if p.id == s.keep.active() && late {
			// It is sealed now and compacted by the next sweep.
			if _, err := s.submit(ctx, &job{roll: true, done: make(chan result, 1)}); err != nil {
				return err
			}
			continue
		}
		if p.state == packOpen || s.keep.writable(p.id) || s.pending.inPack(p.id) || s.unfit[p.id] {
			continue
		}
		merge := small > manySmall && s.isSmall(p)
		if p.state == packSealed && !late && !merge && p.dead*2 < p.size-packHeadLen {
			any, err := s.bodiesOf(ctx, p.id, 0, 1)
			if err != nil {
				return err
			}
			if len(any) > 0 {
				continue
			}
		}
		if err := s.compactPack(ctx, p, done); err != nil {
			return fmt.Errorf("pack %d: %w", p.id, err)
		}
	}
	return nil
}

// isSmall reports whether a pack ended long before it was full.
func (s *Store) isSmall(p packRow) bool {
	return p.state == packSealed && p.size < s.opt.PackSize/8
}

// compactPack moves what lives in a pack to the active one and removes the pack.
func (s *Store) compactPack(ctx context.Context, p packRow, done *blob.Swept) error {
	for {
		if ctx.Err() != nil {
			return nil
		}
		rows, err := s.bodiesOf(ctx, p.id, 0, compactChunk)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		err = s.moveBodies(ctx, rows)
		if errors.Is(err, blob.ErrCorrupt) {
			// What still can be read stays readable where it is.
			s.unfit[p.id] = true
			s.log.Error("pack holds a damaged body and is kept", "pack", p.id, "error", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := s.removePack(ctx, p.id); err != nil {
		return err
	}
	done.Bytes += p.size
	return nil
}

// move is a body on its way to another pack.
type move struct {
	bodyRow
	job *job
	to  place
}

// moveBodies copies as many of the bodies as fit a chunk, syncs them with
// whatever else is being committed, and then commits their new places.
func (s *Store) moveBodies(ctx context.Context, rows []bodyRow) error {
	var moves []*move
	defer func() {
		for _, m := range moves {
			s.pending.done(m.id)
		}
	}()
	var octets int64
	for _, b := range rows {
		if octets += b.length; octets > compactBytes && len(moves) > 0 {
			break
		}
		e, buf, err := s.readBody(b.id, b.place)
		if err != nil {
			return fmt.Errorf("body %s: %w", b.id, err)
		}
		// The copy is not of the pool: a job that is left alone keeps its bytes.
		body := append([]byte(nil), buf[entryLen:]...)
		s.pools.give(buf)
		moves = append(moves, &move{bodyRow: b, job: &job{head: e, blocks: [][]byte{body}, done: make(chan result, 1)}})
	}
	if err := s.copyBodies(ctx, moves); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *db.Tx) error { return s.setPlaces(tx, moves) })
}

// copyBodies has all bodies committed, in as few groups as the committer makes.
func (s *Store) copyBodies(ctx context.Context, moves []*move) error {
	errs := make(chan error, len(moves))
	for _, m := range moves {
		go func() {
			var err error
			m.to, err = s.submit(ctx, m.job)
			errs <- err
		}()
	}
	var all []error
	for range moves {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// setPlaces moves the rows. What was deleted meanwhile is dead in the new pack.
func (s *Store) setPlaces(tx *db.Tx, moves []*move) error {
	dead := map[int64]int64{}
	for _, m := range moves {
		n, err := tx.Exec(db.SQL("UPDATE body SET pack = ?, start = ? WHERE id = ? AND pack = ? AND start = ?"),
			m.to.pack, m.to.start, int64(m.id), m.pack, m.start)
		if err != nil {
			return err
		}
		if n == 0 {
			dead[m.to.pack] += align(m.to.length)
		}
	}
	if err := addDead(tx, dead); err != nil {
		return err
	}
	tx.OnCommit(func() {
		for _, m := range moves {
			s.places.Forget(m.id)
		}
	})
	return nil
}
