package pack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// Check implements blob.Store. It may run beside everything but Sweep, which
// waits for it. An error means that the check itself could not go on.
func (s *Store) Check(ctx context.Context, refs []blob.Reference, report func(fault string)) error {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	rows, err := s.packRows(ctx)
	if err != nil {
		return err
	}
	for _, p := range rows {
		if p.state == packGone {
			continue
		}
		if err := s.checkPack(ctx, p, report); err != nil {
			return fmt.Errorf("check pack %d: %w", p.id, err)
		}
	}
	if err := s.checkUnknown(ctx, rows, report); err != nil {
		return err
	}
	if err := s.checkLarge(ctx, report); err != nil {
		return err
	}
	return blob.CheckReferences(ctx, s.db, refs, "", report)
}

// checkPack verifies the header of a pack, every body that a row says it holds,
// and that no two of them share octets.
func (s *Store) checkPack(ctx context.Context, p packRow, report func(string)) error {
	name := packName(p.id)
	f, err := s.files.get(p.id)
	if isMissing(err) {
		report(name + " is missing")
		return nil
	}
	if err != nil {
		return err
	}
	head := make([]byte, packHeadLen)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := checkPackHead(s.sums, head, p.id); err != nil {
		report(name + ": " + err.Error())
	}
	for from, end := int64(0), int64(packHeadLen); ; {
		rows, err := s.bodiesOf(ctx, p.id, from, recoverSlice)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, b := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if b.start < end {
				report(fmt.Sprintf("body %s: shares octets with the one before it in pack %d", b.id, p.id))
			}
			from, end = b.start+1, b.start+b.length
			_, buf, err := s.readBody(b.id, b.place)
			if err != nil {
				report(fmt.Sprintf("body %s: %v", b.id, err))
				continue
			}
			s.pools.give(buf)
		}
	}
}

// checkUnknown reports packs that only files or only rows of bodies know.
func (s *Store) checkUnknown(ctx context.Context, rows []packRow, report func(string)) error {
	r := &recovery{s: s}
	for _, p := range rows {
		r.upTo = max(r.upTo, p.id)
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	for id := range files {
		if id > r.upTo {
			delete(files, id) // made since the rows were read
		}
	}
	if err := r.inspectUnknown(ctx, rows, files); err != nil {
		return err
	}
	for _, name := range append(r.kept, r.strays...) {
		report(name + ": the database does not list it")
	}
	for _, d := range r.damages {
		report(d)
	}
	return nil
}

// checkLarge verifies every large file, and that each has a row.
func (s *Store) checkLarge(ctx context.Context, report func(string)) error {
	names, err := s.disk.list("large")
	if err != nil {
		return err
	}
	for last := mail.ID(0); ; {
		rows, err := s.largeAfter(ctx, last, recoverSlice)
		if err != nil {
			return err
		}
		for _, b := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			last = b.id
			if err := s.checkLargeBody(b); err != nil {
				report(fmt.Sprintf("body %s: %v", b.id, err))
			}
		}
		if len(rows) < recoverSlice {
			break
		}
	}
	for _, name := range names {
		id, err := mail.ParseID(name)
		if err != nil || id > s.born {
			continue // a newer one may just be written
		}
		if _, err := s.lookup(ctx, id); errors.Is(err, blob.ErrNotFound) {
			report(largeName(id) + ": no row names it")
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkLargeBody(b bodyRow) (err error) {
	r, err := s.openLarge(b.id, b.place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size()))
	return err
}
