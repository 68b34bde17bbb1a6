package ban_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/account/ban"
)

// The scenarios run in a bubble, so that their days take no time.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name string
		run  func(r *rig)
	}{
		{"delays grow, then comes a ban", delaysGrow},
		{"bans grow with repetition", bansGrow},
		{"a victim is free from elsewhere", victimIsFree},
		{"a known pair is only slowed down", knownIsSlowed},
		{"a pair is known for thirty days", knownForThirtyDays},
		{"a success makes a pair start afresh", successForgives},
		{"failures that are far apart have no consequence", slowFailures},
		{"many users behind one address who mistype once", mistypingOffice},
		{"a network that guesses names is stopped, those known there are not", sprayer},
		{"known accounts raise what their network may do", knownOffice},
		{"many networks of one provider", manyNetworks},
		{"a unix socket is never counted", unixSocket},
		{"behind a front without an address a pair is banned, and nobody else", hiddenPeers},
		{"0 lifts every limit, delay and ban", lifted},
		{"a low limit bans early", lowLimit},
		{"names that do not exist count like others", names},
		{"a session that is given up while it waits", givenUp},
		{"few sessions wait", fewWait},
		{"guesses at the same moment are no more than in turn", atOnce},
		{"what is cleared is free", cleared},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { s.run(bubbled(t)) })
		})
	}
}

func delaysGrow(r *rig) {
	for i, want := range []time.Duration{0, 0, 0, 1, 2, 4, 8, 16, 30, 30} {
		r.until(fmt.Sprint("wait for attempt ", i+1), r.fail(1, victim, away), want*time.Second)
	}
	r.until("the first ban", r.banned(victim, away), 10*time.Minute)
	last := r.failed[len(r.failed)-1]
	if len(r.failed) != 10 || last.Failures != 10 || last.Until.IsZero() || !r.failed[8].Until.IsZero() ||
		last.Door != "imap" || last.Name != victim || last.Network.String() != away+"/32" || last.Peer.String() != away || last.Known {
		r.t.Errorf("told: %+v", r.failed)
	}
	// A person who comes back later does not wait: the delay is from the last failure.
	r.fail(5, "jiro@e.test", away)
	<-time.After(time.Minute)
	r.free("jiro@e.test", away)
}

func bansGrow(r *rig) {
	for i, want := range []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour, 24 * time.Hour} {
		r.fail(10, victim, away)
		r.until(fmt.Sprint("ban ", i+1), r.banned(victim, away), want)
		<-time.After(want - time.Second)
		r.banned(victim, away)
		<-time.After(time.Second)
		r.free(victim, away)
	}
	<-time.After(7 * 24 * time.Hour)
	r.fail(10, victim, away)
	r.until("a ban after a quiet week", r.banned(victim, away), 10*time.Minute)
}

func victimIsFree(r *rig) {
	// Not known anywhere yet, and his network's neighbour is the attacker.
	for _, from := range []string{away, "192.0.2.8", "2001:db8:0:1::1"} {
		r.fail(10, victim, from)
		r.banned(victim, from)
	}
	for _, from := range []string{home, "2001:db8:0:2::1", "203.0.113.1"} {
		r.free(victim, from)
		r.login(victim, from)
	}
	r.free("jiro@e.test", away) // somebody else on the attacker's address
}

func knownIsSlowed(r *rig) {
	r.login(victim, home)
	var waited time.Duration
	for range 40 {
		waited = r.fail(1, victim, home)
	}
	r.until("the fortieth", waited, 30*time.Second)
	if got := r.states(); !slices.Equal(got, []string{victim + " " + home + "/32 slowed"}) {
		r.t.Errorf("listed: %v", got)
	}
	if !r.failed[39].Known || r.rows("login_ban") != 0 {
		r.t.Errorf("%+v, %d bans", r.failed[39], r.rows("login_ban"))
	}
	// What he mistypes counts for nobody else there.
	r.free("jiro@e.test", home)
	r.fail(10, victim, away)
	r.banned(victim, away)
}

func knownForThirtyDays(r *rig) {
	r.login(victim, home)
	<-time.After(20 * time.Hour)
	r.login(victim, home) // not written again on the same day, but it counts
	<-time.After(30 * 24 * time.Hour)
	r.fail(11, victim, home)
	<-time.After(2 * 24 * time.Hour)
	r.fail(10, victim, home)
	r.banned(victim, home)
	r.must(r.Sweep(r.t.Context()))
	if n := r.rows("login_network"); n != 0 {
		r.t.Errorf("%d networks are left", n)
	}
}

func successForgives(r *rig) {
	r.fail(9, victim, away)
	r.login(victim, away)
	r.until("after it", r.fail(3, victim, away), 0)
	if got := r.failed[len(r.failed)-1].Failures; got != 3 {
		r.t.Errorf("%d failures count", got)
	}
	// Also what an earlier ban left.
	r.fail(10, "jiro@e.test", home)
	<-time.After(11 * time.Minute)
	r.login("jiro@e.test", home)
	if n := r.rows("login_ban"); n != 0 {
		r.t.Errorf("%d bans are left", n)
	}
}

func slowFailures(r *rig) {
	for range 100 {
		r.until("one in five minutes", r.fail(1, victim, away), 0)
		<-time.After(5 * time.Minute)
	}
}

func mistypingOffice(r *rig) {
	for i := range 5*(limit-1) + 1 {
		r.until("one of many", r.fail(1, fmt.Sprintf("user%d@e.test", i), home), 0)
	}
	// Then it is too much, for those who are not known there.
	if wait := r.banned("user0@e.test", home); wait > 11*time.Minute {
		r.t.Errorf("the network waits %v", wait)
	}
	if got := r.states(); len(got) != 1 || got[0] != " "+home+"/32 stopped" || r.rows("login_ban") != 0 {
		r.t.Errorf("listed: %v", got)
	}
	<-time.After(11 * time.Minute)
	r.free("user0@e.test", home)
}

func sprayer(r *rig) {
	r.login(victim, away) // behind the same address as the attacker
	for i := range 9 {
		r.fail(5, fmt.Sprintf("user%d@e.test", i), away)
	}
	r.free("user99@e.test", away)
	r.fail(3, "user9@e.test", away) // 38 repeats, and 10 first ones that count as 2
	r.banned("user99@e.test", away)
	r.free(victim, away)
	r.fail(12, victim, away)
	r.free("user99@e.test", home)
}

func knownOffice(r *rig) {
	for i := range 10 {
		r.login(fmt.Sprintf("known%d@e.test", i), home)
	}
	for i := range 11 * limit / 5 {
		r.fail(5, fmt.Sprintf("user%d@e.test", i), home)
		<-time.After(time.Second)
	}
	if got := r.states(); slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, ban.Stopped) }) {
		r.t.Errorf("listed: %v", got)
	}
}

func manyNetworks(r *rig) {
	peer := func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i) }
	for i := range 8 * limit {
		r.until("while few failed", r.fail(1, victim, peer(i)), 0)
	}
	r.login("jiro@e.test", "2001:db8:0:fff::1") // waits once
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		if i > 0 {
			r.until("once many failed", r.fail(1, victim, peer(1000+i)), want*time.Second)
		} else {
			r.fail(1, victim, peer(1000))
		}
	}
	r.free("jiro@e.test", "2001:db8:0:fff::2") // known there
	r.free(victim, "2001:db8:1::1")            // another provider's customer
	if got := r.states(); !slices.Equal(got, []string{" 2001:db8::/48 slowed"}) {
		r.t.Errorf("listed: %v", got)
	}
}

func unixSocket(r *rig) {
	r.until("a hundred failures", r.fail(100, victim, ""), 0)
	r.login(victim, "")
	if len(r.failed) != 100 || r.failed[0].Network.IsValid() || r.failed[0].Failures != 0 || r.rows("login_network") != 0 {
		r.t.Errorf("told %d, first %+v", len(r.failed), r.failed[0])
	}
}

func hiddenPeers(r *rig) {
	const front = "203.0.113.25"
	try := func(name string, o ban.Outcome) error {
		a := attempt(name, "")
		a.Front = netip.MustParseAddr(front)
		end, err := r.Begin(r.t.Context(), a)
		if err == nil {
			r.failed = append(r.failed, end(r.t.Context(), o))
		}
		return err
	}
	for i := range 10 {
		r.must(try(victim, ban.Failure))
		if f := r.failed[i]; f.Failures != i+1 || f.Network.String() != front+"/32" || f.Peer.IsValid() {
			r.t.Errorf("told: %+v", f)
		}
	}
	if _, banned := errors.AsType[*ban.ErrBanned](try(victim, ban.Success)); !banned {
		r.t.Error("ten failures begin no ban")
	}
	for i := range 10 * limit { // on the front alone: no network is stopped for them
		r.must(try(fmt.Sprintf("user%d@e.test", i), ban.Failure))
	}
	began := time.Now()
	r.must(try("jiro@e.test", ban.Success))
	r.until("another name", time.Since(began), 0)
	r.free("jiro@e.test", front) // the front for itself
	r.free(victim, home)
	if got := r.states(); !slices.Equal(got, []string{victim + " " + front + "/32 banned"}) {
		r.t.Errorf("listed: %v", got)
	}
}

func lifted(r *rig) {
	r.fail(10, victim, away)
	r.banned(victim, away)
	r.SetLimit(0)
	r.until("fifty more", r.fail(50, victim, away), 0)
	if len(r.failed) != 60 || len(r.states()) != 0 {
		r.t.Errorf("told %d, listed %v", len(r.failed), r.states())
	}
	r.SetLimit(limit)
	r.banned(victim, away)
}

func lowLimit(r *rig) {
	r.SetLimit(3)
	r.until("three", r.fail(3, victim, away), 0)
	r.banned(victim, away)
	r.SetLimit(1)
	r.fail(1, "jiro@e.test", home)
	r.banned("jiro@e.test", home)
}

func names(r *rig) {
	long := string(slices.Repeat([]byte("x"), 1<<20))
	for _, same := range [][]string{
		{"Nobody@E.Test", "nobody@e.test", "NOBODY@e.TEST"}, {"root", "ROOT", "Root"}, {"", "", ""},
		{long + "1", long + "2", long}, {"\xff\x00", "\xfe\x00", "\xff\x00"},
	} {
		from := fmt.Sprintf("203.0.113.%d", len(r.failed)%251)
		for i := range 10 {
			r.fail(1, same[i%3], from)
		}
		r.banned(same[0], from)
	}
	r.restart(limit)
	if got := r.states(); len(got) != 5 {
		r.t.Errorf("after a restart: %d", len(got))
	}
}

func givenUp(r *rig) {
	r.fail(8, victim, away)
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
	defer cancel()
	if _, err := r.Begin(ctx, attempt(victim, away)); !errors.Is(err, context.DeadlineExceeded) {
		r.t.Errorf("given up: %v", err)
	}
	// An attempt whose end nobody learns holds its place, but not for ever others.
	end, err := r.Begin(r.t.Context(), attempt(victim, away))
	r.must(err)
	began := time.Now()
	if _, err := r.Begin(r.t.Context(), attempt(victim, away)); !errors.Is(err, ban.ErrBusy) || time.Since(began) != time.Minute {
		r.t.Errorf("behind it: %v after %v", err, time.Since(began))
	}
	end(r.t.Context(), ban.Neither)
	end(r.t.Context(), ban.Failure) // counts no more
	r.free(victim, away)
}

func fewWait(r *rig) {
	r.login(victim, home)
	r.fail(8, victim, home)
	results := make(chan error)
	for range 50 {
		go func() {
			end, err := r.Begin(r.t.Context(), attempt(victim, home))
			if err == nil {
				end(r.t.Context(), ban.Success)
			}
			results <- err
		}()
	}
	n := map[error]int{}
	for range 50 {
		n[<-results]++
	}
	if n[nil] != 8 || n[ban.ErrBusy] != 42 {
		r.t.Errorf("%v", n)
	}
}

func atOnce(r *rig) {
	began := time.Now()
	outcomes := func(n int, name, peer string, o ban.Outcome) (allowed int) {
		results := make(chan bool)
		for range n {
			go func() {
				end, err := r.Begin(r.t.Context(), attempt(name, peer))
				if err == nil {
					<-time.After(50 * time.Millisecond) // the hash
					end(r.t.Context(), o)
				}
				results <- err == nil
			}()
		}
		for range n {
			if <-results {
				allowed++
			}
		}
		return allowed
	}
	if n := outcomes(40, victim, home, ban.Success); n != 40 {
		r.t.Errorf("%d right ones pass", n)
	}
	if took := time.Since(began); took > time.Second {
		r.t.Errorf("they take %v", took)
	}
	r.SetLimit(3)
	if n := outcomes(40, victim, away, ban.Failure); n != 3 {
		r.t.Errorf("%d wrong ones are looked at", n)
	}
}

func cleared(r *rig) {
	clear := func(what string, want int) {
		r.t.Helper()
		if n, err := r.Clear(r.t.Context(), ban.ParseFilter(what)); n != want || (err == nil) != (want > 0) {
			r.t.Errorf("clear %s: %d, %v", what, n, err)
		}
	}
	const v6 = "2001:db8:0:1::1"
	for _, from := range []string{away, v6} {
		r.fail(10, victim, from)
		r.fail(10, "root", from)
	}
	clear("jiro@e.test", 0)
	clear("203.0.113.0/24", 0)
	clear("TARO@e.test", 2)
	r.free(victim, v6)
	r.banned("root", away)
	clear("2001:db8::/32", 1)
	r.free("root", v6)
	clear("::ffff:203.0.113.0/120", 0)
	clear("::ffff:"+away+"/112", 1)
	r.free("root", away)
	r.fail(10, "root", away)
	clear(away, 1)
	r.free("root", away)
	if n := r.rows("login_ban"); n != 0 || len(r.states()) != 0 {
		r.t.Errorf("%d bans are left, %v", n, r.states())
	}
	r.fail(10, victim, away)
	if n, err := r.Clear(r.t.Context(), ban.Filter{All: true}); n != 1 || err != nil {
		r.t.Errorf("all: %d, %v", n, err)
	}
	if n, err := r.Clear(r.t.Context(), ban.Filter{All: true}); n != 0 || err != nil {
		r.t.Errorf("all again: %d, %v", n, err)
	}
	r.free(victim, away)
}
