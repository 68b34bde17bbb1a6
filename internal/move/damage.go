package move

import (
	"context"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

var (
	sqlCountDamaged  = db.SQL("SELECT count(*) FROM storage_move_damaged")
	sqlDamagedAfter  = db.SQL("SELECT body, fault FROM storage_move_damaged WHERE body > ? ORDER BY body LIMIT ?")
	sqlDamagedAmong  = db.SQL("SELECT body FROM storage_move_damaged WHERE body IN (@ids)")
	sqlMendedDamaged = db.SQL("DELETE FROM storage_move_damaged WHERE body IN (@ids)")
	intoDamaged      = db.Insert{Into: "storage_move_damaged", Columns: []string{"body", "fault"}}
)

// loadDamaged reads which bodies the source could not give so far.
func (m *mover) loadDamaged(ctx context.Context) error {
	var count int64
	err := m.o.To.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlCountDamaged, nil, &count) })
	if err != nil {
		return err
	}
	list, err := m.damagedAfter(ctx, 0, MaxDamaged)
	m.damaged, m.report.DamagedBodies, m.report.Damaged = count, count, list
	return err
}

func (m *mover) damagedAfter(ctx context.Context, after mail.ID, limit int) (list []Damage, err error) {
	err = m.o.To.DB.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(sqlDamagedAfter, after, limit)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var d Damage
			err := r.Scan(&d.Body, &d.Fault)
			list = append(list, d)
			return err
		})
	})
	return list, err
}

// againDamaged tries the damaged bodies again: somebody may have put a file back.
func (m *mover) againDamaged(ctx context.Context, s *step) error {
	mended := false
	for after := mail.ID(0); ; {
		list, err := m.damagedAfter(ctx, after, batchBodies)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		ids := make([]mail.ID, len(list))
		for i, d := range list {
			ids[i] = d.Body
		}
		b, err := m.copyBatch(ctx, ids)
		if err != nil {
			return err
		}
		after = ids[b.ids-1]
		if len(b.bodies) == 0 {
			continue
		}
		mended = true
		here := make([]int64, len(b.bodies))
		for i, body := range b.bodies {
			here[i] = int64(body.ID)
		}
		err = m.record(ctx, s, b, func(tx *db.Tx) error {
			_, err := tx.ExecIn(sqlMendedDamaged, db.In{IDs: here})
			return err
		})
		if err != nil {
			return err
		}
	}
	if !mended {
		return nil
	}
	return m.loadDamaged(ctx)
}

// insertDamaged returns what keeps damaged bodies for the next run.
func insertDamaged(list []Damage) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		rows := make([][]any, len(list))
		for i, d := range list {
			rows[i] = []any{d.Body, d.Fault}
		}
		return tx.Insert(intoDamaged, rows...)
	}
}

// note adds damaged bodies to the report.
func (m *mover) note(list []Damage) {
	for _, d := range list {
		m.log.Warn("a body of the source cannot be read", "body", d.Body, "fault", d.Fault)
	}
	room := max(0, MaxDamaged-len(m.report.Damaged))
	m.report.Damaged = append(m.report.Damaged, list[:min(len(list), room)]...)
	m.damaged += int64(len(list))
	m.report.DamagedBodies = m.damaged
}

// judgeDamage refuses to go on without bodies that rows refer to.
func (m *mover) judgeDamage() error {
	if m.damaged == 0 || m.o.SkipDamaged {
		return nil
	}
	const named = 5
	var names []string
	for _, d := range m.report.Damaged[:min(named, len(m.report.Damaged))] {
		names = append(names, fmt.Sprintf("%s (%s)", d.Body, d.Fault))
	}
	text := strings.Join(names, "; ")
	if m.damaged > int64(len(names)) {
		text += fmt.Sprintf("; and %d more", m.damaged-int64(len(names)))
	}
	return fmt.Errorf("%w: %s", ErrDamaged, text)
}

// undamaged leaves out the ids that are known to be damaged.
func (m *mover) undamaged(ctx context.Context, ids []mail.ID) ([]mail.ID, error) {
	if m.damaged == 0 || len(ids) == 0 {
		return ids, nil
	}
	list := make([]int64, len(ids))
	for i, id := range ids {
		list[i] = int64(id)
	}
	var bad map[mail.ID]bool
	err := m.o.To.DB.Read(ctx, func(tx *db.Tx) error {
		bad = map[mail.ID]bool{}
		return tx.QueryIn(sqlDamagedAmong, db.In{IDs: list}, func(r db.Rows) error {
			var id mail.ID
			err := r.Scan(&id)
			bad[id] = true
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	good := make([]mail.ID, 0, len(ids))
	for _, id := range ids {
		if !bad[id] {
			good = append(good, id)
		}
	}
	return good, nil
}
