package tlsreport_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
)

// TestReport tells a domain of all that happened on its day, once, whatever restarts
// come between.
func TestReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wish("x.test", "https://r.test/in?a=b")
	fetch := plain("x.test")
	fetch.PolicyFailure, fetch.PolicyReason = "sts-policy-fetch-error", "the web server\r\nanswers 500"
	barred := enforced("x.test")
	barred.Addr, barred.Local = outbound.TLSResult{}.Addr, outbound.TLSResult{}.Local
	for range 3 { // a minute each, and a process each
		for _, r := range []outbound.TLSResult{
			plain("x.test"), plain("x.test"), fetch, failing(plain("x.test"), "starttls-not-supported", ""),
			enforced("x.test"), failing(enforced("x.test"), "certificate-expired", "at "+w.time().String()),
			failing(barred, "validation-failure", "the policy does not name this host"),
			proven("x.test"), failing(proven("x.test"), "of-no-rfc", "new"),
		} {
			w.Add(r)
		}
		w.store()
		w.send(0)
		w.restart()
		w.pass(time.Minute)
	}
	w.pass(day)
	w.Add(plain("x.test")) // of the next day
	w.store()
	got := read(t, w.send(1)[0], "r.test/in?a=b")
	want := `mx.ours.test postmaster@mx.ours.test 20260501.x.test@mx.ours.test 2026-05-01T00:00:00Z 2026-05-01T23:59:59Z
no-policy-found x.test <nil> <nil> 9+3
  3 starttls-not-supported 198.51.100.1 mx.x.test 192.0.2.25 <nil>
  3 sts-policy-fetch-error <nil> mx.x.test <nil> the web server  answers 500
sts x.test [version: STSv1 mode: enforce mx: mx.x.test mx: *.b.test max_age: 86400] [mx.x.test *.b.test] 3+6
  3 certificate-expired 198.51.100.1 mx.x.test 192.0.2.25 at 2026-05-01 12:00:00 +0000 UTC
  3 validation-failure <nil> mx.x.test <nil> the policy does not name this host
tlsa base.x.test [3 1 1 ` + strings.Repeat("AB", 32) + `] <nil> 3+3
  3 validation-failure 198.51.100.1 mx.x.test 192.0.2.25 new`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	w.send(0)
	w.restart()
	w.pass(9 * time.Hour)
	w.send(0)
	if got := w.states(); got != "x.test 0 waiting, x.test 1 sent" {
		t.Error(got)
	}
	w.set.Organization, w.set.Contact = "Ours & Co", "tls@ours.test"
	w.pass(day)
	got = read(t, w.send(1)[0], "r.test/in?a=b")
	want = `Ours & Co tls@ours.test 20260502.x.test@mx.ours.test 2026-05-02T00:00:00Z 2026-05-02T23:59:59Z
no-policy-found x.test <nil> <nil> 1+0`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n := w.rows("tls_result"); n != 0 {
		t.Errorf("%d rows of results that are told", n)
	}
}

// TestNotBeforeItsDayEnds, and some minutes later at least; after four hours it is out.
func TestNotBeforeItsDayEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 40 {
		w.wish(fmt.Sprintf("x%d.test", i), "https://r.test/")
		w.Add(plain(fmt.Sprintf("x%d.test", i)))
	}
	w.store()
	w.pass(12*time.Hour + 5*time.Minute - time.Second)
	w.send(0)
	hours := 0
	for range 4 {
		w.pass(time.Hour)
		if err := w.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(w.got()) > 0 {
			hours++
		}
	}
	if hours < 3 || strings.Count(w.states(), "sent") != 40 {
		t.Errorf("sent in %d hours: %s", hours, w.states())
	}
}

// TestRetry: with growing waits, for a day.
func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wish("x.test", "https://r.test/")
	w.Add(plain("x.test"))
	w.store()
	w.pass(12 * time.Hour)
	w.answer(http.StatusServiceUnavailable)
	var last, wait time.Duration
	attempts := 0
	for at := time.Duration(0); at < 3*day; at += 5 * time.Minute {
		if err := w.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(w.got()); n > 0 {
			if n != 1 || at >= day || attempts > 0 && at-last <= wait {
				t.Fatalf("%d requests after %v, the last one after %v, %v before that", n, at, last, wait)
			}
			if attempts > 0 {
				wait = at - last
			}
			last = at
			attempts++
			w.restart()
		}
		w.pass(5 * time.Minute)
	}
	if got := w.states(); attempts < 5 || got != fmt.Sprintf("x.test %d failed", attempts) {
		t.Errorf("%d attempts: %s", attempts, got)
	}
}

// TestRetrySucceeds: the same report, under the same id.
func TestRetrySucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wish("x.test", "https://r.test/")
	w.Add(plain("x.test"))
	w.store()
	w.pass(16 * time.Hour)
	w.answer(http.StatusFound)
	first := w.send(1)
	if got := w.states(); got != "x.test 1 waiting" {
		t.Error(got)
	}
	w.answer(http.StatusOK)
	w.pass(11 * time.Minute)
	second := w.send(1)
	if a, b := read(t, first[0], "r.test/"), read(t, second[0], "r.test/"); a != b {
		t.Errorf("first\n%s\nthen\n%s", a, b)
	}
	if got := w.states(); got != "x.test 2 sent" {
		t.Error(got)
	}
}

// TestWishes: what becomes of a report by the record of its domain.
func TestWishes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rua      string
		requests int
		state    string
	}{
		"none":                 {"", 0, "unwanted"},
		"one":                  {"https://r.test/", 1, "sent"},
		"two":                  {"https://r.test/,https://s.test/", 2, "sent"},
		"the second is down":   {"https://r.test/,https://t.test/", 1, "sent"},
		"the first is down":    {"https://t.test/,https://s.test/", 1, "sent"},
		"all are down":         {"https://t.test/,https://u.test/", 0, "waiting"},
		"by mail":              {"mailto:a@x.test", 0, "mail only"},
		"by mail and by HTTPS": {"mailto:a@x.test,https://r.test/", 1, "sent"},
		"by another scheme":    {"http://r.test/", 0, "unwanted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.wish("x.test", c.rua)
			w.Add(plain("x.test"))
			w.store()
			w.pass(16 * time.Hour)
			w.send(c.requests)
			if got := w.states(); got != "x.test 1 "+c.state {
				t.Error(got)
			}
		})
	}
}

// TestOff collects nothing and sends nothing.
func TestOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wish("x.test", "https://r.test/")
	w.Add(plain("x.test"))
	w.set.On = false
	w.Add(plain("x.test"))
	w.store()
	w.pass(16 * time.Hour)
	w.send(0)
	w.set.On = true
	if got := read(t, w.send(1)[0], "r.test/"); !strings.HasSuffix(got, " 1+0") {
		t.Error(got)
	}
}

// TestStoreAgain: what could not be stored is counted later, once.
func TestStoreAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wish("x.test", "https://r.test/")
	for range 3 {
		w.Add(failing(plain("x.test"), "validation-failure", "a"))
		w.down.Store(true)
		if err := w.Store(t.Context()); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
	}
	w.down.Store(false)
	w.deaf.Store(true)
	if err := w.Store(t.Context()); !errors.Is(err, db.ErrUnknown) {
		t.Fatal(err)
	}
	w.deaf.Store(false)
	w.store()
	w.pass(16 * time.Hour)
	if got := read(t, w.send(1)[0], "r.test/"); !strings.Contains(got, " 0+3\n  3 validation-failure") {
		t.Error(got)
	}
}

// TestTwoProcesses send each report once, and count together.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process()
	for i := range 20 {
		w.wish(fmt.Sprintf("x%d.test", i), "https://r.test/")
		w.Add(plain(fmt.Sprintf("x%d.test", i)))
		other.Add(plain(fmt.Sprintf("x%d.test", i)))
	}
	both := func(what func(*tlsreport.Reports) error) {
		var wg sync.WaitGroup
		for _, r := range []*tlsreport.Reports{w.Reports, other} {
			wg.Go(func() {
				if err := what(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	both(func(r *tlsreport.Reports) error { return r.Store(t.Context()) })
	w.pass(16 * time.Hour)
	both(func(r *tlsreport.Reports) error { return r.Send(t.Context()) })
	got := w.got()
	if len(got) != 20 {
		t.Fatalf("%d requests", len(got))
	}
	for _, posted := range got {
		if text := read(t, posted, "r.test/"); !strings.HasSuffix(text, " 2+0") {
			t.Error(text)
		}
	}
}

// TestLate: what is stored when the report is out belongs to nothing any more.
func TestLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.process()
	w.wish("x.test", "https://r.test/")
	w.Add(plain("x.test"))
	other.Add(plain("x.test"))
	w.store()
	w.pass(16 * time.Hour)
	w.send(1)
	if err := other.Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send(0)
	if n := w.rows("tls_result"); n != 0 || w.states() != "x.test 1 sent" {
		t.Errorf("%d rows, %s", n, w.states())
	}
}

// TestPrune drops what nobody asks for any more, the rest stays.
func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		w.Add(plain("x.test"))
		w.store()
		w.pass(day)
		if err := w.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if reports, results := w.rows("tls_report"), w.rows("tls_result"); reports != 14 || results != 2 {
		t.Errorf("%d reports, %d rows of results", reports, results)
	}
	w.send(0) // what is too late ends
	if got := w.states(); strings.Count(got, "failed") != 13 || strings.Count(got, "unwanted") != 1 {
		t.Error(got)
	}
}

// TestSilentServers: however many a domain names, an attempt ends before the next one
// begins.
func TestSilentServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := tlsreport.New(tlsreport.Options{
			DB:       dbtest.NewEmbedded(t, tlsreport.Schema()),
			Settings: func() tlsreport.Settings { return tlsreport.Settings{On: true, Hostname: "mx.ours.test"} },
			TXT: func(context.Context, string) ([]string, error) {
				return []string{"v=TLSRPTv1; rua=" + strings.Repeat("https://r.test/,", 10)}, nil
			},
			Post: func(ctx context.Context, _ string, _ []byte) error {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				<-ctx.Done()
				return ctx.Err()
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		r.Add(plain("x.test"))
		if err := r.Store(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(28 * time.Hour)
		start := time.Now()
		err := r.Send(t.Context())
		if d := time.Since(start); err != nil || d < time.Minute || d > 5*time.Minute {
			t.Errorf("after %v: %v", d, err)
		}
		list, err := r.List(t.Context(), 9)
		if err != nil || len(list) != 1 || list[0].State != tlsreport.Waiting || list[0].Attempts != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// TestRun stores by itself, sends each day's report within hours, and loses nothing when it
// is stopped.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type sending struct {
			uri string
			at  time.Time
		}
		var sent []sending
		options := tlsreport.Options{
			DB:       dbtest.NewEmbedded(t, tlsreport.Schema()),
			Settings: func() tlsreport.Settings { return tlsreport.Settings{On: true, Hostname: "mx.ours.test"} },
			TXT: func(_ context.Context, name string) ([]string, error) {
				if name != "_smtp._tls.x.test" {
					return nil, dnsx.ErrNotFound
				}
				return []string{"v=TLSRPTv1; rua=https://r.test/"}, nil
			},
			Post: func(_ context.Context, uri string, _ []byte) error {
				sent = append(sent, sending{uri, time.Now()})
				return nil
			},
			Logger: slog.New(slog.DiscardHandler),
		}
		for range 3 { // a run of 26 hours each
			r := tlsreport.New(options)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); r.Run(ctx) }()
			for range 26 {
				r.Add(plain("x.test"))
				r.Add(plain("y.test"))
				time.Sleep(time.Hour)
			}
			r.Add(plain("z.test"))
			stop()
			<-done
			list, err := r.List(t.Context(), 100)
			if err != nil || !strings.Contains(fmt.Sprint(list), "z.test waiting") {
				t.Errorf("what came last is not stored: %v, %v", list, err)
			}
		}
		days := map[string]bool{}
		for _, s := range sent {
			if at := s.at.UTC(); at.Hour() >= 5 || s.uri != "https://r.test/" || days[at.Format(time.DateOnly)] {
				t.Errorf("%s at %v", s.uri, at)
			}
			days[s.at.UTC().Format(time.DateOnly)] = true
		}
		if len(sent) != 3 {
			t.Errorf("%d reports in 78 hours", len(sent))
		}
	})
}
