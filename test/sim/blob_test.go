package sim

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

var errBody = errors.New("the body cannot be read for now")

// bodies is a blob.Store that only reads, as one process sees it.
type bodies struct {
	w *world
	p *process
}

var _ blob.Store = bodies{}

// Open implements blob.Store.
func (b bodies) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	text, known := b.w.bodies[id]
	if !known {
		return nil, blob.ErrNotFound
	}
	broken := int64(-1)
	a := b.w.gates.pass(b.p, actor(ctx)+" open", func() answer {
		f := &b.w.faults
		switch {
		case f.off || !b.w.chance(f.body):
			return answer{}
		case b.w.rng.IntN(8) == 0:
			return answer{value: "panic"}
		case b.w.rng.IntN(2) == 0:
			broken = b.w.rng.Int64N(int64(len(text)))
			return answer{}
		}
		return answer{err: errBody}
	})
	switch {
	case a.dead:
		return nil, errDead
	case a.err != nil:
		return nil, a.err
	case a.value == "panic":
		panic("planted by the simulation")
	}
	return &body{Reader: strings.NewReader(text), broken: broken}, nil
}

// body fails from an octet on, if that is not negative.
type body struct {
	*strings.Reader
	broken int64
}

func (b *body) ReadAt(p []byte, at int64) (int, error) {
	if b.broken < 0 || at+int64(len(p)) <= b.broken {
		return b.Reader.ReadAt(p, at)
	}
	if at >= b.broken {
		return 0, errBody
	}
	n, err := b.Reader.ReadAt(p[:b.broken-at], at)
	if err == nil || errors.Is(err, io.EOF) {
		err = errBody
	}
	return n, err
}

func (b *body) Size() int64  { return b.Reader.Size() }
func (b *body) Close() error { return nil }

func (bodies) Create() blob.Writer               { return nil }
func (bodies) Restore(mail.ID) blob.Writer       { return nil }
func (bodies) Drop(...blob.Body)                 {}
func (bodies) Record(*db.Tx, ...blob.Body) error { return nil }
func (bodies) Health() error                     { return nil }
func (bodies) Close() error                      { return nil }
func (bodies) Sweep(context.Context, []blob.Reference) (blob.Swept, error) {
	return blob.Swept{}, nil
}
func (bodies) Check(context.Context, []blob.Reference, func(string)) error { return nil }
