package sts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

const (
	minute = time.Minute
	day    = 24 * time.Hour
	week   = 7 * day
)

func busy(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

func TestDiscovery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setup func(*world)
		want  string
		asked int32
	}{
		"a policy":  {func(w *world) { w.publish("x.test", "1", "enforce", "a.test", week) }, "enforce a.test 1", 1},
		"testing":   {func(w *world) { w.publish("x.test", "1", "testing", "a.test", week) }, "testing a.test 1", 1},
		"no record": {func(w *world) { w.publish("x.test", "", "enforce", "a.test", week) }, "none", 0},
		"an alias of the record": {func(w *world) {
			w.publish("y.test", "1", "enforce", "a.test", week)
			w.web.Publish("x.test", policy("enforce", "b.test", week))
			w.dns.Add("_mta-sts.x.test. 60 CNAME _mta-sts.y.test.")
		}, "enforce b.test 1", 1},
		"a record in two strings": {func(w *world) {
			w.publish("x.test", "", "enforce", "a.test", week)
			w.dns.Add(`_mta-sts.x.test. 60 TXT "v=STSv1; i" "d=12;"`)
		}, "enforce a.test 12", 1},
		"two records": {func(w *world) {
			w.publish("x.test", "1", "enforce", "a.test", week)
			w.dns.Add(`_mta-sts.x.test. 60 TXT "v=STSv1; id=2"`)
		}, "none", 0},
		"a record of something else": {func(w *world) {
			w.publish("x.test", "1", "enforce", "a.test", week)
			w.dns.Add(`_mta-sts.x.test. 60 TXT "hello"`)
		}, "enforce a.test 1", 1},
		"DNS fails": {func(w *world) {
			w.publish("x.test", "1", "enforce", "a.test", week)
			w.dns.Fail("_mta-sts.x.test", testkit.DNSServFail)
		}, "none", 0},
		"no web server":     {func(w *world) { w.publish("x.test", "1", "enforce", "a.test", week); w.dns.Remove("mta-sts.x.test") }, "none sts-policy-fetch-error", 0},
		"nothing published": {func(w *world) { w.announce("x.test", "1") }, "none sts-policy-fetch-error", 1},
		"nonsense":          {func(w *world) { w.announce("x.test", "1"); w.web.Publish("x.test", "hello") }, "none sts-policy-invalid", 1},
		"the wrong certificate": {func(w *world) {
			w.publish("w.test", "1", "enforce", "a.test", week)
			w.dns.Add("mta-sts.w.test. 60 A 192.0.2.9")
		}, "none sts-webpki-invalid", 0},
		"that of the parent": {func(w *world) { w.publish("test", "1", "enforce", "a.test", week) }, "none", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.setup(w)
			domain := "x.test"
			if strings.Contains(name, "certificate") {
				domain = "w.test"
			}
			w.want(domain, c.want, c.asked)
			w.want(domain, c.want, 0) // remembered either way
		})
	}
}

// TestHoldsUntilItExpires: whatever becomes of record and web server, and of this
// process (RFC 8461 §5.1).
func TestHoldsUntilItExpires(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away func(*world)
		want string
	}{
		"all is well":         {func(*world) {}, ""},
		"the record is gone":  {func(w *world) { w.announce("x.test", "") }, " sts-policy-fetch-error"},
		"DNS fails":           {func(w *world) { w.dns.Fail("_mta-sts.x.test", testkit.DNSServFail) }, " sts-policy-fetch-error"},
		"the web server is":   {func(w *world) { w.web.Answer("x.test", busy) }, ""},
		"both are":            {func(w *world) { w.announce("x.test", ""); w.web.Answer("x.test", busy) }, " sts-policy-fetch-error"},
		"two records":         {func(w *world) { w.dns.Add(`_mta-sts.x.test. 60 TXT "v=STSv1; id=2"`) }, " sts-policy-fetch-error"},
		"another is broken":   {func(w *world) { w.announce("x.test", "2"); w.web.Publish("x.test", "hello") }, " sts-policy-invalid"},
		"another is not sent": {func(w *world) { w.announce("x.test", "2"); w.web.Answer("x.test", busy) }, " sts-policy-fetch-error"},
	} {
		for _, restarts := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.publish("x.test", "1", "enforce", "a.test", week)
				w.want("x.test", "enforce a.test 1", 1)
				c.away(w)
				for range 6 {
					w.pass(day)
					if restarts {
						w.restart()
					}
					w.want("x.test", "enforce a.test 1"+c.want, fetches(name))
				}
				w.pass(day + minute)
				if name != "all is well" {
					h, err := w.Lookup(t.Context(), "x.test")
					if err != nil || h.Mode != "" {
						t.Errorf("after its time: %+v, %v", h, err)
					}
				} else {
					w.want("x.test", "enforce a.test 1", 1)
				}
			})
		}
	}
}

// fetches is how often the web server is asked at each look.
func fetches(name string) int32 {
	if strings.HasPrefix(name, "another") {
		return 1
	}
	return 0
}

// TestAnotherID has a new policy fetched, within minutes.
func TestAnotherID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.publish("x.test", "2", "testing", "b.test", week)
	w.want("x.test", "enforce a.test 1", 0)
	w.pass(5 * minute)
	w.want("x.test", "testing b.test 2", 1)
	w.pass(5 * minute)
	w.want("x.test", "testing b.test 2", 0)
	w.publish("x.test", "3", "none", "b.test", week)
	w.restart()
	w.want("x.test", "none b.test 3", 1)
	// A failure to fetch the next is tried again in minutes, and no sooner.
	w.announce("x.test", "4")
	w.web.Answer("x.test", busy)
	w.pass(5 * minute)
	w.want("x.test", "none b.test 3", 1) // nobody is told: it is on its way out
	w.pass(4 * minute)
	w.want("x.test", "none b.test 3", 0)
	w.publish("x.test", "4", "enforce", "c.test", week)
	w.pass(minute)
	w.want("x.test", "enforce c.test 4", 1)
}

// TestFirstFetchFails: mail does not wait for it, and neither does the web server
// get more than a question in five minutes (RFC 8461 §3.3).
func TestFirstFetchFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.announce("x.test", "1")
	w.web.Answer("x.test", busy)
	w.want("x.test", "none sts-policy-fetch-error", 1)
	for range 4 {
		w.pass(minute)
		w.want("x.test", "none sts-policy-fetch-error", 0)
	}
	w.web.Publish("x.test", policy("enforce", "a.test", week))
	w.pass(minute)
	w.want("x.test", "enforce a.test 1", 1)
	if log := w.logged(); !strings.Contains(log, "it cannot be had") || strings.Contains(log, "level=WARN") {
		t.Error(log)
	}
}

// TestForStrangers: reports get a reason that tells nothing of ours; the log and
// operators get the cause, also after a restart.
func TestForStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	want := func(reason, cause string) {
		t.Helper()
		h, err := w.Lookup(t.Context(), "x.test")
		if err != nil || h.Failure != mtasts.FetchFailed || h.Reason != reason || !strings.Contains(h.Cause, cause) {
			t.Errorf("%q, %q, %q, %v", h.Failure, h.Reason, h.Cause, err)
		}
	}
	w.dns.Fail("_mta-sts.x.test", testkit.DNSServFail)
	w.pass(5 * minute)
	w.logged()
	want("the TXT record cannot be looked up", w.dns.Addr+": the resolver answers SERVFAIL")
	if log := w.logged(); !strings.Contains(log, w.dns.Addr) {
		t.Error(log)
	}
	w.dns.Fail("_mta-sts.x.test", testkit.NoFault)
	w.web.Answer("x.test", busy)
	w.pass(day)
	w.refresh(1)
	w.restart()
	want("the web server answers 503", "fetch https://mta-sts.x.test/.well-known/mta-sts.txt: the web server answers 503")
}

// TestOldReasons: what an older version stored is not taken for what strangers may read.
func TestOldReasons(t *testing.T) {
	t.Parallel()
	now, schema := time.Now(), sts.Schema()
	old := schema
	old.Steps = old.Steps[:1]
	d := dbtest.New(t, old)
	if err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO sts_policy (domain, id, policy, fetched, expires, due, used, failure, reason) VALUES ('x.test', '1', ?, ?, ?, 0, 0, 'sts-policy-fetch-error', '10.1.2.3:53: the resolver answers SERVFAIL')"),
			policy("enforce", "a.test", week), now.UnixMicro(), now.Add(week).UnixMicro())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Migrate(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	h, err := sts.New(sts.Options{
		DB: d, TXT: func(context.Context, string) ([]string, error) { return []string{"v=STSv1; id=1"}, nil }, Logger: slog.New(slog.DiscardHandler),
	}).Lookup(t.Context(), "x.test")
	if err != nil || h.Mode != mtasts.Enforce || h.Failure != "" || h.Reason != "" {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestAlert: who cannot renew a policy that holds hears of it, once.
func TestAlert(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.announce("x.test", "")
	w.logged()
	for i := range 3 {
		w.pass(5 * minute)
		w.want("x.test", "enforce a.test 1 sts-policy-fetch-error", 0)
		if log := w.logged(); strings.Contains(log, "level=WARN") != (i == 0) {
			t.Errorf("look %d: %s", i, log)
		}
	}
	w.announce("x.test", "1")
	w.pass(5 * minute)
	w.want("x.test", "enforce a.test 1", 0)
	w.restart()
	w.want("x.test", "enforce a.test 1", 0)
}

// TestDNSFailureIsLookedAtSoon, since nothing is known then.
func TestDNSFailureIsLookedAtSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.dns.Fail("_mta-sts.x.test", testkit.DNSServFail)
	w.want("x.test", "none", 0)
	w.dns.Fail("_mta-sts.x.test", testkit.NoFault)
	w.want("x.test", "none", 0)
	w.pass(minute)
	w.want("x.test", "enforce a.test 1", 1)
}

// TestNoMaxAge: a policy that holds for no time counts for whoever had it fetched.
func TestNoMaxAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", 0)
	w.want("x.test", "enforce a.test 1", 1)
	w.pass(time.Second)
	w.want("x.test", "none", 0)
	w.pass(5 * minute)
	w.want("x.test", "enforce a.test 1", 1)
}

// TestShortMaxAge: mail never goes without a policy only because it was published for a
// short time; it is fetched anew at its end, and no more than once a minute.
func TestShortMaxAge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		age   time.Duration
		start time.Duration // how old it is when mail begins to go all the time
		gap   bool          // it does not always hold
		asked int32         // in the hour from there
	}{
		{age: 10 * time.Second, gap: true, asked: 60},
		{age: minute, asked: 60},
		{age: 2 * minute, asked: 30},
		{age: 7 * minute, asked: 12},
		{age: time.Hour, start: 57 * minute, asked: 1},
		{age: week, start: week - 3*minute, asked: 1},
	} {
		t.Run(c.age.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish("x.test", "1", "enforce", "a.test", c.age)
			w.want("x.test", "enforce a.test 1", 1)
			w.pass(c.start)
			var without time.Duration
			for gone := time.Duration(0); gone < time.Hour; gone += 5 * time.Second {
				w.pass(5 * time.Second)
				h, err := w.Lookup(t.Context(), "x.test")
				if err != nil {
					t.Fatal(err)
				}
				if h.Mode != mtasts.Enforce {
					without += 5 * time.Second
				}
			}
			if (without > 0) != c.gap {
				t.Errorf("without a policy for %v", without)
			}
			w.asked(c.asked)
		})
	}
}

// TestRenewedAtItsEnd: what could not be fetched anew in its last minutes is tried once
// more at the end, and then as often as any other.
func TestRenewedAtItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", 10*minute)
	w.want("x.test", "enforce a.test 1", 1)
	w.web.Answer("x.test", busy)
	w.pass(6 * minute)
	w.want("x.test", "enforce a.test 1 sts-policy-fetch-error", 1)
	w.pass(3 * minute)
	w.want("x.test", "enforce a.test 1 sts-policy-fetch-error", 0)
	w.pass(minute + time.Second)
	w.want("x.test", "none sts-policy-fetch-error", 1)
	w.pass(4 * minute)
	w.want("x.test", "none sts-policy-fetch-error", 0)
	w.web.Publish("x.test", policy("enforce", "a.test", 10*minute))
	w.pass(minute)
	w.want("x.test", "enforce a.test 1", 1)
}

// TestDatabaseDown: what is not known is not taken for none.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.down.Store(true)
	w.want("x.test", "enforce a.test 1", 0)
	w.restart()
	if h, err := w.Lookup(t.Context(), "x.test"); !errors.Is(err, errBroken) || h.Mode != "" {
		t.Errorf("%+v, %v", h, err)
	}
	w.down.Store(false)
	w.want("x.test", "enforce a.test 1", 0)
}

// TestOneAtATime: many who ask at once make one question and one fetch; one who
// gives up neither stops the others nor is waited for.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.announce("x.test", "1")
	started, answer := make(chan struct{}, 9), make(chan struct{})
	w.web.Answer("x.test", func(rw http.ResponseWriter, _ *http.Request) {
		started <- struct{}{}
		<-answer
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = rw.Write([]byte(policy("enforce", "a.test", week)))
	})
	gone, giveUp := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := w.Lookup(gone, "x.test"); !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
	})
	<-started
	for range 50 {
		wg.Go(func() {
			if h, err := w.Lookup(t.Context(), "x.test"); err != nil || h.Mode != mtasts.Enforce {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
	giveUp()
	<-started // another one took over
	w.want("y.test", "none", 2)
	close(answer)
	wg.Wait()
	w.asked(0)
	// The first has asked before he looked for all: in a server the resolver remembers that.
	if n := w.count("_mta-sts.x.test", "TXT"); n != 3 {
		t.Errorf("DNS was asked %d times", n)
	}
}

// TestStrangersAreNotRead: of a domain without a policy the database is not asked, of
// one that has one it is, also after a new start.
func TestStrangersAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.want(fmt.Sprintf("far%d.test", i), "none", 0)
	}
	if n := w.reads.Swap(0); n != 1 {
		t.Errorf("%d reads for 20 domains without a policy", n)
	}
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.announce("x.test", "")
	w.restart()
	w.want("far1.test", "none", 0)
	w.want("x.test", "enforce a.test 1 sts-policy-fetch-error", 0)
	w.pass(4 * minute)
	w.insert("y.test") // by another process
	w.pass(2 * minute)
	w.want("y.test", "enforce a.test 1 sts-policy-fetch-error", 0)
}
