package ban

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db/dbtest"
)

// consistent checks the counts of a list at rest against what it holds.
func consistent(t *testing.T, l *List) {
	t.Helper()
	bans, harmless := 0, 0
	for k, r := range l.records.byKey {
		if r.busy() || r.key != k || (r.ban != nil) == (r.place != nil) {
			t.Fatalf("%v: %+v", k, r)
		}
		if r.ban != nil {
			bans++
		} else {
			harmless++
		}
	}
	if bans != l.records.bans || harmless != l.records.harmless.Len() || bans > maxBans || harmless > maxHarmless || l.slow != 0 {
		t.Errorf("%d bans, counted %d; %d harmless, counted %d; %d wait", bans, l.records.bans, harmless, l.records.harmless.Len(), l.slow)
	}
}

// flood is an attacker with many networks, who fails n times in each.
func flood(t *testing.T, l *List, networks, n int, name string) {
	t.Helper()
	for i := range networks {
		peer := netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 16), byte(i >> 8), byte(i)})
		for range n {
			end, err := l.Begin(t.Context(), Attempt{Name: fmt.Sprint(name, i), Peer: peer})
			if err != nil {
				t.Fatal(err)
			}
			end(t.Context(), Failure)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{DB: dbtest.NewEmbedded(t, Schema()), Limit: 3, Logger: slog.New(slog.DiscardHandler)})
		banned := Attempt{Name: "taro@e.test", Peer: netip.MustParseAddr("192.0.2.7")}
		for range 3 {
			end, err := l.Begin(t.Context(), banned)
			if err != nil {
				t.Fatal(err)
			}
			end(t.Context(), Failure)
		}
		flood(t, l, maxHarmless, 1, "user")
		consistent(t, l)
		if _, err := l.Begin(t.Context(), banned); err == nil {
			t.Error("failures pushed a ban out")
		}
		<-time.After(window + time.Minute)
		flood(t, l, 1, 1, "user")
		consistent(t, l)
		if n := len(l.records.byKey); n != 4 { // the ban; a pair and its two networks
			t.Errorf("%d records after the rest is over", n)
		}
	})
}

func TestBansAreBounded(t *testing.T) {
	t.Parallel()
	l := New(Options{Limit: limitOfTests, Logger: slog.New(slog.DiscardHandler)})
	now := time.Now()
	for i := range maxBans + 1000 {
		k := key{fmt.Sprint("user", i), netip.MustParsePrefix("192.0.2.7/32")}
		l.records.convict(l.records.get(k, 0), &sentence{count: 1, began: now, until: now.Add(time.Hour + time.Duration(i))})
		if i > maxBans && i%100 == 0 {
			consistent(t, l)
		}
	}
	consistent(t, l)
	if l.records.byKey[key{"user999", netip.MustParsePrefix("192.0.2.7/32")}] != nil {
		t.Error("the ban that ends first must go first")
	}
}

const limitOfTests = 20

// Random names and networks without failures leave nothing behind.
func TestNothingIsLeftOfWhoIsRight(t *testing.T) {
	t.Parallel()
	l := New(Options{DB: dbtest.New(t, Schema()), Limit: limitOfTests, Logger: slog.New(slog.DiscardHandler)})
	for i := range 100 {
		a := Attempt{Name: fmt.Sprint("user", i), Peer: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
		end, err := l.Begin(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		end(t.Context(), Outcome(i%2))
	}
	if len(l.records.byKey) != 0 || len(l.noted) != 50 {
		t.Errorf("%d records, %d noted", len(l.records.byKey), len(l.noted))
	}
	for i := range maxNoted + 10 {
		l.noted[key{name: fmt.Sprint(i)}] = time.Now()
	}
	end, err := l.Begin(t.Context(), Attempt{Name: "x", Peer: netip.MustParseAddr("10.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	end(context.Background(), Success)
	if len(l.noted) != 1 {
		t.Errorf("%d noted", len(l.noted))
	}
}

// A tally answers like a list of all failures by the minute.
func TestTally(t *testing.T) {
	t.Parallel()
	var tl tally
	type failure struct {
		minute int64
		first  bool
	}
	var all []failure
	for i, at := range []time.Duration{0, 1, 59, 60, 61, 600, 601, 700, 719, 720, 1320, 1400, 5000, 5001, 5660, 99999} {
		now := at * time.Second
		first := i%3 == 0
		tl.advance(now)
		tl.add(first)
		all = append(all, failure{int64(now / time.Minute), first})
		points := func(minute int64) (firsts, repeats int) {
			for _, f := range all {
				if minute-f.minute < minutes && f.first {
					firsts++
				} else if minute-f.minute < minutes {
					repeats++
				}
			}
			return firsts, repeats
		}
		firsts, repeats := points(tl.minute)
		if f, r := tl.sums(); f != firsts || r != repeats || tl.failures() != f+r || tl.points() != r+(f+4)/5 {
			t.Errorf("at %v: %d and %d, want %d and %d", now, f, r, firsts, repeats)
		}
		for n := 1; n < 5; n++ {
			want := tl.minute
			for f, r := points(want); r+(f+4)/5 >= n; f, r = points(want) {
				want++
			}
			if got := tl.below(n); got != time.Duration(want)*time.Minute {
				t.Errorf("at %v below %d at %v, want minute %d", now, n, got, want)
			}
		}
	}
}
