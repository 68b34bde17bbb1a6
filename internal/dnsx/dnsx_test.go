package dnsx_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func resolver(server string) *dnsx.Resolver {
	return dnsx.New(dnsx.Options{Server: server, Timeout: 300 * time.Millisecond})
}

func mxText(list []dnsx.MX) string {
	var out []string
	for _, mx := range list {
		out = append(out, fmt.Sprintf("%d %s", mx.Preference, mx.Host))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestMX(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("many.test. 60 MX %d a-rather-long-host-name-number-%d.many.test.", i, i))
	}
	d := testkit.StartDNS(t, append(many, "x.test. 60 MX 20 B.x.test.", "x.test. 60 MX 10 a.x.test.", "null.test. 60 MX 0 .",
		"text.test. 60 TXT x", "alias.test. 60 CNAME x.test.", "dead.test. 60 CNAME gone.test.",
		"loop.test. 60 CNAME pool.test.", "pool.test. 60 CNAME loop.test.", "fail.test. 60 MX 1 a.test.", "slow.test. 60 MX 1 a.test.", "cut.test. 60 MX 1 a.test.")...)
	d.Fail("fail.test", testkit.DNSServFail)
	d.Fail("slow.test", testkit.DNSTimeout)
	d.Fail("cut.test", testkit.DNSTruncated)
	r := resolver(d.Addr)
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"x.test", "10 a.x.test, 20 b.x.test", nil},
		{"X.TEST.", "10 a.x.test, 20 b.x.test", nil},
		{"null.test", "0 ", nil},
		{"alias.test", "10 a.x.test, 20 b.x.test", nil},
		{"cut.test", "1 a.test", nil},
		{"text.test", "", dnsx.ErrNoData},
		{"gone.test", "", dnsx.ErrNotFound},
		{"dead.test", "", dnsx.ErrNotFound},
		{"loop.test", "", dnsx.ErrTemporary},
		{"fail.test", "", dnsx.ErrTemporary},
		{"slow.test", "", dnsx.ErrTemporary},
		{"", "", dnsx.ErrNotFound},
		{strings.Repeat("x", 64) + ".test", "", dnsx.ErrNotFound},
	} {
		got, err := r.MX(t.Context(), c.name)
		if !errors.Is(err, c.err) || mxText(got) != c.want {
			t.Errorf("%q: %s, %v", c.name, mxText(got), err)
		}
	}
	if got, err := r.MX(t.Context(), "many.test"); len(got) != 60 || err != nil {
		t.Errorf("%d records over TCP, %v", len(got), err)
	}
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "both.test. 60 A 10.0.0.1", "both.test. 60 AAAA 2001:db8::1", "four.test. 60 A 10.0.0.1", "six.test. 60 AAAA 2001:db8::1",
		"none.test. 60 TXT x", "half.test. 60 A 10.0.0.1", "fail.test. 60 TXT x")
	d.Fail("half.test", testkit.DNSTimeout, "AAAA")
	d.Fail("fail.test", testkit.DNSServFail, "AAAA")
	r := resolver(d.Addr)
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"both.test", "[2001:db8::1 10.0.0.1]", nil},
		{"four.test", "[10.0.0.1]", nil},
		{"six.test", "[2001:db8::1]", nil},
		{"half.test", "[10.0.0.1]", nil},
		{"none.test", "[]", dnsx.ErrNoData},
		{"gone.test", "[]", dnsx.ErrNotFound},
		{"fail.test", "[]", dnsx.ErrTemporary},
	} {
		got, err := r.Addrs(t.Context(), c.name)
		if !errors.Is(err, c.err) || fmt.Sprint(got) != c.want {
			t.Errorf("%q: %v, %v", c.name, got, err)
		}
	}
}

// TestCache runs without sockets, so that the bubble's clock can move.
func TestCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		record := "x.test. 300 MX 10 a.test."
		r := dnsx.New(dnsx.Options{Server: "192.0.2.1", Entries: 10, Exchange: func(_ context.Context, _, server string, m *dns.Msg) (*dns.Msg, error) {
			if server != "192.0.2.1:53" {
				t.Errorf("asked %s", server)
			}
			asked++
			reply := new(dns.Msg).SetReply(m)
			if record == "" {
				reply.Rcode = dns.RcodeNameError
				return reply, nil
			}
			rr, err := dns.NewRR(record)
			if err == nil && dns.CanonicalName(rr.Header().Name) == dns.CanonicalName(m.Question[0].Name) {
				reply.Answer = []dns.RR{rr}
			}
			return reply, err
		}})
		look := func(what string, want int, kind error) {
			t.Helper()
			if _, err := r.MX(t.Context(), "x.test"); !errors.Is(err, kind) || asked != want {
				t.Errorf("%s: asked %d times, want %d; %v", what, asked, want, err)
			}
		}
		look("first", 1, nil)
		<-time.After(299 * time.Second)
		look("within the TTL", 1, nil)
		<-time.After(2 * time.Second)
		record = ""
		look("after it", 2, dnsx.ErrNotFound)
		look("a negative answer", 2, dnsx.ErrNotFound)
		<-time.After(time.Minute)
		record = "x.test. 999999 MX 10 a.test."
		look("after that", 3, nil)
		<-time.After(61 * time.Minute)
		look("a TTL is bounded", 4, nil)
		for i := range 50 {
			_, _ = r.MX(t.Context(), fmt.Sprintf("other%d.test", i))
		}
		before := asked
		for i := range 50 {
			_, _ = r.MX(t.Context(), fmt.Sprintf("other%d.test", i))
		}
		if again := asked - before; again < 40 {
			t.Errorf("room for 10 answers remembered %d", 50-again)
		}
	})
}

func TestOneQuestionForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		r := dnsx.New(dnsx.Options{Server: "192.0.2.1", Exchange: func(ctx context.Context, _, _ string, m *dns.Msg) (*dns.Msg, error) {
			asked++
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			rr, err := dns.NewRR(m.Question[0].Name + " 300 MX 10 a.test.")
			reply := new(dns.Msg).SetReply(m)
			reply.Answer = []dns.RR{rr}
			return reply, err
		}})
		// ask has some ask at the same time, the first for a tenth of a second.
		ask := func(name string, others int) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			var all sync.WaitGroup
			all.Go(func() {
				if _, err := r.MX(ctx, name); !errors.Is(err, dnsx.ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("who gave up got %v", err)
				}
			})
			synctest.Wait()
			for range others {
				all.Go(func() {
					if _, err := r.MX(t.Context(), name); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		ask("x.test", 20)
		if asked != 2 { // for him, and for the others once he has gone
			t.Errorf("asked %d times", asked)
		}
		ask("y.test", 0)
		<-time.After(2 * time.Second)
		if _, err := r.MX(t.Context(), "y.test"); err != nil || asked != 4 {
			t.Errorf("%v, asked %d times: the answer that nobody waited for was not remembered", err, asked)
		}
	})
}

// TestPanicOfAQuestion: those who wait for it hear of it, and the next one asks again.
func TestPanicOfAQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := make(chan struct{})
		r := dnsx.New(dnsx.Options{Server: "192.0.2.1", Exchange: func(_ context.Context, _, _ string, m *dns.Msg) (*dns.Msg, error) {
			if _, open := <-d; open {
				panic("for a test")
			}
			return new(dns.Msg).SetRcode(m, dns.RcodeNameError), nil
		}})
		var all sync.WaitGroup
		all.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic came through")
				}
			}()
			_, _ = r.MX(t.Context(), "x.test")
		})
		synctest.Wait()
		all.Go(func() {
			if _, err := r.MX(t.Context(), "x.test"); !errors.Is(err, dnsx.ErrTemporary) {
				t.Error(err)
			}
		})
		synctest.Wait()
		d <- struct{}{}
		all.Wait()
		close(d)
		if _, err := r.MX(t.Context(), "x.test"); !errors.Is(err, dnsx.ErrNotFound) {
			t.Error(err)
		}
	})
}

// TestReverse: a name counts if it leads back, for which addresses of the other family
// are not asked.
func TestReverse(t *testing.T) {
	t.Parallel()
	six := netip.MustParseAddr("2001:db8::1")
	pointer, err := dns.ReverseAddr(six.String())
	if err != nil {
		t.Fatal(err)
	}
	d := testkit.StartDNS(t, "1.0.0.10.in-addr.arpa. 60 PTR four.test.", "four.test. 60 A 10.0.0.1", "four.test. 60 AAAA 2001:db8::9",
		pointer+" 60 PTR six.test.", "six.test. 60 A 10.0.0.9", "six.test. 60 AAAA 2001:db8::1",
		"2.0.0.10.in-addr.arpa. 60 PTR other.test.", "other.test. 60 A 10.0.0.1")
	r := resolver(d.Addr)
	for addr, want := range map[netip.Addr]string{
		netip.MustParseAddr("10.0.0.1"): "four.test", netip.MustParseAddr("::ffff:10.0.0.1"): "four.test", six: "six.test",
		netip.MustParseAddr("10.0.0.2"): "", netip.MustParseAddr("10.0.0.3"): "",
	} {
		if got, err := r.Reverse(t.Context(), addr); got != want || err != nil {
			t.Errorf("%v: %q, %v", addr, got, err)
		}
	}
	for _, q := range d.Queries() {
		if q.Name == "four.test." && q.Type == "AAAA" || q.Name == "six.test." && q.Type == "A" {
			t.Errorf("asked %+v", q)
		}
	}
}
