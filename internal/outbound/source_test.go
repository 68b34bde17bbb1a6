package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/source"
	"github.com/hayauma/hayauma/internal/testkit"
)

// pools are source addresses for a world, which dials from them in truth.
type pools struct {
	*source.Store
	w  *world
	db db.DB

	mu     sync.Mutex
	from   []string                 // of each dial
	broken map[string]syscall.Errno // by source address
}

func (w *world) pools() *pools {
	w.t.Helper()
	p := &pools{w: w, db: dbtest.New(w.t, source.Schema()), broken: map[string]syscall.Errno{}}
	s, err := source.Open(w.t.Context(), source.Options{DB: p.db, Logger: slog.New(slog.DiscardHandler),
		Bind: func(netip.Addr) error { return nil }, Below: func(int) int { return 0 }})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Store, w.options.Sources, w.options.DialFrom = s, s, p.dial
	w.o.Close()
	w.o = outbound.New(w.options)
	return p
}

func (p *pools) dial(ctx context.Context, from netip.Addr, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	p.from = append(p.from, from.String())
	errno := p.broken[from.String()]
	p.mu.Unlock()
	if errno != 0 {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("bind", errno)}
	}
	p.w.mu.Lock()
	p.w.dialed = append(p.w.dialed, addr)
	to, known := p.w.routes[addr]
	p.w.mu.Unlock()
	if !known {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return d.DialContext(ctx, network, to)
}

func (p *pools) dials() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.from, " ")
}

// pool makes a pool that a tag of its name leads to.
func (p *pools) pool(pool source.Pool, addresses ...source.Addition) {
	p.w.t.Helper()
	ctx := p.w.t.Context()
	_, err := p.SetPool(ctx, source.PoolChange{Name: pool.Name, Overflow: &pool.Overflow, WarmUp: new(source.FormatWarmUp(pool.WarmUp))})
	p.must(err)
	p.must(p.SetRule(ctx, source.Rule{Kind: source.Tag, Name: pool.Name, Pool: pool.Name}))
	for _, a := range addresses {
		a.Pool = pool.Name
		p.add(ctx, a)
	}
}

func (p *pools) add(ctx context.Context, a source.Addition) {
	p.w.t.Helper()
	_, err := p.AddAddress(ctx, a)
	p.must(err)
}

func (p *pools) must(err error) {
	p.w.t.Helper()
	if err != nil {
		p.w.t.Fatal(err)
	}
}

// tagged is a job of a message with a tag.
func (w *world) tagged(tag string, to ...string) *queue.Job {
	job := w.job(to...)
	job.Message.Tags = []string{tag}
	return job
}

// record stores outcomes as the queue does.
func (p *pools) record(outcomes []queue.Outcome) {
	p.w.t.Helper()
	reports := make([]queue.Report, len(outcomes))
	for i, o := range outcomes {
		reports[i] = queue.Report{Message: &queue.Message{}, Outcome: o}
	}
	p.must(p.db.Write(p.w.t.Context(), func(tx *db.Tx) error { return p.Observer(silent{}).Attempted(tx, reports) }))
}

type silent struct{}

func (silent) Attempted(*db.Tx, []queue.Report) error            { return nil }
func (silent) Administered(*db.Tx, string, []queue.Report) error { return nil }

func sources(list []queue.Outcome) (out []string) {
	for _, o := range list {
		out = append(out, o.Source.String())
	}
	return out
}

// TestPoolsKeepApart: messages of two pools for one domain go each from an address of
// their own, under its name, and never by a connection of the other; nor do those of
// no pool.
func TestPoolsKeepApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	w.set.IdleTimeout = time.Minute
	p := w.pools()
	p.pool(source.Pool{Name: "bulk"}, source.Addition{Address: "127.0.0.21", EHLO: new("bulk.us.test")})
	p.pool(source.Pool{Name: "news"}, source.Addition{Address: "127.0.0.22"})
	var jobs []*queue.Job
	for range 3 {
		jobs = append(jobs, w.tagged("bulk", "a@x.test"), w.tagged("news", "b@x.test"), w.tagged("other", "c@x.test"))
	}
	for i, got := range w.deliver(t.Context(), jobs...) {
		w.want(got, good)
		if want := []string{"127.0.0.21", "127.0.0.22", "127.0.0.1"}[i%3]; got[0].Source.String() != want {
			t.Errorf("message %d went from %v, want %s", i, got[0].Source, want)
		}
	}
	if m.Connections() != 3 || p.dials() != "127.0.0.21 127.0.0.22" {
		t.Errorf("%d connections, from %s", m.Connections(), p.dials())
	}
	for _, msg := range m.Messages() {
		want := map[string]string{"a@x.test": "127.0.0.21 bulk.us.test", "b@x.test": "127.0.0.22 us.test", "c@x.test": "127.0.0.1 us.test"}[msg.Recipients[0].Address]
		if got := msg.Peer.Addr().String() + " " + msg.Helo; got != want {
			t.Errorf("%s came from %s, want %s", msg.Recipients[0].Address, got, want)
		}
	}
	// A connection is of no use once its address has left the pool.
	p.must(p.RemoveAddress(t.Context(), "127.0.0.21"))
	p.add(t.Context(), source.Addition{Pool: "bulk", Address: "127.0.0.23"})
	if got := w.deliver(t.Context(), w.tagged("bulk", "a@x.test"))[0]; got[0].Source.String() != "127.0.0.23" {
		t.Errorf("it went from %v", got[0].Source)
	}
}

// TestGreylistedFromAPool: a message that was greylisted goes again from the same address, also
// past connections from others. From another one it is a stranger, and greylisted at first.
func TestGreylistedFromAPool(t *testing.T) {
	t.Parallel()
	const again = 5*time.Minute + 10*time.Second
	w := newWorld(t)
	w.set.IdleTimeout = time.Minute
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "grey", Reply: "450 4.2.0 Greylisted, please come again"})
	var last netip.Addr
	var fault error
	w.options.LastSource = func(context.Context, mail.ID, mail.Address) (netip.Addr, error) { return last, fault }
	p := w.pools()
	p.pool(source.Pool{Name: "bulk"}, source.Addition{Address: "127.0.0.21"}, source.Addition{Address: "127.0.0.22"})
	grey := w.tagged("bulk", "grey@x.test")
	try := func(name, from string, wait time.Duration, jobs ...*queue.Job) {
		t.Helper()
		all := w.deliver(t.Context(), jobs...)
		got := all[len(all)-1][0]
		if got.Source.String() != from || got.Again != wait {
			t.Errorf("%s: it went from %v, and comes again in %v; want %s, %v", name, got.Source, got.Again, from, wait)
		}
	}
	try("as a stranger", "127.0.0.21", again, grey)
	r := &grey.Recipients[0]
	r.Code, r.Enhanced, r.Reply = 450, "4.2.0", "Greylisted, please come again"
	last = netip.MustParseAddr("127.0.0.22")
	try("as one who is known", "127.0.0.22", 0, grey)
	try("behind others", "127.0.0.22", 0, w.tagged("bulk", "a@x.test"), grey)
	try("others behind it, by its connection", "127.0.0.22", 0, grey, w.tagged("bulk", "a@x.test"))
	fault = errors.New("no database")
	last = netip.Addr{}
	w.deliver(t.Context(), w.tagged("bulk", "a@x.test"))
	try("it is not known from where", "127.0.0.22", 0, grey)
	fault, last = nil, netip.MustParseAddr("127.0.0.22")
	p.must(p.RemoveAddress(t.Context(), "127.0.0.22"))
	try("the address is gone", "127.0.0.21", again, grey)
	p.add(t.Context(), source.Addition{Pool: "bulk", Address: "127.0.0.22"})
	p.Broken(last, "cannot assign requested address")
	try("it is broken", "127.0.0.21", again, grey)
}

// TestWarmUpCountsMessages: each recipient counts, on a connection that is used again
// as well; what the warm-up does not allow goes by the other pool, then waits, and
// nothing of that is said of the site.
func TestWarmUpCountsMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{})
	w.set.IdleTimeout = time.Minute
	p := w.pools()
	p.pool(source.Pool{Name: "old", WarmUp: []int{2}}, source.Addition{Address: "127.0.0.31", WarmUp: new(true)})
	p.pool(source.Pool{Name: "new", Overflow: "old", WarmUp: []int{4}}, source.Addition{Address: "127.0.0.32", WarmUp: new(true)})
	all := w.deliver(t.Context(), w.tagged("new", "a@x.test"), w.tagged("new", "a@x.test"), w.tagged("new", "a@x.test", "b@x.test", "c@x.test"))
	var from []string
	for _, got := range all {
		from = append(from, sources(got)...)
		p.record(got)
	}
	slices.Sort(from)
	if got := strings.Join(from, " "); got != "127.0.0.31 127.0.0.32 127.0.0.32 127.0.0.32 127.0.0.32" {
		t.Errorf("they went from %s", got)
	}
	got := w.deliver(t.Context(), w.tagged("new", "d@x.test", "e@x.test"))[0]
	var told string
	for _, o := range got {
		if o.Result == queue.Delivered {
			p.record([]queue.Outcome{o})
			continue
		}
		told = show(o) + " " + o.Reply
		if !o.Aside || o.Unreached || o.Again <= 0 || o.Again > 25*time.Hour {
			t.Errorf("aside %v, unreached %v, again in %v", o.Aside, o.Unreached, o.Again)
		}
	}
	if !strings.HasPrefix(told, "deferred 451 4.4.5 ours The source addresses of the pool new have sent what their warm-up allows to x.test today: 6; more at ") {
		t.Errorf("told %q", told)
	}
	plans, err := p.Plans("", 0)
	p.must(err)
	for _, plan := range plans {
		if plan.Provider != "" && plan.Sent != plan.Budget {
			t.Errorf("%+v", plan)
		}
	}
}

// TestRefusedIsNotCounted: what nobody took uses up nothing.
func TestRefusedIsNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "nobody", Reply: "550 5.1.1 who"}, testkit.MXRule{Command: "RCPT", Contains: "later", Reply: "450 4.2.1 grey"})
	p := w.pools()
	p.pool(source.Pool{Name: "new", WarmUp: []int{2}}, source.Addition{Address: "127.0.0.33", WarmUp: new(true)})
	for range 3 {
		w.want(w.deliver(t.Context(), w.tagged("new", "nobody@x.test"))[0], "failed 550 5.1.1 theirs")
		w.want(w.deliver(t.Context(), w.tagged("new", "later@x.test"))[0], "deferred 450 4.2.1 theirs")
	}
	w.want(w.deliver(t.Context(), w.tagged("new", "a@x.test", "b@x.test"))[0], good, good)
	w.want(w.deliver(t.Context(), w.tagged("new", "a@x.test"))[0], "deferred 451 4.4.5 ours")
}

// TestBrokenSource: an address that this machine does not have is passed over, once.
func TestBrokenSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{})
	p := w.pools()
	p.pool(source.Pool{Name: "p"}, source.Addition{Address: "127.0.0.41"}, source.Addition{Address: "127.0.0.42"})
	p.broken["127.0.0.41"] = syscall.EADDRNOTAVAIL
	for range 2 {
		if got := w.deliver(t.Context(), w.tagged("p", "a@x.test"))[0]; show(got[0]) != good || got[0].Source.String() != "127.0.0.42" {
			t.Errorf("%s from %v", show(got[0]), got[0].Source)
		}
	}
	if got := p.dials(); got != "127.0.0.41 127.0.0.42 127.0.0.42" {
		t.Errorf("dials from %s", got)
	}
	p.broken["127.0.0.42"] = syscall.EADDRNOTAVAIL
	got := w.deliver(t.Context(), w.tagged("p", "a@x.test"))[0]
	w.want(got, "deferred 451 4.4.4 ours")
	if !got[0].Aside || got[0].Unreached || !strings.Contains(got[0].Reply, "127.0.0.42: ") {
		t.Errorf("%+v", got[0])
	}
	// A host that refuses is another matter.
	w.dns.Add("y.test. 60 MX 10 mx.y.test.", "mx.y.test. 60 A 10.0.0.9")
	p.pool(source.Pool{Name: "q"}, source.Addition{Address: "127.0.0.43"})
	got = w.deliver(t.Context(), w.tagged("q", "a@y.test"))[0]
	w.want(got, "deferred 451 4.4.1 ours")
	if got[0].Aside || !got[0].Unreached || got[0].Source.String() != "127.0.0.43" {
		t.Errorf("%+v", got[0])
	}
}

// TestFamilyOfThePool: hosts are tried by the families that the pool has.
func TestFamilyOfThePool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{})
	w.dns.Add("mx.x.test. 60 AAAA 2001:db8::1", "six.test. 60 MX 10 mx.six.test.", "mx.six.test. 60 AAAA 2001:db8::2")
	p := w.pools()
	p.pool(source.Pool{Name: "p"}, source.Addition{Address: "127.0.0.51"})
	w.want(w.deliver(t.Context(), w.tagged("p", "a@x.test"))[0], good)
	if got := w.dials(); got != "10.0.0.1:25" {
		t.Errorf("dials %s", got)
	}
	got := w.deliver(t.Context(), w.tagged("p", "a@six.test"))[0]
	w.want(got, "deferred 451 4.4.4 ours")
	if !got[0].Aside || got[0].Unreached || !strings.Contains(got[0].Reply, "family") {
		t.Errorf("%+v", got[0])
	}
}

// TestOverflowOfAnotherFamily: a host of both families is reached by that of the pool, by
// that of the overflow once the pool itself has sent what it may; one of the overflow's
// family alone from there.
func TestOverflowOfAnotherFamily(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{})
	w.dns.Add("mx.x.test. 60 AAAA 2001:db8::1", "six.test. 60 MX 10 mx.six.test.", "mx.six.test. 60 AAAA 2001:db8::2")
	six := testkit.StartMX(t, testkit.MXOptions{Addr: "[::1]:0"})
	w.route("[2001:db8::1]:25", six)
	w.route("[2001:db8::2]:25", six)
	p := w.pools()
	p.pool(source.Pool{Name: "main"}, source.Addition{Address: "::1"})
	p.pool(source.Pool{Name: "news", Overflow: "main", WarmUp: []int{2}}, source.Addition{Address: "127.0.0.51", WarmUp: new(true)})
	var from []string
	for _, to := range []string{"a@x.test", "a@six.test", "a@x.test", "a@x.test"} {
		got := w.deliver(t.Context(), w.tagged("news", to))[0]
		w.want(got, good)
		p.record(got)
		from = append(from, sources(got)...)
	}
	if got := strings.Join(from, " "); got != "127.0.0.51 ::1 127.0.0.51 ::1" {
		t.Errorf("they went from %s", got)
	}
}

// TestExplainForAPool: a host is shown with the addresses that the pool of the mail reaches,
// and why without the others; what goes by a proxy is of no pool.
func TestExplainForAPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "both.test. 60 MX 10 mx.both.test.", "mx.both.test. 60 A 10.0.0.1", "mx.both.test. 60 AAAA 2001:db8::1",
		"six.test. 60 MX 10 mx.six.test.", "mx.six.test. 60 AAAA 2001:db8::2",
		"some.test. 60 MX 10 mx.six.test.", "some.test. 60 MX 20 mx.both.test.")
	p := w.pools()
	p.pool(source.Pool{Name: "news"}, source.Addition{Address: "127.0.0.51"})
	const (
		none = "451 4.4.4 The pool news sends nothing by the families of its addresses"
		four = "10.0.0.1:25 (IPv4 alone, by the pool news) "
	)
	explain := func(site, pool, want, reply string) {
		t.Helper()
		r := w.o.Explain(t.Context(), mail.Domain{ASCII: site}, pool)
		var got strings.Builder
		for _, h := range r.Hosts {
			fmt.Fprintf(&got, "%s (%s) %s", strings.Join(h.Addresses, " "), h.Order, h.Fault)
		}
		if got.String() != want || r.Reply != reply {
			t.Errorf("%s by the pool %q: %s, reply %q", site, pool, &got, r.Reply)
		}
	}
	explain("both.test", "", "[2001:db8::1]:25 10.0.0.1:25 () ", "")
	explain("both.test", "news", four, "")
	explain("some.test", "news", " () "+none+four, "")
	explain("six.test", "news", " () "+none, "451 4.4.4 The hosts of six.test have no address of a family of which the pool news has a source address")
	w.set.Proxy = "socks5://127.0.0.1:1080"
	explain("both.test", "news", "[2001:db8::1]:25 10.0.0.1:25 () ", "")
	if got := w.o.Explain(t.Context(), mail.Domain{ASCII: "both.test"}, "news").Proxy; got != w.set.Proxy {
		t.Errorf("by the proxy %q", got)
	}
}
