package dnsx

import (
	"context"
	"testing"

	"golang.org/x/sync/singleflight"
)

// TestAnAnswerThatIsHereCounts: whoever gives up does not draw lots for it.
func TestAnAnswerThatIsHereCounts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		flight := make(chan singleflight.Result, 1)
		flight <- singleflight.Result{Val: entry{}}
		if e := (inquiry{flight: flight}).wait(ctx); e.err != nil {
			t.Fatalf("an answer that was there: %v", e.err)
		}
	}
}
