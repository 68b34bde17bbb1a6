package move

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// copyBodies copies the bodies that are not in the target yet, first those that
// could not be read when an earlier run came by.
func (m *mover) copyBodies(ctx context.Context) error {
	s, err := m.step(ctx, "copy bodies")
	if err != nil {
		return err
	}
	if err := m.loadDamaged(ctx); err != nil {
		return err
	}
	if err := m.againDamaged(ctx, s); err != nil {
		return err
	}
	after, err := bodyKey(s.after)
	if err != nil {
		return err
	}
	for s.state != ended {
		if m.damaged >= MaxDamaged && !m.o.SkipDamaged {
			break
		}
		ids, err := m.bodies(ctx, after)
		if err != nil {
			return err
		}
		b, err := m.copyBatch(ctx, ids)
		if err != nil {
			return err
		}
		if b.ids > 0 {
			after = ids[b.ids-1]
			s.after = appendValues(nil, int64(after))
		}
		if len(ids) == 0 {
			s.state = ended
		}
		if err := m.record(ctx, s, b, insertDamaged(b.damaged)); err != nil {
			return err
		}
		m.note(b.damaged)
		m.tell(s)
	}
	return m.judgeDamage()
}

// bodyKey reads the id behind which a step goes on.
func bodyKey(key []byte) (mail.ID, error) {
	values, err := decodeValues(key)
	if err != nil || len(values) == 0 {
		return 0, err
	}
	id, ok := values[0].(int64)
	if !ok {
		return 0, errKey
	}
	return mail.ID(id), nil
}

// batch is some bodies in the order of their ids.
type batch struct {
	ids     int // how many were worked on
	bodies  []blob.Body
	octets  int64
	damaged []Damage
}

// copyBatch makes bodies durable in the target, not findable yet.
func (m *mover) copyBatch(ctx context.Context, ids []mail.ID) (batch, error) {
	type outcome struct {
		body   blob.Body
		damage error
	}
	all := make([]outcome, len(ids))
	n, err := m.each(ctx, ids, func(ctx context.Context, i int, buf []byte) (int64, error) {
		var err error
		all[i].body, all[i].damage, err = m.copyBody(ctx, ids[i], buf)
		return all[i].body.Size, err
	})
	b := batch{ids: n}
	for i, o := range all {
		switch {
		case o.damage != nil:
			b.damaged = append(b.damaged, Damage{Body: ids[i], Fault: db.Text(o.damage.Error())})
		case o.body.ID != 0:
			b.bodies = append(b.bodies, o.body)
			b.octets += o.body.Size
		}
	}
	if err != nil {
		m.o.To.Blobs.Drop(b.bodies...)
	}
	return b, err
}

// copyBody copies one body. damage is why the source cannot give it.
func (m *mover) copyBody(ctx context.Context, id mail.ID, buf []byte) (b blob.Body, damage, err error) {
	r, held, err := m.open(ctx, m.o.From.Blobs, id)
	if err != nil {
		if isDamage(err) {
			return b, err, nil
		}
		return b, nil, fmt.Errorf("open body %s in %s: %w", id, inSource, err)
	}
	defer m.memory.give(held)
	from := &given{r: io.NewSectionReader(r, 0, r.Size())}
	w := m.o.To.Blobs.Restore(id)
	defer w.Abort()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, from, buf)
	size := r.Size()
	if cerr := r.Close(); err == nil && cerr != nil {
		err, from.err = cerr, cerr
	}
	switch {
	case from.err != nil && isDamage(from.err):
		return b, from.err, nil
	case err != nil && from.err != nil:
		return b, nil, fmt.Errorf("read body %s of %s: %w", id, inSource, err)
	case err != nil:
		return b, nil, fmt.Errorf("write body %s to %s: %w", id, inTarget, err)
	case n != size:
		return b, fmt.Errorf("%w: %d octets of %d", blob.ErrCorrupt, n, size), nil
	}
	// Where it was filed first is not asked of the rows: a body has many copies,
	// and all that reads it here is the rebuilding of lost rows.
	b, err = w.Commit(ctx, blob.Meta{Time: mail.Micros(id.Time())})
	if err != nil {
		return blob.Body{}, nil, fmt.Errorf("write body %s to %s: %w", id, inTarget, err)
	}
	return b, nil, nil
}

// given is what the source gives; it keeps an error of its own apart from those
// of the target's writer.
type given struct {
	r   io.Reader
	err error
}

func (g *given) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		g.err = err
	}
	return n, err
}

// record makes the bodies of a batch findable, together with the progress.
func (m *mover) record(ctx context.Context, s *step, b batch, also func(*db.Tx) error) error {
	s.done += int64(len(b.bodies))
	s.octets += b.octets
	err := m.write(ctx, func(tx *db.Tx) error {
		if len(b.bodies) > 0 {
			if err := m.o.To.Blobs.Record(tx, b.bodies...); err != nil {
				return err
			}
		}
		if err := also(tx); err != nil {
			return err
		}
		return s.save(tx)
	})
	if err == nil {
		return nil
	}
	if !errors.Is(err, db.ErrUnknown) {
		m.o.To.Blobs.Drop(b.bodies...)
	}
	return fmt.Errorf("record bodies in %s: %w", inTarget, err)
}
