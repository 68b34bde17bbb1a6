package tlsreport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/outbound"
)

// limited is Reports and what they drop.
type limited struct {
	*Reports
	metrics *prometheus.Registry
}

func small(t *testing.T) limited {
	t.Helper()
	metrics := prometheus.NewRegistry()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return limited{New(Options{
		DB: dbtest.New(t, Schema()), Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		Settings: func() Settings { return Settings{On: true, Hostname: "mx.ours.test"} }, Metrics: NewMetrics(metrics),
	}), metrics}
}

func (l limited) dropped(t *testing.T) float64 {
	t.Helper()
	families, err := l.metrics.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func result(domain, policy, host string) outbound.TLSResult {
	return outbound.TLSResult{Domain: domain, Policy: policy, Base: host, Host: host, Failure: "validation-failure"}
}

// TestDomainIsBounded: in memory and, over many runs, in the table. Its sums stay right
// where single failures are no longer told.
func TestDomainIsBounded(t *testing.T) {
	t.Parallel()
	r := small(t)
	for i := range 5 {
		for j := range 2 * maxFailures {
			r.Add(result("x.test", "no-policy-found", fmt.Sprintf("a%d-%d.test", i, j)))
		}
		for j := range 2 * maxPolicies {
			r.Add(result("y.test", "tlsa", fmt.Sprintf("b%d-%d.test", i, j)))
		}
		if n := r.mem.rows; n > 1+maxFailures+2*maxPolicies {
			t.Errorf("%d rows in memory", n)
		}
		if err := r.Store(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for domain, want := range map[string]int{"x.test": 1 + maxFailures, "y.test": 2 * maxPolicies} {
		var n int
		if err := r.o.DB.Read(t.Context(), func(tx *db.Tx) error {
			return tx.Row(db.SQL("SELECT count(*) FROM tls_result WHERE domain = ?"), []any{domain}, &n)
		}); err != nil || n != want {
			t.Errorf("%s: %d rows, %v", domain, n, err)
		}
	}
	var failed int
	if err := r.o.DB.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT failed FROM tls_result WHERE domain = 'x.test' AND failure = ''"), nil, &failed)
	}); err != nil || failed != 10*maxFailures {
		t.Errorf("%d failed, %v", failed, err)
	}
	// x.test: of each run a hundred do not get into memory, and of all but the first a
	// hundred not into the table. y.test: the same with policies; each of them that is
	// refused later takes its failure along.
	if got, want := r.dropped(t), float64(5*maxFailures+4*maxFailures+5*maxPolicies+4*2*maxPolicies); got != want {
		t.Errorf("%v dropped, want %v", got, want)
	}
}

// TestMemoryIsBounded, whatever domains there are and however long their policies.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	r := small(t)
	for i := range 2 * maxRows {
		r.Add(outbound.TLSResult{Domain: fmt.Sprintf("x%d.test", i), Policy: "no-policy-found"})
	}
	if r.mem.rows != maxRows || len(r.full) != 1 {
		t.Errorf("%d rows, %d wishes", r.mem.rows, len(r.full))
	}
	r = small(t)
	long := strings.Fields(strings.Repeat(strings.Repeat("x", 1000)+" ", 2*maxPolicy/1000))
	for i := range 2 * maxOctets / maxPolicy {
		r.Add(outbound.TLSResult{Domain: fmt.Sprintf("x%d.test", i), Policy: "sts", Lines: long, Patterns: []string{"a.test"}})
	}
	if r.mem.octets > maxOctets || r.mem.rows < maxOctets/maxPolicy/2 || r.mem.rows > 2*maxOctets/maxPolicy {
		t.Errorf("%d octets in %d rows", r.mem.octets, r.mem.rows)
	}
}

// fitful is an engine whose next writes come to these errors. Of unknown ones some are
// there nevertheless.
type fitful struct {
	db.DB
	next []error
}

var (
	errDown = errors.New("the database is down")
	errLost = fmt.Errorf("%w: it has not", db.ErrUnknown)
)

func (f *fitful) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if len(f.next) == 0 {
		return f.DB.Write(ctx, fn)
	}
	err := f.next[0]
	f.next = f.next[1:]
	if errors.Is(err, errDown) || errors.Is(err, errLost) {
		return err
	}
	return errors.Join(f.DB.Write(ctx, fn), err)
}

// TestStoreInParts: a part that may be stored or not is given up and counted; the others
// are stored, now or later.
func TestStoreInParts(t *testing.T) {
	t.Parallel()
	const domains = 2*together + 50
	for name, c := range map[string]struct {
		writes        []error // what those of the parts come to
		atOnce, later int     // domains in the table after it, and after the next time
		dropped       int     // rows, two for each domain
	}{
		"all is well":              {nil, domains, domains, 0},
		"the first may be there":   {[]error{db.ErrUnknown}, domains, domains, 2 * together},
		"the first is lost":        {[]error{errLost}, domains - together, domains - together, 2 * together},
		"it is, and then all fail": {[]error{errLost, errDown}, 0, domains - together, 2 * together},
		"the second is lost":       {[]error{nil, errLost, errDown}, together, domains - together, 2 * together},
		"two are lost":             {[]error{errLost, nil, errLost}, together, together, 2*together + 2*50},
		"all fail":                 {[]error{errDown}, 0, domains, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := small(t)
			r.o.DB = &fitful{r.o.DB, c.writes}
			for i := range domains {
				r.Add(result(fmt.Sprintf("x%d.test", i), "no-policy-found", "a.test"))
			}
			err := r.Store(t.Context())
			for _, want := range c.writes {
				if want != nil && !errors.Is(err, want) {
					t.Errorf("it tells of %v, not of %v", err, want)
				}
			}
			for i, want := range []int{c.atOnce, c.later} {
				if i > 0 {
					if err := r.Store(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if got := r.stored(t); got != want {
					t.Errorf("%d domains are stored, want %d", got, want)
				}
			}
			if got := r.dropped(t); got != float64(c.dropped) {
				t.Errorf("%v dropped, want %d", got, c.dropped)
			}
		})
	}
}

// stored is of how many domains the table has results.
func (l limited) stored(t *testing.T) (n int) {
	t.Helper()
	if err := l.o.DB.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(DISTINCT domain) FROM tls_result"), nil, &n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDomainsAreBounded on each day.
func TestDomainsAreBounded(t *testing.T) {
	t.Parallel()
	r := small(t)
	if err := r.o.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(`INSERT INTO tls_report (day, domain, state, due, attempts, reply)
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
	SELECT ?, 'x' || i || '.test', 'waiting', 0, 0, '' FROM n`), maxDomains-1, dayOf(r.o.Now()))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"a.test", "b.test", "c.test", "x1.test"} {
		r.Add(outbound.TLSResult{Domain: domain, Policy: "no-policy-found"})
	}
	if err := r.Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := r.o.DB.Read(context.Background(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM tls_result WHERE domain IN ('a.test', 'x1.test')"), nil, &n)
	}); err != nil || n != 2 || r.dropped(t) != 2 {
		t.Errorf("%d rows, %v dropped, %v", n, r.dropped(t), err)
	}
}
