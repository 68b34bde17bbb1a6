package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
)

// behind opens a store that reaches the service through a proxy and caches
// nothing.
func behind(t testing.TB, change func(*Options)) (*Store, *testkit.S3Proxy) {
	t.Helper()
	srv := server(t)
	proxy := testkit.NewS3Proxy(t, srv.Endpoint)
	opt := options(t, srv)
	opt.Endpoint, opt.CacheSize, opt.Retries, opt.probe = proxy.Endpoint, 1, 2, 20*time.Millisecond
	if change != nil {
		change(&opt)
	}
	return mustOpen(t, opt), proxy
}

func commit(ctx context.Context, s *Store, p []byte) (blob.Body, error) {
	w := s.Create()
	defer w.Abort()
	if _, err := w.Write(p); err != nil {
		return blob.Body{}, err
	}
	return w.Commit(ctx, blob.Meta{})
}

// first has a fault on the first requests of a method.
func first(method string, times int64, f testkit.S3Fault) func(*http.Request) testkit.S3Fault {
	var seen atomic.Int64
	return func(r *http.Request) testkit.S3Fault {
		if r.Method == method && seen.Add(1) <= times {
			return f
		}
		return testkit.S3Fault{}
	}
}

const always = 1 << 40

// faults are what a service does that ends by itself.
func faults() map[string]testkit.S3Fault {
	return map[string]testkit.S3Fault{
		"unavailable": {Status: http.StatusServiceUnavailable, Code: "SlowDown"},
		"absent":      {Cut: true},
		"lost":        {Lost: true},
		"silent":      {Delay: 2 * silence},
	}
}

// silence is when tests give a request up. Where the machine is busy one that
// nobody delays may take as long: those tests look with another store.
const silence = 500 * time.Millisecond

// patient opens a store on the same bodies that nothing harms.
func patient(t testing.TB, s *Store) *Store {
	t.Helper()
	opt := s.opt
	opt.Endpoint, opt.Timeout, opt.Retries = server(t).Endpoint, time.Minute, 2
	return mustOpen(t, opt)
}

func TestShortFaultsAreBridged(t *testing.T) {
	t.Parallel()
	for name, fault := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, proxy := behind(t, func(o *Options) {
				if fault.Delay > 0 {
					o.Timeout, o.Retries = silence, 20
				}
			})
			small, large := blobtest.Bytes(5000, 1), blobtest.Bytes(7<<20, 2)
			proxy.Set(first(http.MethodPut, 2, fault))
			a := blobtest.Commit(t, s, small)
			blobtest.Record(t, fixture(s), a)
			proxy.Set(first(http.MethodGet, 2, fault))
			blobtest.Want(t, s, a.ID, small)
			proxy.Set(first(http.MethodPut, 2, fault))
			b := blobtest.Commit(t, s, large)
			proxy.Set(first(http.MethodPost, 2, fault)) // begin and end of an upload
			c := blobtest.Commit(t, s, large)
			blobtest.Record(t, fixture(s), b, c)
			proxy.Set(first(http.MethodGet, 2, fault))
			blobtest.Want(t, s, b.ID, large)
			proxy.Set(nil)
			wantNoFaults(t, patient(t, s))
			if err := s.Health(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLongFaultsAreErrors(t *testing.T) {
	t.Parallel()
	for name, fault := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, proxy := behind(t, func(o *Options) {
				if o.Retries = -1; fault.Delay > 0 {
					o.Timeout = silence
				}
			})
			healthy, p := patient(t, s), blobtest.Bytes(5000, 1)
			a := blobtest.Commit(t, healthy, p)
			blobtest.Record(t, fixture(healthy), a)
			proxy.Always(fault)
			for i := range redAfter {
				if err := s.Health(); err != nil {
					t.Errorf("red after %d: %v", i, err)
				}
				if _, err := commit(t.Context(), s, p); err == nil {
					t.Fatal("a body is committed that nobody has stored")
				}
			}
			if s.Health() == nil {
				t.Error("a store that stores nothing is healthy")
			}
			if _, err := s.Open(t.Context(), a.ID); err == nil || errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
				t.Errorf("open: %v, want an error that passes", err)
			}
			if _, err := commit(t.Context(), s, blobtest.Bytes(2<<20, 2)); err == nil {
				t.Fatal("a large body is committed that nobody has stored")
			}
			if err := s.Check(t.Context(), blobtest.Refs(), func(f string) { t.Errorf("fault: %s", f) }); err == nil {
				t.Error("Check says that all is well")
			}
			proxy.Set(nil)
			testkit.Eventually(t, 30*time.Second, "the store to find that the service works", func() bool { return s.Health() == nil })
			var b blob.Body
			testkit.Eventually(t, 30*time.Second, "a body to be stored", func() (ok bool) {
				var err error
				b, err = commit(t.Context(), s, p)
				return err == nil
			})
			blobtest.Record(t, fixture(s), b)
			for _, id := range []mail.ID{a.ID, b.ID} {
				blobtest.Want(t, healthy, id, p)
			}
			wantNoFaults(t, healthy)
		})
	}
}

func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	s, proxy := behind(t, nil)
	small, large := blobtest.Bytes(5000, 1), blobtest.Bytes(3<<20, 2)
	a, b := blobtest.Commit(t, s, small), blobtest.Commit(t, s, large)
	blobtest.Record(t, fixture(s), a, b)
	for _, c := range []struct {
		name   string
		fault  testkit.S3Fault
		bridge int64
		want   error
	}{
		{"a changed bit", testkit.S3Fault{Wrong: true}, 1, blob.ErrCorrupt},
		{"a short answer", testkit.S3Fault{Short: true}, 2, nil},
	} {
		for id, want := range map[mail.ID][]byte{a.ID: small, b.ID: large} {
			proxy.Set(first(http.MethodGet, c.bridge, c.fault))
			blobtest.Want(t, s, id, want)
			proxy.Set(first(http.MethodGet, always, c.fault))
			r, err := s.Open(t.Context(), id)
			if err == nil {
				t.Errorf("%s: it opens", c.name)
				_ = r.Close()
			} else if errors.Is(err, blob.ErrNotFound) || c.want != nil && !errors.Is(err, c.want) || c.want == nil && errors.Is(err, blob.ErrCorrupt) {
				t.Errorf("%s: %v", c.name, err)
			}
			proxy.Set(nil)
			blobtest.Want(t, s, id, want)
		}
	}
}

// TestDamagedOnTheWay changes what the service gets. It compares a checksum, so
// that nothing wrong is stored.
func TestDamagedOnTheWay(t *testing.T) {
	t.Parallel()
	s, proxy := behind(t, nil)
	var times atomic.Int64
	proxy.Set(func(r *http.Request) testkit.S3Fault {
		if r.Method == http.MethodPut && times.Add(1) <= 2 {
			body, _ := io.ReadAll(r.Body)
			body[len(body)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return testkit.S3Fault{}
	})
	for i, n := range []int{5000, 7 << 20} {
		times.Store(0)
		b := blobtest.Commit(t, s, blobtest.Bytes(n, uint64(i)))
		if times.Load() < 3 {
			t.Errorf("%d octets: stored by the %d. request", n, times.Load())
		}
		blobtest.Record(t, fixture(s), b)
		blobtest.Want(t, s, b.ID, blobtest.Bytes(n, uint64(i)))
	}
}

func TestFullBucket(t *testing.T) {
	t.Parallel()
	s, proxy := behind(t, nil)
	for _, fault := range []testkit.S3Fault{
		{Status: http.StatusInsufficientStorage, Code: "Whatever"},
		{Status: http.StatusForbidden, Code: "QuotaExceeded"},
	} {
		proxy.Always(fault)
		before := proxy.Requests()
		if _, err := commit(t.Context(), s, []byte("x")); !errors.Is(err, blob.ErrFull) {
			t.Errorf("%+v: %v", fault, err)
		}
		if n := proxy.Requests() - before; n != 1 {
			t.Errorf("%+v: %d requests", fault, n)
		}
	}
}

// TestManyWritersWhileItFails has a service that does everything wrong now and
// then. Whatever was confirmed has to be there.
func TestManyWritersWhileItFails(t *testing.T) {
	t.Parallel()
	s, proxy := behind(t, func(o *Options) { o.Timeout, o.Grace = silence, time.Nanosecond })
	var n atomic.Int64
	kinds := []testkit.S3Fault{
		{}, {Status: http.StatusServiceUnavailable, Code: "SlowDown"}, {}, {Cut: true}, {Delay: 50 * time.Millisecond}, {Lost: true},
		{Short: true}, {}, {Wrong: true}, {Delay: 2 * silence}, {}, {Status: 500, Code: "InternalError"}, {},
	}
	proxy.Set(func(r *http.Request) testkit.S3Fault {
		f := kinds[n.Add(1)%int64(len(kinds))]
		f.Wrong = f.Wrong && r.Method == http.MethodGet
		return f
	})
	var mu sync.Mutex
	kept := map[mail.ID][]byte{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 6 {
				p := blobtest.Bytes(1+(w*6+i)*3001, uint64(w*6+i))
				b, err := commit(t.Context(), s, p)
				if err != nil {
					continue
				}
				blobtest.Record(t, fixture(s), b)
				mu.Lock()
				kept[b.ID] = p
				mu.Unlock()
				if i%3 == 0 {
					_, _ = s.Sweep(t.Context(), blobtest.Refs()) // it may fail now
				}
			}
		})
	}
	wg.Wait()
	proxy.Set(nil)
	if len(kept) == 0 {
		t.Fatal("nothing was committed")
	}
	healthy := patient(t, s)
	sweep(t, healthy)
	for id, p := range kept {
		blobtest.Want(t, healthy, id, p)
	}
	wantNoFaults(t, healthy)
}

func TestServerDies(t *testing.T) {
	t.Parallel()
	srv := testkit.NewS3(t)
	opt := options(t, srv)
	opt.CacheSize, opt.Retries, opt.probe = 1, 1, 20*time.Millisecond
	s := mustOpen(t, opt)
	a := blobtest.Commit(t, s, blobtest.Bytes(5000, 1))
	blobtest.Record(t, fixture(s), a)
	srv.Kill()
	for range redAfter {
		if _, err := commit(t.Context(), s, []byte("x")); err == nil {
			t.Fatal("a body is committed without a server")
		}
	}
	if s.Health() == nil {
		t.Error("healthy without a server")
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, "the store to work again", func() bool { return s.Health() == nil })
	blobtest.Want(t, s, a.ID, blobtest.Bytes(5000, 1))
	b := blobtest.Commit(t, s, blobtest.Bytes(5000, 2))
	blobtest.Record(t, fixture(s), b)
	wantNoFaults(t, s)
}

// TestCommitEndsWithItsContext has a service that is silent.
func TestCommitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, proxy := behind(t, nil)
	hold := make(chan struct{})
	proxy.Always(testkit.S3Fault{Until: hold})
	for _, n := range []int{100, 2 << 20, 7 << 20} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := commit(ctx, s, blobtest.Bytes(n, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d octets: %v", n, err)
		}
		cancel()
	}
	close(hold)
	testkit.Eventually(t, 10*time.Second, "the request to end", func() bool { return len(s.slots) == 0 && len(s.queue) == 0 })
	s.pending.mu.Lock()
	if n := len(s.pending.bodies); n != 0 {
		t.Errorf("%d bodies that were given up can still be recorded", n)
	}
	s.pending.mu.Unlock()
	if err := s.Health(); err != nil {
		t.Error(err)
	}
	proxy.Set(nil)
	b := blobtest.Commit(t, s, []byte("x"))
	blobtest.Record(t, fixture(s), b)
	blobtest.Want(t, s, b.ID, []byte("x"))
}

// budget is a Memory that remembers the most that was taken.
type budget struct {
	mu         sync.Mutex
	held, most int
	limit      int
}

func (b *budget) Take(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held+n > b.limit {
		return errors.New("no memory left")
	}
	b.held += n
	b.most = max(b.most, b.held)
	return nil
}

func (b *budget) Give(n int) {
	b.mu.Lock()
	b.held -= n
	b.mu.Unlock()
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	mem := &budget{limit: blob.InMemory + 2*staging.BlockLen}
	s, proxy := behind(t, func(o *Options) { o.Memory, o.CacheSize = mem, 2<<20 })
	want := blobtest.Bytes(12<<20, 1)
	b := blobtest.Commit(t, s, want)
	blobtest.Record(t, fixture(s), b)
	if mem.held != 0 || mem.most > mem.limit {
		t.Errorf("%d octets held, %d at most", mem.held, mem.most)
	}
	requests, octets := proxy.Requests(), proxy.Octets()
	r, err := s.Open(t.Context(), b.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n := proxy.Octets() - octets; n > blockLen {
		t.Errorf("Open reads %d octets", n)
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d octets, %v", len(got), err)
	}
	if n := proxy.Requests() - requests; n > 14 {
		t.Errorf("%d requests for 12 MiB", n)
	}
	if n := proxy.Octets() - octets; n > int64(len(want)) {
		t.Errorf("%d octets were sent for %d", n, len(want))
	}
	if s.cache.used > 2<<20 {
		t.Errorf("the cache holds %d octets", s.cache.used)
	}
	w := s.Create()
	defer w.Abort()
	mem.limit = 100 << 10
	if _, err := w.Write(blobtest.Bytes(200<<10, 1)); err == nil {
		t.Error("a body takes more memory than there is")
	}
	w.Abort()
	if mem.held != 0 {
		t.Errorf("%d octets held after Abort", mem.held)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	srv := server(t)
	proxy := testkit.NewS3Proxy(t, srv.Endpoint)
	for _, c := range []struct {
		name   string
		change func(*Options)
		want   string // "" = it works
	}{
		{"all is well", func(*Options) {}, ""},
		{"region unknown", func(o *Options) { o.Region = "" }, ""},
		{"no bucket", func(o *Options) { o.Bucket = "none-such" }, "the bucket none-such does not exist at"},
		{"access key", func(o *Options) { o.AccessKey = "nobody" }, "does not know the access key"},
		{"secret key", func(o *Options) { o.SecretKey = "SECRET" }, "correct the secret key"},
		{"no key", func(o *Options) { o.SecretKey = "" }, "needs an access key and a secret key"},
		{"region", func(o *Options) { o.Region = "eu-central-1" }, "region="},
		{"nobody there", func(o *Options) { o.Endpoint = "127.0.0.1:1" }, "cannot be reached"},
		{"no name", func(o *Options) { o.Endpoint = "s3.invalid:1" }, "is not found: correct the endpoint"},
		{"no TLS", func(o *Options) { o.Secure = true }, "speaks no TLS: write tls=off"},
		{"no right", func(o *Options) {
			o.Endpoint = proxy.Endpoint
			proxy.Always(testkit.S3Fault{Status: 403, Code: "AccessDenied"})
		}, "may not use the bucket"},
		{"silent", func(o *Options) {
			o.Endpoint, o.Timeout = proxy.Endpoint, 50*time.Millisecond
			proxy.Always(testkit.S3Fault{Delay: 200 * time.Millisecond})
		}, "does not answer within 50ms"},
		{"broken", func(o *Options) {
			o.Endpoint = proxy.Endpoint
			proxy.Always(testkit.S3Fault{Status: 500, Code: "InternalError"})
		}, "fails: look at it"},
	} {
		opt := options(t, srv)
		c.change(&opt)
		err := Probe(t.Context(), opt)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), opt.SecretKey) && opt.SecretKey != "") {
			t.Errorf("%s: the error holds the secret key", c.name)
		}
	}
}

// TestLogsHoldNoSecret looks at what a store says while everything fails.
func TestLogsHoldNoSecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var secret string
	s, proxy := behind(t, func(o *Options) {
		o.Logger, o.Retries = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), -1
		secret = o.SecretKey
	})
	proxy.Always(testkit.S3Fault{Cut: true})
	for range redAfter {
		if _, err := commit(t.Context(), s, []byte("x")); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("commit: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "stores nothing") || strings.Contains(got, secret) || strings.Contains(got, "Signature=") {
		t.Errorf("log:\n%s", got)
	}
}
