package ratelimit

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// taking calls Take in a goroutine; the channel gets its error.
func taking(b *Budget, octets int) <-chan error {
	got := make(chan error, 1)
	go func() { got <- b.Take(octets) }()
	return got
}

// waits checks, inside a bubble, that a taker has no answer yet.
func waits(t *testing.T, got <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-got:
		t.Fatalf("the taker did not wait: %v", err)
	default:
	}
}

func mustTake(t *testing.T, b *Budget, octets int) {
	t.Helper()
	if err := b.Take(octets); err != nil {
		t.Fatalf("take %d: %v", octets, err)
	}
}

func TestBudgetWaitsForWhatIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Minute)
		mustTake(t, b, 60)
		mustTake(t, b, 40) // exactly full
		got := taking(b, 30)
		waits(t, got)
		b.Give(20) // not yet enough
		waits(t, got)
		b.Give(20)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if b.Held() != 90 {
			t.Errorf("held %d, want 90", b.Held())
		}
	})
}

// TestBudgetServesInTurn: nobody overtakes who came before him, however little he wants.
func TestBudgetServesInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Minute)
		mustTake(t, b, 90)
		first := taking(b, 50)
		waits(t, first)
		second := taking(b, 10) // there is room for it alone
		waits(t, second)
		b.Give(45)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		waits(t, second)
		b.Give(5)
		if err := <-second; err != nil {
			t.Fatal(err)
		}

		// b has 100 of 100. Who gives up stands in nobody's way.
		start := time.Now()
		patient := taking(b, 60)
		waits(t, patient)
		time.Sleep(time.Second)
		next := taking(b, 20)
		b.Give(30)
		waits(t, next)
		if err := <-patient; !errors.Is(err, ErrBudget) {
			t.Fatal(err)
		}
		if err := <-next; err != nil || time.Since(start) != time.Minute {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		if b.Held() != 90 {
			t.Errorf("held %d, want 90", b.Held())
		}
	})
}

func TestBudgetGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Minute)
		mustTake(t, b, 100)
		start := time.Now()
		got := taking(b, 1)
		// What helps nobody does not start the wait anew.
		time.Sleep(50 * time.Second)
		b.Give(0)
		if err := <-got; !errors.Is(err, ErrBudget) {
			t.Fatalf("the taker got %v, want ErrBudget", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("gave up after %v, want a minute", took)
		}
		if b.Held() != 100 {
			t.Errorf("who gave up holds something: %d, want 100", b.Held())
		}
		if !b.Wanted() {
			t.Error("nobody has waited, it says")
		}
		b.Give(100)
		if b.Wanted() {
			t.Error("somebody waits, it says")
		}
		mustTake(t, b, 100)
	})
}

func TestBudgetLetsOneLargerThanAllPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Minute)
		mustTake(t, b, 1000)
		b.Give(1000)

		mustTake(t, b, 10)
		large := taking(b, 1000)
		waits(t, large)
		b.Give(10)
		if err := <-large; err != nil {
			t.Fatal(err)
		}
		small := taking(b, 1)
		waits(t, small)
		b.Give(1000)
		if err := <-small; err != nil {
			t.Fatal(err)
		}
		if b.Held() != 1 {
			t.Errorf("held %d, want 1", b.Held())
		}
	})
}

func TestBudgetWithoutRoomStillServesOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0, time.Hour)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := b.Take(5); err != nil {
					t.Error(err)
					return
				}
				if held := b.Held(); held != 5 {
					t.Errorf("%d octets held at once", held)
				}
				time.Sleep(time.Second)
				b.Give(5)
			})
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("ten in turn took %v", took)
		}
	})
}

func TestBudgetSetLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Minute)
		mustTake(t, b, 100)
		got := taking(b, 50)
		waits(t, got)
		b.SetLimit(150) // who waits sees it at once
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		b.SetLimit(10) // what is held stays held
		if b.Held() != 150 {
			t.Errorf("held %d, want 150", b.Held())
		}
		got = taking(b, 1)
		b.Give(100)
		waits(t, got)
		b.Give(50)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
}

// Fifty who each hold a part while they ask for more than there is cannot be
// stuck for ever: their wait ends, and with it what they hold.
func TestBudgetCannotDeadlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Minute)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				held := 0
				for range 4 {
					if err := b.Take(10); err != nil {
						break
					}
					held += 10
					time.Sleep(time.Millisecond)
				}
				if held > 0 {
					b.Give(held)
				}
			})
		}
		all.Wait()
		if b.Held() != 0 {
			t.Errorf("%d octets left behind", b.Held())
		}
	})
}

// A wake-up that is lost would show as an ErrBudget, since the wait is far
// longer than all work together.
func TestBudgetLosesNoWakeUp(t *testing.T) {
	t.Parallel()
	const limit, takers, rounds = 100, 100, 50
	b := NewBudget(limit, time.Minute)
	var all sync.WaitGroup
	for range takers {
		all.Go(func() {
			for range rounds {
				n := 1 + rand.IntN(limit)
				if err := b.Take(n); err != nil {
					t.Error(err)
					return
				}
				if held := b.Held(); held < n || held > limit {
					t.Errorf("%d octets held, at most %d allowed", held, limit)
				}
				b.Give(n)
			}
		})
	}
	all.Wait()
	if b.Held() != 0 {
		t.Errorf("%d octets left behind", b.Held())
	}
}
