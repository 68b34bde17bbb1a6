package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// checkWalk is how many bodies are verified between two looks at rows.
const checkWalk = 512

// Check implements blob.Store. It may run beside everything but Sweep, which
// waits for it; the sweeps of other processes go on, so what looks wrong is
// looked at twice. An error means that the check itself could not go on.
func (s *Store) Check(ctx context.Context, refs []blob.Reference, report func(fault string)) error {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	err = s.each(ctx, "state <> 4", nil, func(rows []objectRow) error {
		for _, o := range rows {
			if err := s.checkObject(ctx, o, report); err != nil {
				return fmt.Errorf("check object %s: %w", o.id, err)
			}
		}
		return nil
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.checkOrphans(ctx, report); err != nil {
		return fmt.Errorf("check for objects that no row names: %w", err)
	}
	return blob.CheckReferences(ctx, s.db, refs, "", report)
}

// checkObject verifies every body that rows place in an object.
func (s *Store) checkObject(ctx context.Context, o objectRow, report func(string)) error {
	end := int64(0)
	for last := (bodyRow{}); ; {
		rows, err := s.bodiesOf(ctx, o.id, last, checkWalk)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		last = rows[len(rows)-1]
		rows = s.checkRows(rows, &end, report)
		if err := s.checkBodies(ctx, o.id, rows, report); errors.Is(err, errMissing) {
			return s.checkMissing(ctx, o.id, report)
		} else if err != nil {
			return err
		}
	}
	if end > 0 && o.state == stateCondemned {
		report(fmt.Sprintf("object %s: bodies lie in it although it is to be deleted", o.id))
	}
	if end > 0 || o.state != stateKept && o.state != stateSettled {
		return nil
	}
	there, err := s.client.exists(ctx, s.key(o.id))
	if err != nil || there {
		return err
	}
	return s.checkMissing(ctx, o.id, report)
}

// checkRows reports the rows that cannot be right and returns the others.
func (s *Store) checkRows(rows []bodyRow, end *int64, report func(string)) []bodyRow {
	var fine []bodyRow
	for _, b := range rows {
		switch {
		case b.size < 0 || b.length != b.size || b.start < indexLen(1) || len(b.sums) != sumLen*blocksOf(b.size):
			report(fmt.Sprintf("body %s: its row cannot be right", b.id))
			continue
		case b.length > 0 && b.start < *end: // an empty one may lie anywhere
			report(fmt.Sprintf("body %s: shares octets with the one before it in object %s", b.id, b.object))
		}
		*end = max(*end, b.start+b.length)
		fine = append(fine, b)
	}
	return fine
}

func (s *Store) checkBodies(ctx context.Context, object mail.ID, rows []bodyRow, report func(string)) error {
	if len(rows) > 0 && rows[0].size > blob.InMemory { // it has an object of its own
		return s.checkLarge(ctx, rows[0], report)
	}
	var bad []bodyRow
	var why []error
	err := s.eachBody(ctx, object, rows, func(b bodyRow, _ []byte, err error) error {
		if err != nil {
			bad, why = append(bad, b), append(why, err)
		}
		return nil
	})
	for i, b := range bad {
		report(fmt.Sprintf("body %s: %v", b.id, why[i]))
	}
	return err
}

// checkLarge verifies a large body piece by piece and reports the first fault.
func (s *Store) checkLarge(ctx context.Context, b bodyRow, report func(string)) error {
	for n, all := 0, blocksOf(b.size); n < all; n += aheadMax {
		_, err := s.fetch(ctx, b.id, b.place, n, min(aheadMax, all-n))
		if errors.Is(err, blob.ErrCorrupt) || errors.Is(err, errEnds) {
			report(fmt.Sprintf("body %s: %v", b.id, err))
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkMissing reports an object that is not in the bucket, unless another
// process has emptied and condemned it meanwhile.
func (s *Store) checkMissing(ctx context.Context, object mail.ID, report func(string)) error {
	now, err := s.objects(ctx, "id = ? AND state IN (1, 2)", 0, 1, int64(object))
	if err != nil || len(now) == 0 {
		return err
	}
	var bodies int64
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM body WHERE object = ?"), []any{int64(object)}, &bodies)
	})
	if err == nil {
		report(fmt.Sprintf("object %s: missing in the bucket, with %d bodies", object, bodies))
	}
	return err
}

// checkOrphans reports what lies among the objects and has no row. An intent is
// committed before its object is stored, so a row that is missing behind a
// listing is not just late.
func (s *Store) checkOrphans(ctx context.Context, report func(string)) error {
	folder := s.opt.under(bodiesFolder)
	for last := ""; ; {
		keys, err := s.client.page(ctx, folder, last)
		if err != nil || len(keys) == 0 {
			return err
		}
		last = keys[len(keys)-1]
		unknown, err := s.unknown(ctx, folder, keys)
		if err != nil {
			return err
		}
		for _, key := range unknown {
			// Its row may have gone with it since it was listed.
			there, err := s.client.exists(ctx, key)
			if err != nil {
				return err
			}
			if there {
				report(key + ": the database does not list it")
			}
		}
	}
}

// unknown returns the keys that no row stands for.
func (s *Store) unknown(ctx context.Context, folder string, keys []string) ([]string, error) {
	var ids []int64
	for _, key := range keys {
		if id, err := mail.ParseID(strings.TrimPrefix(key, folder)); err == nil {
			ids = append(ids, int64(id))
		}
	}
	known := map[string]bool{}
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		return tx.QueryIn(db.SQL("SELECT id FROM s3_object WHERE id IN (@ids)"), db.In{IDs: ids}, func(r db.Rows) error {
			var id mail.ID
			err := r.Scan((*int64)(&id))
			known[folder+id.String()] = true
			return err
		})
	})
	var unknown []string
	for _, key := range keys {
		if !known[key] {
			unknown = append(unknown, key)
		}
	}
	return unknown, err
}
