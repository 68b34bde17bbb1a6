package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
)

// The outages run one after the other, not in parallel: each has a database
// server or more beside the server, and what they prove needs load.
//
// defaultOutages is for `make test`; `make outages KILLS=30` sets HAYAUMA_KILLS.
const defaultOutages = 5

// outage is the real server on a PostgreSQL of the test, under load.
type outage struct {
	*testkit.Server
	*generator
	dir, imap string
}

func newOutage(t *testing.T, storage string) *outage {
	t.Helper()
	ports := testkit.FreePorts(t, 3)
	o := &outage{dir: t.TempDir(), imap: ports[2], generator: &generator{smtp: ports[0], lmtp: ports[1], imap: ports[2]}}
	file := filepath.Join(o.dir, "hayauma.toml")
	write(t, file, fmt.Sprintf(config, ports[0], ports[1], ports[2], "warn", "1MB")+storage)
	addAccounts(t, file)
	var err error
	if o.Server, err = testkit.LaunchServer(t, testkit.ServerOptions{Dir: o.dir, ConfigFile: file}); err != nil {
		t.Fatal(err)
	}
	o.start(t)
	return o
}

// settle ends the load and compares what was confirmed with what is there.
func (o *outage) settle(t *testing.T) {
	t.Helper()
	got := o.end(t)
	if t.Failed() {
		t.Log(tail(o.Log()))
	}
	// A new process, so that nothing is read from memory.
	if err := o.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if r := o.Hayauma("", "check", "--deep"); r.Code != 0 {
		t.Errorf("check --deep: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	s := o.Again()
	f := look(t, s, control.Dial(control.SocketPath(filepath.Join(o.dir, "data"))), o.imap, got.sizes)
	f.compare(t, got)
	t.Logf("%d messages confirmed, %d appended, %d copies and %d queued recipients found",
		len(got.messages), len(got.appended), f.copies, f.queued)
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

// more waits until n more messages were confirmed.
func (o *outage) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		o.got.mu.Lock()
		defer o.got.mu.Unlock()
		return len(o.got.messages)
	}
	before := count()
	testkit.Eventually(t, 3*time.Minute, "more messages", func() bool { return count() >= before+n })
}

func wait(rng *rand.Rand, from, spread time.Duration) {
	<-time.After(from + time.Duration(rng.Int64N(int64(spread))))
}

func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(number(t, "HAYAUMA_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d (HAYAUMA_SEED repeats the moments)", seed)
	return rand.New(rand.NewPCG(seed, 2))
}

// TestOutageRestarts kills PostgreSQL again and again under load. What got a 250
// is there exactly once, and nobody was told 5xx.
func TestOutageRestarts(t *testing.T) {
	kills, rng := number(t, "HAYAUMA_KILLS", defaultOutages), newRand(t)
	server := testkit.NewPostgres(t)
	o := newOutage(t, fmt.Sprintf("database = %q\nbodies = \"postgres\"\n", server.URL("")))
	for range kills {
		wait(rng, 300*time.Millisecond, time.Second)
		server.Kill()
		wait(rng, time.Millisecond, 300*time.Millisecond)
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.more(t, 20)
	}
	o.settle(t)
	t.Logf("PostgreSQL was killed %d times", kills)
}

// TestOutageCuts cuts the connection before, during and after COMMITs.
func TestOutageCuts(t *testing.T) {
	server := testkit.NewPostgres(t)
	var commits, cuts atomic.Int64
	var on atomic.Bool
	proxy := testkit.NewPostgresProxy(t, server.Addr, func() testkit.Cut {
		if !on.Load() || commits.Add(1)%11 != 0 {
			return testkit.CutNone
		}
		return testkit.Cut(1 + cuts.Add(1)%3)
	})
	o := newOutage(t, fmt.Sprintf("database = %q\n", testkit.PostgresURL("", proxy.Addr)))
	on.Store(true)
	wanted := int64(6 * number(t, "HAYAUMA_KILLS", defaultOutages))
	testkit.Eventually(t, 4*time.Minute, "many cuts", func() bool { return cuts.Load() >= wanted })
	on.Store(false)
	o.more(t, 20)
	o.settle(t)
	t.Logf("%d connections were cut around a COMMIT", cuts.Load())
}

// readmitted is how soon after a promotion mail must be accepted again.
const readmitted = 10 * time.Second

// TestOutageFailover loses a primary that has two standbys, one of which must
// confirm each commit, and promotes the one that has more.
func TestOutageFailover(t *testing.T) {
	rng := newRand(t)
	primary := testkit.NewPostgres(t, "wal_level=replica", "max_wal_senders=10", "hot_standby=on")
	ports := testkit.FreePorts(t, 2)
	var standbys []*testkit.Postgres
	for i, name := range []string{"s1", "s2"} {
		s, err := primary.Standby(t.Context(), ports[i], name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Remove() })
		standbys = append(standbys, s)
	}
	sql(t, primary, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (s1, s2)'")
	sql(t, primary, "SELECT pg_reload_conf()")
	url := testkit.PostgresURL("", primary.Addr, standbys[0].Addr, standbys[1].Addr)
	o := newOutage(t, fmt.Sprintf("database = %q\nbodies = \"postgres\"\n", url))
	o.more(t, 100)
	wait(rng, 300*time.Millisecond, time.Second)
	primary.Kill()

	// Whoever promotes takes the standby that has received more: only that one
	// surely has all that was confirmed.
	best, other := standbys[0], standbys[1]
	if sql(t, best, "SELECT pg_last_wal_receive_lsn() >= '"+sql(t, other, "SELECT pg_last_wal_receive_lsn()")+"'") != "t" {
		best, other = other, best
	}
	promoted := time.Now()
	sql(t, best, "ALTER SYSTEM RESET synchronous_standby_names")
	sql(t, best, "SELECT pg_reload_conf()")
	if sql(t, best, "SELECT pg_promote()") != "t" {
		t.Fatal("the standby was not promoted")
	}
	testkit.Eventually(t, time.Minute, "mail to be accepted", func() bool { return accepts(t, o.smtp) })
	if took := time.Since(promoted); took > readmitted {
		t.Errorf("mail was accepted again %v after the promotion, more than %v", took, readmitted)
	} else {
		t.Logf("mail was accepted again %v after the promotion", took.Round(time.Millisecond))
	}
	if err := other.Remove(); err != nil {
		t.Error(err)
	}
	o.more(t, 100)
	o.settle(t)
}

func sql(t *testing.T, server *testkit.Postgres, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := testkit.Psql(ctx, server.URL(""), text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// accepts tells whether a message gets its 250 now.
func accepts(t *testing.T, smtp string) bool {
	t.Helper()
	s, err := readback.DialSMTP(t.Context(), smtp)
	if err != nil {
		return false
	}
	defer func() { _ = s.Close() }() // the answer is all that counts
	_, err = s.Send("probe@elsewhere.test", []string{"nobody@" + remoteDomain}, readback.Compose("<probe@proof.test>", "probe@elsewhere.test", 500))
	return err == nil
}

// TestOutageS3 has the service of the bodies be slow, answer with errors, cut
// connections, give wrong octets and be away, under load.
func TestOutageS3(t *testing.T) {
	server, bucket := testkit.NewPostgres(t), testkit.NewS3(t)
	proxy := testkit.NewS3Proxy(t, bucket.Endpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", bucket.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", bucket.SecretKey)
	through := *bucket
	through.Endpoint = proxy.Endpoint
	o := newOutage(t, fmt.Sprintf("database = %q\nbodies = %q\n", server.URL(""), through.URL("outage")))
	o.more(t, 50)
	rng := newRand(t)
	faults := []struct {
		name string
		testkit.S3Fault
	}{
		{"slow", testkit.S3Fault{Delay: 1500 * time.Millisecond}},
		{"busy", testkit.S3Fault{Status: 503}},
		{"cut", testkit.S3Fault{Cut: true}},
		{"lost answers", testkit.S3Fault{Lost: true}},
		{"wrong", testkit.S3Fault{Wrong: true}},
	}
	for range max(1, number(t, "HAYAUMA_KILLS", defaultOutages)/defaultOutages) {
		for _, f := range faults {
			proxy.Always(f.S3Fault)
			wait(rng, 2*time.Second, time.Second)
			proxy.Set(nil)
			o.more(t, 30)
			t.Logf("after %s it goes on", f.name)
		}
		bucket.Kill()
		wait(rng, 2*time.Second, time.Second)
		if err := bucket.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.more(t, 30)
		t.Log("after its death it goes on")
	}
	o.settle(t)
}
