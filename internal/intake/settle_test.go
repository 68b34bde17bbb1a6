package intake_test

import (
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/test/stack"
)

// slow is a Settler whose sync lasts as long as a test says, and may fail.
type slow struct {
	blob.Settler
	sync  chan error // what it comes to
	asked chan struct{}
}

func (s slow) Settle(bodies []*blob.Body) (func() error, error) {
	durable, err := s.Settler.Settle(bodies)
	if err != nil {
		return nil, err
	}
	if err := durable(); err != nil {
		return nil, err
	}
	s.asked <- struct{}{}
	return sync.OnceValue(func() error { return <-s.sync }), nil
}

func slowStack(t *testing.T) (*stack.Stack, slow) {
	t.Helper()
	w := slow{sync: make(chan error, 10), asked: make(chan struct{}, 10)}
	s := stack.New(t, stack.Options{Blobs: func(b blob.Store) blob.Store {
		settler, ok := b.(blob.Settler)
		if !ok {
			t.Skip("the store makes bodies durable one by one")
		}
		w.Settler = settler
		return &w
	}})
	s.Account("alice@hayauma.test", 0)
	return s, w
}

// TestBodiesBeforeRows: a message whose body did not become durable is not accepted, and
// leaves nothing.
func TestBodiesBeforeRows(t *testing.T) {
	t.Parallel()
	s, w := slowStack(t)
	w.sync <- blob.ErrSealed
	r := finish(t, begin(t, s, "alice@hayauma.test", "x@elsewhere.test"), hello)
	want(t, r, "451 4.3.0")
	wantCopies(t, s, 0, "alice@hayauma.test")
	if q := s.Queued(); len(q) != 0 {
		t.Errorf("queue: %+v", q)
	}
	if got := s.Events(r.ID.String()); got != "" {
		t.Errorf("events: %s", got)
	}
	if len(w.asked) != 1 {
		t.Errorf("settled %d times: a sync that failed is not tried again", len(w.asked))
	}
	w.sync <- nil
	want(t, finish(t, begin(t, s, "alice@hayauma.test"), hello), "250")
	wantCopies(t, s, 1, "alice@hayauma.test")
}

// TestNothingBeforeTheSync: nobody sees a message before its body is durable.
func TestNothingBeforeTheSync(t *testing.T) {
	t.Parallel()
	s, w := slowStack(t)
	done := make(chan struct{})
	tx := begin(t, s, "alice@hayauma.test")
	go func() {
		defer close(done)
		want(t, finish(t, tx, hello), "250")
	}()
	<-w.asked
	select {
	case <-done:
		t.Error("it is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	wantCopies(t, s, 0, "alice@hayauma.test")
	w.sync <- nil
	<-done
	wantCopies(t, s, 1, "alice@hayauma.test")
}
