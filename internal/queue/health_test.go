package queue

import (
	"context"
	"errors"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	f := &failing{DB: w.db}
	w.db = f
	w.open(deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		f.set(errDown)
		return all(job, delivered)
	}))
	if err := w.q.Health(); !errors.Is(err, errNotRecovered) {
		t.Errorf("before it runs: %v", err)
	}
	w.run()
	if err := w.q.Health(); err != nil {
		t.Errorf("at work: %v", err)
	}
	w.insert(w.message("a@x.test"))
	w.eventually("the lost result to be told", func() bool { return errors.Is(w.q.Health(), errStuck) })
	w.eventually("a queue that is well", func() bool {
		f.set(nil)
		return w.q.Health() == nil && w.empty()
	})
}
