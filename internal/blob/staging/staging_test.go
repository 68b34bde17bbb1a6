package staging

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
)

var errFull = errors.New("full")

// budget is a Memory with a limit.
type budget struct{ held, most, limit int }

func (b *budget) Take(n int) error {
	if b.held+n > b.limit {
		return errFull
	}
	b.held += n
	b.most = max(b.most, b.held)
	return nil
}

func (b *budget) Give(n int) { b.held -= n }

// store is the Owner of one body and its Large.
type store struct {
	t      *testing.T
	octets []byte
	short  bool // the last block that came was not full
	fails  error
}

func (s *store) StartLarge() (Large, error) { return s, nil }

func (s *store) Append(blocks ...[]byte) error {
	if s.fails != nil {
		return s.fails
	}
	for _, b := range blocks {
		if s.short || len(b) == 0 {
			s.t.Errorf("a block of %d octets follows one that was not full", len(b))
		}
		s.short = len(b) < BlockLen
		s.octets = append(s.octets, b...)
	}
	return nil
}

func (s *store) ReadAt(p []byte, off int64) (int, error) {
	return copy(p[:min(len(p), 1000)], s.octets[off:]), nil
}

// TestBody writes bodies of many lengths in pieces of any size, and reads each
// in between and at the end.
func TestBody(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	octets := make([]byte, blob.InMemory+10*BlockLen)
	for i := range octets {
		octets[i] = byte(r.Uint32())
	}
	sizes := []int{
		0, 1, SmallLen - 1, SmallLen, SmallLen + 1, BlockLen, BlockLen + 1, 3*BlockLen + 5, blob.InMemory,
		blob.InMemory + 1, blob.InMemory + BlockLen, blob.InMemory + 4*BlockLen, len(octets),
	}
	for _, gather := range []int{0, 1, 4} {
		for _, size := range sizes {
			for _, piece := range []int{700, SmallLen, BlockLen + 1, blob.InMemory, size + 1} {
				m := &budget{limit: 1 << 30}
				writeAndRead(t, &Area{Memory: m, Gather: gather}, octets[:size], func() int { return 1 + r.IntN(piece) })
				if m.held != 0 || m.most > blob.InMemory+SmallLen {
					t.Errorf("a body of %d octets held %d, then %d", size, m.most, m.held)
				}
			}
		}
	}
}

func writeAndRead(t *testing.T, a *Area, want []byte, piece func() int) {
	t.Helper()
	s := &store{t: t}
	var b Body
	b.Init(a, s)
	same := func(n int) {
		t.Helper()
		r, err := b.Reader()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want[:n]) {
			t.Fatalf("%d octets read of %d written: %v", len(got), n, err)
		}
	}
	look := rand.IntN(len(want) + 1)
	for at := 0; at < len(want); {
		p := want[at:min(len(want), at+piece())]
		n, err := b.Write(p)
		if err != nil || n != len(p) {
			t.Fatal(n, err)
		}
		if at += n; at >= look {
			same(at)
			look = len(want) + 1
		}
	}
	if b.Size() != int64(len(want)) {
		t.Errorf("size %d of %d", b.Size(), len(want))
	}
	same(len(want))
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	got := s.octets
	for _, block := range b.Blocks() {
		got = append(got, block...)
	}
	if large := len(want) > blob.InMemory; !bytes.Equal(got, want) || large != (len(s.octets) > 0) {
		t.Errorf("%d octets kept of %d, %d of them large", len(got), len(want), len(s.octets))
	}
	b.Release()
	if b.Abort() {
		t.Error("a finished body could be aborted")
	}
}

// TestEnded: nothing can be done with a body that has ended.
func TestEnded(t *testing.T) {
	t.Parallel()
	var b Body
	b.Init(&Area{}, &store{t: t})
	if !b.Abort() || b.Abort() {
		t.Error("a body is not aborted just once")
	}
	_, werr := b.Write([]byte("x"))
	_, rerr := b.Reader()
	if ferr := b.Finish(); !errors.Is(werr, ErrEnded) || !errors.Is(rerr, ErrEnded) || !errors.Is(ferr, ErrEnded) {
		t.Error(werr, rerr, ferr)
	}
}

// TestFailures: the first error stays, and nothing stays charged.
func TestFailures(t *testing.T) {
	t.Parallel()
	sad := errors.New("sad")
	for name, c := range map[string]struct {
		limit int
		fails error
		want  error
	}{
		"no memory at first": {0, nil, errFull},
		"no memory later":    {3 * BlockLen, nil, errFull},
		"no room":            {1 << 30, sad, sad},
	} {
		m := &budget{limit: c.limit}
		var b Body
		b.Init(&Area{Memory: m}, &store{t: t, fails: c.fails})
		var err error
		for range 30 {
			_, err = b.Write(make([]byte, BlockLen))
		}
		m.limit = 1 << 30
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.Finish(); !errors.Is(err, c.want) {
			t.Errorf("%s: finish: %v", name, err)
		}
		if !b.Abort() || m.held != 0 {
			t.Errorf("%s: %d octets stay charged", name, m.held)
		}
	}
}

// TestDisown: the octets outlive the budget.
func TestDisown(t *testing.T) {
	t.Parallel()
	m := &budget{limit: 1 << 30}
	a := &Area{Memory: m}
	var b Body
	b.Init(a, &store{t: t})
	if _, err := b.Write([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	blocks := b.Blocks()
	b.Disown()
	var next Body
	next.Init(a, &store{t: t})
	if _, err := next.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	if string(blocks[0]) != "kept" || m.held != SmallLen {
		t.Errorf("%q, %d octets charged", blocks[0], m.held)
	}
}
