package dnsx

import (
	"context"
	"testing"
)

// TestAnAnswerThatIsHereCounts: whoever gives up does not draw lots for it.
func TestAnAnswerThatIsHereCounts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		f := &flight{done: make(chan struct{})}
		close(f.done)
		if e := (inquiry{flight: f}).wait(ctx); e.err != nil {
			t.Fatalf("an answer that was there: %v", e.err)
		}
	}
}
