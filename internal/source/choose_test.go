package source_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/source"
)

// TestRules: a tag goes before the account, that before the stream, the tenant and
// everyone.
func TestRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.ForSender(sender(7, "main", "bulk")); got != "" {
		t.Errorf("without pools: %q", got)
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		w.pool(source.Pool{Name: name})
	}
	if got := w.ForSender(sender(7, "main", "bulk")); got != "" {
		t.Errorf("without rules: %q", got)
	}
	w.rule(source.Tag, "bulk", "a")
	w.rule(source.Tag, "news", "b")
	w.rule(source.Account, mail.ID(7).String(), "c")
	w.rule(source.Stream, "receipts", "d")
	w.rule(source.Tenant, mail.ID(1).String(), "e")
	for range 2 {
		for _, c := range []struct {
			from source.Sender
			want string
		}{
			{sender(7, "receipts", "bulk"), "a"}, {sender(7, "receipts", "other", "news", "bulk"), "b"},
			{sender(7, "receipts", "other"), "c"}, {sender(8, "receipts"), "d"}, {sender(8, "main"), "e"},
			{source.Sender{}, ""},
		} {
			if got := w.ForSender(c.from); got != c.want {
				t.Errorf("%+v: %q, want %q", c.from, got, c.want)
			}
		}
		w.restart()
	}
	w.rule(source.Everyone, "", "f")
	if got := w.For(&queue.Message{Stream: "main", Tenant: 2}); got != "f" {
		t.Errorf("everyone: %q", got)
	}
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return w.Erase(tx, 7) }))
	for range 2 {
		if got := w.ForSender(sender(7, "receipts")); got != "d" {
			t.Errorf("the account is gone, its rule leads to %q", got)
		}
		w.restart()
	}
	var order []string
	for _, r := range w.Rules() {
		order = append(order, string(r.Kind)+" "+r.Name)
	}
	if got := strings.Join(order, ", "); got != "tag bulk, tag news, stream receipts, tenant "+mail.ID(1).String()+", everyone " {
		t.Errorf("listed: %s", got)
	}
}

// TestWeights: connections are shared by weight, and by family.
func TestWeights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chance = rand.New(rand.NewPCG(1, 2)).IntN
	w.pool(source.Pool{Name: "p"}, source.Addition{Address: "192.0.2.7", Weight: new(3)}, source.Addition{Address: "192.0.2.8", Weight: new(1)},
		source.Addition{Address: "2001:db8::7", Weight: new(100)})
	got := map[string]int{}
	for range 4000 {
		got[w.choose("p")]++
	}
	if n := got["192.0.2.7"]; n < 2900 || n > 3100 || got["192.0.2.8"] != 4000-n {
		t.Errorf("shares of 4000: %v", got)
	}
	a, err := w.Choose("p", google, netip.MustParseAddr("2001:db8::1"), netip.Addr{})
	if err != nil || a.Addr.String() != "2001:db8::7" {
		t.Errorf("for IPv6: %v, %v", a, err)
	}
	if own, _ := w.Families("p", google); !own.Four || !own.Six {
		t.Errorf("families %+v", own)
	}
	w.must(w.RemoveAddress(t.Context(), "2001:db8::7"))
	if own, _ := w.Families("p", google); own.Six {
		t.Error("there is no IPv6 address any more")
	}
	if _, err := w.Choose("p", google, netip.MustParseAddr("2001:db8::1"), netip.Addr{}); err == nil {
		t.Error("an address for IPv6 where there is none")
	}
}

// TestWished: the address that is wished for is given while it is able, whatever the weights.
func TestWished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "old"}, source.Addition{Address: "192.0.2.1"})
	w.pool(source.Pool{Name: "p", Overflow: "old", WarmUp: []int{10}}, source.Addition{Address: "192.0.2.7", Weight: new(100)},
		source.Addition{Address: "192.0.2.8"}, source.Addition{Address: "192.0.2.9", WarmUp: new(true)})
	want := func(wished, want string) {
		t.Helper()
		if a, err := w.Choose("p", google, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr(wished)); err != nil || a.Addr.String() != want {
			t.Errorf("%s is wished for, got %v, %v; want %s", wished, a.Addr, err, want)
		}
	}
	want("192.0.2.8", "192.0.2.8")
	want("192.0.2.9", "192.0.2.9")
	want("192.0.2.1", "192.0.2.7") // of the overflow, for which there is no need
	want("192.0.2.99", "192.0.2.7")
	want("2001:db8::7", "192.0.2.7")
	w.Broken(netip.MustParseAddr("192.0.2.8"), "cannot assign requested address")
	want("192.0.2.8", "192.0.2.7")
	w.send("192.0.2.9", 10)
	want("192.0.2.9", "192.0.2.7")
	w.must(w.RemoveAddress(t.Context(), "192.0.2.7"))
	want("192.0.2.1", "192.0.2.1")
}

// TestBroken: an address that the machine does not have is left out for a while.
func TestBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "p"}, source.Addition{Address: "192.0.2.7"}, source.Addition{Address: "192.0.2.8"})
	w.Broken(netip.MustParseAddr("192.0.2.7"), "cannot assign requested address")
	if got := w.choose("p"); got != "192.0.2.8" {
		t.Errorf("beside a broken one: %s", got)
	}
	w.Broken(netip.MustParseAddr("192.0.2.8"), "cannot assign requested address")
	if got := w.choose("p"); !strings.HasPrefix(got, "451 4.4.4 No source address of the pool p can be used on this machine: 192.0.2.7: cannot") {
		t.Errorf("all broken: %s", got)
	}
	w.pass(5 * time.Minute)
	if got := w.choose("p"); got != "192.0.2.7" {
		t.Errorf("later: %s", got)
	}
	w.lacks["192.0.2.9"] = errors.New("cannot assign requested address")
	if err := w.add(source.Addition{Pool: "p", Address: "192.0.2.9"}); err == nil || !strings.Contains(err.Error(), "this machine cannot send from 192.0.2.9") {
		t.Errorf("an address that it lacks: %v", err)
	}
}

// TestBrokenAndSpent: while one address has sent what its day allows and the other is
// broken, mail waits for the first that may come back, and is told both.
func TestBrokenAndSpent(t *testing.T) {
	t.Parallel()
	const (
		spent  = "The source addresses of the pool p have sent what their warm-up allows to google.com today: 1; more at 2026-03-11 00:00 UTC"
		broken = "; others cannot be used on this machine: 192.0.2.12: cannot assign requested address"
	)
	for _, c := range []struct {
		name   string
		clock  time.Duration // behind 08:00
		repair time.Duration // behind the fault
		want   string
		wait   time.Duration
	}{
		{"at once", 0, 0, spent + broken, 5 * time.Minute},
		{"two minutes later", 0, 2 * time.Minute, spent + broken, 3 * time.Minute},
		{"just before midnight", 16*time.Hour - time.Minute, 0, spent + broken, time.Minute},
	} {
		w := newWorld(t)
		w.pass(c.clock)
		w.pool(source.Pool{Name: "p", WarmUp: []int{1, 2}}, source.Addition{Address: "192.0.2.11", WarmUp: new(true)}, source.Addition{Address: "192.0.2.12"})
		w.send("192.0.2.11", 1)
		w.Broken(netip.MustParseAddr("192.0.2.12"), "cannot assign requested address")
		w.pass(c.repair)
		err := w.Ready("p", google)
		none, ok := errors.AsType[*source.None](err)
		if !ok || none.Wait != c.wait || none.Fault.Public != c.want {
			t.Errorf("%s: %v\n%+v", c.name, err, none)
		}
	}
}

// TestRefused: what makes no sense is not set.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.pool(source.Pool{Name: "p"}, source.Addition{Address: "192.0.2.7"})
	w.pool(source.Pool{Name: "q", Overflow: "p"})
	w.rule(source.Everyone, "", "q")
	for what, err := range map[string]error{
		"no name":                    w.set(source.PoolChange{}),
		"a space in the name":        w.set(source.PoolChange{Name: "a b"}),
		"itself as overflow":         w.set(source.PoolChange{Name: "p", Overflow: new("p")}),
		"an overflow that is none":   w.set(source.PoolChange{Name: "p", Overflow: new("x")}),
		"a day of no messages":       w.set(source.PoolChange{Name: "p", WarmUp: new("50 0")}),
		"two pools":                  w.add(source.Addition{Pool: "q", Address: "::ffff:192.0.2.7", Weight: new(1)}),
		"no pool":                    w.add(source.Addition{Pool: "x", Address: "192.0.2.8", Weight: new(1)}),
		"no address":                 w.add(source.Addition{Pool: "p", Address: "192.0.2.0/24", Weight: new(1)}),
		"every address":              w.add(source.Addition{Pool: "p", Address: "0.0.0.0", Weight: new(1)}),
		"a zone":                     w.add(source.Addition{Pool: "p", Address: "fe80::1%eth0", Weight: new(1)}),
		"no weight":                  w.add(source.Addition{Pool: "p", Address: "192.0.2.8", Weight: new(0)}),
		"a bad EHLO name":            w.add(source.Addition{Pool: "p", Address: "192.0.2.8", Weight: new(1), EHLO: new("a b")}),
		"a pool with a rule":         w.RemovePool(ctx, "q"),
		"a pool that takes overflow": w.RemovePool(ctx, "p"),
		"removing what is not there": w.RemoveAddress(ctx, "192.0.2.99"),
		"a rule to nowhere":          w.SetRule(ctx, source.Rule{Kind: source.Tag, Name: "x", Pool: "x"}),
		"a rule of no kind":          w.SetRule(ctx, source.Rule{Kind: "color", Name: "red", Pool: "p"}),
		"a rule for no tag":          w.SetRule(ctx, source.Rule{Kind: source.Tag, Pool: "p"}),
		"a name for everyone":        w.SetRule(ctx, source.Rule{Kind: source.Everyone, Name: "x", Pool: "p"}),
	} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	had, err := w.RemoveRule(ctx, source.Rule{Kind: source.Everyone})
	if !had || err != nil {
		t.Errorf("the rule was there: %v %v", had, err)
	}
	w.must(w.RemovePool(ctx, "q"))
	w.must(w.RemovePool(ctx, "p"))
	if w.Pools() != nil {
		t.Error("pools are left")
	}
}

// TestOneChange: what is said of a pool or an address changes that alone; a warm-up goes on
// until its end is said.
func TestOneChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "main"})
	w.pool(source.Pool{Name: "news", Overflow: "main", WarmUp: []int{10, 20}})
	w.must(w.add(source.Addition{Pool: "news", Address: "192.0.2.7", EHLO: new("news.one.test"), Weight: new(5), WarmUp: new(true)}))
	w.send("192.0.2.7", 4)
	for _, c := range []struct {
		name  string
		do    func() error
		holds string
	}{
		{"the schedule", func() error { return w.set(source.PoolChange{Name: "news", WarmUp: new("20 50")}) }, "main 20 50; news.one.test 5 warming, 4 sent"},
		{"nothing of the pool", func() error { return w.set(source.PoolChange{Name: "news"}) }, "main 20 50; news.one.test 5 warming, 4 sent"},
		{"the weight", func() error { return w.add(source.Addition{Pool: "news", Address: "192.0.2.7", Weight: new(2)}) }, "main 20 50; news.one.test 2 warming, 4 sent"},
		{"a warm-up that is under way", func() error {
			return w.add(source.Addition{Pool: "news", Address: "192.0.2.7", WarmUp: new(true)})
		}, "main 20 50; news.one.test 2 warming, 4 sent"},
		{"the name", func() error {
			return w.add(source.Addition{Pool: "news", Address: "192.0.2.7", EHLO: new("")})
		}, "main 20 50;  2 warming, 4 sent"},
		{"no overflow", func() error { return w.set(source.PoolChange{Name: "news", Overflow: new("")}) }, " 20 50;  2 warming, 4 sent"},
		{"the usual schedule", func() error { return w.set(source.PoolChange{Name: "news", WarmUp: new("")}) }, " ;  2 warming, 4 sent"},
		{"the end of the warm-up", func() error {
			return w.add(source.Addition{Pool: "news", Address: "192.0.2.7", WarmUp: new(false)})
		}, " ;  2 warmed, 0 sent"},
	} {
		w.must(c.do())
		for range 2 {
			if got := w.holds("news"); got != c.holds {
				t.Errorf("%s: %s, want %s", c.name, got, c.holds)
			}
			w.restart()
		}
	}
}

// holds tells what is set of a pool and its only address.
func (w *world) holds(pool string) string {
	w.t.Helper()
	var p source.Pool
	for _, p = range w.Pools() {
		if p.Name == pool {
			break
		}
	}
	a, state, sent := p.Addresses[0], "warmed", 0
	if a.Since > 0 {
		state = "warming"
	}
	for _, plan := range w.plans(pool) {
		sent += plan.Sent
	}
	return fmt.Sprintf("%s %s; %s %d %s, %d sent", p.Overflow, source.FormatWarmUp(p.WarmUp), a.EHLO, a.Weight, state, sent)
}

func (w *world) plans(pool string) []source.Plan {
	w.t.Helper()
	out, err := w.Plans(pool, 0)
	w.must(err)
	return out
}

// TestOverflowOfAnotherFamily: the overflow's families count while the pool itself can send
// nothing; a connection from one of its addresses takes no more once the pool itself can.
func TestOverflowOfAnotherFamily(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "main"}, source.Addition{Address: "2001:db8::7"}, source.Addition{Address: "192.0.2.8"})
	w.pool(source.Pool{Name: "news", Overflow: "main", WarmUp: []int{2, 4}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)})
	both, four := source.Families{Four: true, Six: true}, source.Families{Four: true}
	want := func(when string, own source.Families, main4 bool) {
		t.Helper()
		if got, all := w.Families("news", google); got != own || all != both {
			t.Errorf("%s: families %+v of %+v, want %+v", when, got, all, own)
		}
		for addr, fits := range map[string]bool{"2001:db8::7": true, "192.0.2.8": main4} {
			if got := w.Fits("news", google, netip.MustParseAddr(addr)); got != fits {
				t.Errorf("%s: %s takes one more: %v", when, addr, got)
			}
		}
	}
	want("at first", four, false)
	w.send("192.0.2.7", 2)
	want("when the day is spent", both, true)
	w.pass(24 * time.Hour)
	want("on the next day", four, false)
	w.Broken(netip.MustParseAddr("192.0.2.7"), "cannot assign requested address")
	want("when it is broken", both, true)
	w.pass(5 * time.Minute)
	want("later", four, false)
}
