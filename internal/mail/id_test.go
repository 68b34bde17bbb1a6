package mail_test

import (
	"encoding/json"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/mail"
)

func TestIDsAsText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := mail.ID(rapid.Int64Min(0).Draw(t, "a")), mail.ID(rapid.Int64Min(0).Draw(t, "b"))
		for _, text := range []string{a.String(), strings.ToUpper(a.String())} {
			if got, err := mail.ParseID(text); err != nil || got != a {
				t.Errorf("%q gives %d, %v; want %d", text, got, err, a)
			}
		}
		if (a < b) != (a.String() < b.String()) {
			t.Errorf("%d and %d are not in the order of %s and %s", a, b, a, b)
		}
	})
	var back struct{ ID mail.ID }
	text, err := json.Marshal(struct{ ID mail.ID }{math.MaxInt64})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil || back.ID != math.MaxInt64 {
		t.Errorf("%s gives %d, %v", text, back.ID, err)
	}
}

func TestTextsThatAreNoID(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "0", "000000000000", "00000000000000", "8000000000000", "g000000000000", "h000000000000", "q000000000000", "zzzzzzzzzzzzz",
		"000000000000i", "000000000000l", "000000000000o", "000000000000u", "000000000000-", "00000000000 0",
		"\u212a0000000000", "\u0130000000000\x000",
	} {
		if id, err := mail.ParseID(in); err == nil {
			t.Errorf("%q was taken as %d", in, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0123456789abc")
	f.Add("\u212a0000000000")
	f.Fuzz(func(t *testing.T, in string) {
		if id, err := mail.ParseID(in); err == nil && (id < 0 || id.String() != strings.ToLower(in)) {
			t.Errorf("%q gives %d, which is %s", in, id, id)
		}
	})
}

func TestIDsGrow(t *testing.T) {
	t.Parallel()
	g := mail.NewIDs(7, 0)
	var mu sync.Mutex
	seen := map[mail.ID]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			last := mail.ID(0)
			for range 5000 {
				id := g.Next()
				if id <= last {
					t.Errorf("%v came after %v", id, last)
				}
				last = id
				mu.Lock()
				if seen[id] {
					t.Errorf("%v came twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestIDsTellTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)))
		g := mail.NewIDs(255, 0)
		a, b := g.Next(), g.Next()
		if now := time.Now(); !a.Time().Equal(now) || a < mail.FirstID(now) || b <= a {
			t.Errorf("%v and %v, made at %v, tell %v", a, b, now, a.Time())
		}
		<-time.After(time.Millisecond)
		if c := g.Next(); c < mail.FirstID(time.Now()) || b >= mail.FirstID(time.Now()) {
			t.Errorf("%v is not within its millisecond", c)
		}
		if old := mail.FirstID(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); old != 0 {
			t.Errorf("before the epoch: %v", old)
		}
	})
}

// A bubble's clock begins in the year 2000, which is a clock that stepped back
// by decades from any id of today.
func TestIDsGrowWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	known := mail.NewIDs(200, 0).Next()
	synctest.Test(t, func(t *testing.T) {
		for _, node := range []uint8{0, 200, 255} {
			g := mail.NewIDs(node, known)
			last := known
			for range 100_000 { // more than a millisecond has room for
				id := g.Next()
				if id <= last {
					t.Fatalf("node %d: %v came after %v", node, id, last)
				}
				last = id
			}
		}
	})
}

func TestNodesMakeDifferentIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
		seen := map[mail.ID]bool{}
		for node := range 256 {
			g := mail.NewIDs(uint8(node), 0)
			for range 100 {
				if id := g.Next(); seen[id] {
					t.Fatalf("%v came twice", id)
				} else {
					seen[id] = true
				}
			}
		}
	})
}

func TestMicros(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Microsecond)
	if got := mail.FromMicros(mail.Micros(now)); !got.Equal(now) || got.Location() != time.UTC {
		t.Errorf("%v became %v", now, got)
	}
}
