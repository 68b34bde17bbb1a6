package feedback

import (
	"context"
	"sync"

	"github.com/hayauma/hayauma/internal/mail"
)

// turns let reports on one message be noted one after the other, so that each sees
// what those before it said.
type turns struct {
	mu   sync.Mutex
	busy map[mail.ID]chan struct{} // closed when the turn ends
}

// take waits for its turn; end must be called once.
func (t *turns) take(ctx context.Context, message mail.ID) (end func(), err error) {
	for {
		t.mu.Lock()
		before, taken := t.busy[message]
		if !taken {
			mine := make(chan struct{})
			t.busy[message] = mine
			t.mu.Unlock()
			return func() { t.end(message, mine) }, nil
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (t *turns) end(message mail.ID, mine chan struct{}) {
	t.mu.Lock()
	delete(t.busy, message)
	t.mu.Unlock()
	close(mine)
}
