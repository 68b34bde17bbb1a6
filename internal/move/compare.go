package move

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// verifyBodies reads all bodies from both sides.
func (m *mover) verifyBodies(ctx context.Context) error {
	s, err := m.step(ctx, "verify bodies")
	if err != nil {
		return err
	}
	h, err := resumeHash(s)
	if err != nil {
		return err
	}
	after, err := bodyKey(s.after)
	if err != nil {
		return err
	}
	for n := 1; s.state != ended; n++ {
		ids, err := m.bodies(ctx, after)
		if err != nil {
			return err
		}
		sums, done, err := m.compareBatch(ctx, ids)
		if err != nil {
			return err
		}
		if done > 0 {
			after = ids[done-1]
			s.after = appendValues(nil, int64(after))
		}
		for _, b := range sums {
			_, _ = h.Write(appendValues(nil, int64(b.id), b.size, b.sum[:])) // a hash never fails
			s.done++
			s.octets += b.size
		}
		if len(ids) == 0 {
			s.state = ended
		}
		if s.state == ended || n%saveEvery == 0 {
			if err := m.saveVerified(ctx, s, h); err != nil {
				return err
			}
		}
		m.tell(s)
	}
	m.report.Bodies = Bodies{Count: s.done, Octets: s.octets, SHA256: digestOf(h)}
	return nil
}

// summed is a body that is equal on both sides.
type summed struct {
	id   mail.ID
	size int64
	sum  [sha256.Size]byte
}

// compareBatch compares bodies and returns how many ids at the start are done
// with; those that are known to be damaged have no sum.
func (m *mover) compareBatch(ctx context.Context, ids []mail.ID) ([]summed, int, error) {
	good, err := m.undamaged(ctx, ids)
	if err != nil {
		return nil, 0, err
	}
	all := make([]summed, len(good))
	n, err := m.each(ctx, good, func(ctx context.Context, i int, buf []byte) (int64, error) {
		a, err := m.sum(ctx, m.o.From.Blobs, good[i], buf)
		if err != nil {
			return 0, fmt.Errorf("read body %s of %s: %w", good[i], inSource, err)
		}
		b, err := m.sum(ctx, m.o.To.Blobs, good[i], buf)
		switch {
		case isDamage(err):
			return 0, &Difference{What: "body", Key: good[i].String(), How: fmt.Sprintf("%s cannot give it: %v", inTarget, err)}
		case err != nil:
			return 0, fmt.Errorf("read body %s of %s: %w", good[i], inTarget, err)
		case a != b:
			return 0, &Difference{What: "body", Key: good[i].String(),
				How: fmt.Sprintf("%d octets with SHA-256 %x in %s, %d with %x in %s", a.size, a.sum, inSource, b.size, b.sum, inTarget)}
		}
		all[i] = a
		return a.size, nil
	})
	if err != nil {
		return nil, 0, err
	}
	if n == len(good) {
		return all, len(ids), nil
	}
	// The batch had enough: what was worked on ends before the next good one.
	done := 0
	for done < len(ids) && ids[done] < good[n] {
		done++
	}
	return all[:n], done, nil
}

// sum reads a body.
func (m *mover) sum(ctx context.Context, s blob.Store, id mail.ID, buf []byte) (b summed, err error) {
	r, held, err := m.open(ctx, s, id)
	if err != nil {
		return b, err
	}
	defer m.memory.give(held)
	h := sha256.New()
	b.id = id
	b.size, err = io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(r, 0, r.Size()), buf)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	copy(b.sum[:], h.Sum(nil))
	return b, err
}
