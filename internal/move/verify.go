package move

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// saveEvery is how many slices are compared before the progress is kept: it is
// all that a comparison writes.
const saveEvery = 16

// Difference is where source and target are not equal: ErrDifferent.
type Difference struct {
	What string // "table event", "body"
	Key  string
	How  string
}

// Error implements error.
func (d *Difference) Error() string {
	return fmt.Sprintf("%v: %s, %s: %s; if the source was used since the copy began, empty the target and begin again",
		ErrDifferent, d.What, d.Key, d.How)
}

// Unwrap makes a Difference an ErrDifferent.
func (d *Difference) Unwrap() error { return ErrDifferent }

// resumeHash returns the hash of a step in the state in which it was kept.
func resumeHash(s *step) (hash.Hash, error) {
	h := sha256.New()
	if s.digest == nil {
		return h, nil
	}
	u, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, errors.New("a digest cannot be continued")
	}
	return h, u.UnmarshalBinary(s.digest)
}

func keepHash(s *step, h hash.Hash) (err error) {
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return errors.New("a digest cannot be kept")
	}
	s.digest, err = m.MarshalBinary()
	return err
}

func digestOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// saveVerified keeps how far a comparison has come.
func (m *mover) saveVerified(ctx context.Context, s *step, h hash.Hash) error {
	if err := keepHash(s, h); err != nil {
		return err
	}
	return m.write(ctx, s.save)
}

// verifyTable compares all rows of a table on both sides.
func (m *mover) verifyTable(ctx context.Context, t *table) error {
	s, err := m.step(ctx, "verify table "+t.name)
	if err != nil {
		return err
	}
	h, err := resumeHash(s)
	if err != nil {
		return err
	}
	after, err := decodeValues(s.after)
	if err != nil {
		return err
	}
	from, to := newCursor(t, m.o.From.DB, inSource, sliceRows), newCursor(t, m.o.To.DB, inTarget, sliceRows)
	for n := 1; s.state != ended; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a, b, err := readBoth(ctx, from, to, after)
		if err != nil {
			return err
		}
		equal, err := t.compare(a, b, h)
		if err != nil {
			return err
		}
		if equal > 0 {
			after = t.keyOf(a.rows[equal-1])
			s.after = appendValues(nil, after...)
			s.done += int64(equal)
		}
		if a.end && b.end && equal == len(a.rows) && equal == len(b.rows) {
			s.state = ended
		}
		if s.state == ended || n%saveEvery == 0 {
			if err := m.saveVerified(ctx, s, h); err != nil {
				return err
			}
		}
		m.tell(s)
	}
	m.report.Tables = append(m.report.Tables, Table{Name: t.name, Rows: s.done, SHA256: digestOf(h)})
	return nil
}

// readBoth reads the rows behind a key from both sides at the same time.
func readBoth(ctx context.Context, from, to *cursor, after []any) (a, b slice, err error) {
	var wg sync.WaitGroup
	var berr error
	wg.Go(func() { b, berr = to.read(ctx, after) })
	a, err = from.read(ctx, after)
	wg.Wait()
	return a, b, errors.Join(err, berr)
}

// compare returns how many rows at the start are equal, and adds them to a hash.
// One slice may be shorter than the other, unless that is the end of its table.
func (t *table) compare(a, b slice, h hash.Hash) (int, error) {
	n := min(len(a.rows), len(b.rows))
	var buf, other []byte
	for i := range n {
		source, target := a.rows[i], b.rows[i]
		buf, other = appendValues(buf[:0], source...), appendValues(other[:0], target...)
		if string(buf) == string(other) {
			_, _ = h.Write(buf) // a hash never fails
			continue
		}
		switch c := compareKeys(t.keyOf(source), t.keyOf(target)); {
		case c < 0:
			return i, t.differs(source, inTarget+" does not have this row")
		case c > 0:
			return i, t.differs(target, inSource+" does not have this row")
		}
		return i, t.differs(source, t.how(source, target))
	}
	switch {
	case n > 0:
		return n, nil
	case len(a.rows) > 0:
		return 0, t.differs(a.rows[0], inTarget+" does not have this row")
	case len(b.rows) > 0:
		return 0, t.differs(b.rows[0], inSource+" does not have this row")
	}
	return 0, nil
}

func (t *table) differs(row []any, how string) error {
	return &Difference{What: "table " + t.name, Key: t.shownKey(row), How: how}
}

// how says in which column two rows differ.
func (t *table) how(source, target []any) string {
	for i, c := range t.columns {
		if string(appendValues(nil, source[i])) != string(appendValues(nil, target[i])) {
			return fmt.Sprintf("column %s is %s in %s and %s in %s", c, shown(source[i]), inSource, shown(target[i]), inTarget)
		}
	}
	return "the rows are not equal"
}
