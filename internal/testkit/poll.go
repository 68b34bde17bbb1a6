package testkit

import (
	"testing"
	"time"
)

// pollEvery is the pause between two looks of Eventually.
const pollEvery = 5 * time.Millisecond

// Eventually looks at done until it is true and fails the test when that has
// not happened within limit. It is for what gives no signal to wait for, such
// as a log line or a file of another process; where a channel or a Wait method
// exists, use that. what completes the sentence "waited 5s for ...".
func Eventually(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end.C:
			if done() {
				return
			}
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}
