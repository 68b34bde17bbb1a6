package dnsx_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// TestDialerStaysOutside: an address that a stranger gives leads to the Internet, or to
// a network that was named, and nowhere else.
func TestDialerStaysOutside(t *testing.T) {
	t.Parallel()
	own := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.2/32")}
	for address, want := range map[string]bool{
		"192.0.2.1": true, "8.8.8.8": true, "2001:db8::1": true, "64:ff9b::808:808": true, "2002:808:808::1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "fd00::1": false, "fec0::1": false,
		"100.64.0.1": false, "169.254.169.254": false, "fe80::1": false, "224.0.0.1": false, "ff02::1": false, "240.0.0.1": false, "255.255.255.255": false,
		"64:ff9b::a00:1": false, "64:ff9b:1::808:808": false, "2002:7f00:1::1": false,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "127.0.0.2": true, "10.2.0.1": false,
	} {
		reached := false
		d := dnsx.Dialer{Public: true, Own: func() []netip.Prefix { return own }, Dial: func(context.Context, string, string) (net.Conn, error) {
			reached = true
			return nil, errors.New("that far")
		}}
		_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(address, "443"))
		if reached != want || !want && !errors.Is(err, dnsx.ErrNotPublic) {
			t.Errorf("%s: reached %v, %v", address, reached, err)
		}
	}
}

// TestDialerRaces: addresses that swallow what is sent to them hide none behind them,
// and nothing is left of those that come too late.
func TestDialerRaces(t *testing.T) {
	t.Parallel()
	const six, four = "2001:db8::1", "192.0.2.1"
	all := []string{six, "2001:db8::2", "2001:db8::3", "2001:db8::4", four, "192.0.2.2"}
	both := []string{six, four}
	type times map[string]time.Duration
	for name, c := range map[string]struct {
		addrs   []string
		works   times // those that answer, and when
		refuses bool  // what the others do; else they swallow
		only    bool  // IPv4
		want    string
		tried   string
		after   time.Duration
	}{
		"IPv6 works":                {addrs: all, works: times{six: 0, four: 0}, want: six, tried: six},
		"IPv6 swallows":             {addrs: all, works: times{four: 0}, want: four, tried: six + " " + four, after: 250 * time.Millisecond},
		"IPv6 refuses":              {addrs: all, works: times{four: 0}, refuses: true, want: four, tried: six + " " + four},
		"the second is faster":      {addrs: both, works: times{six: time.Second, four: 0}, want: four, tried: six + " " + four, after: time.Second},
		"the first is slow":         {addrs: both, works: times{six: 300 * time.Millisecond, four: 100 * time.Millisecond}, want: six, tried: six + " " + four, after: 350 * time.Millisecond},
		"the first four":            {addrs: all, tried: six + " " + four + " 2001:db8::2 192.0.2.2", after: 15*time.Second + 750*time.Millisecond},
		"all refuse":                {addrs: both, refuses: true, tried: six + " " + four},
		"IPv4 alone":                {addrs: all, only: true, works: times{six: 0, four: 0}, want: four, tried: four},
		"IPv4 alone, of IPv6 alone": {addrs: both[:1], only: true, works: times{six: 0}, want: six, tried: six},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var tried []string
				left := 0 // connections that are open
				d := dnsx.Dialer{Public: true, IPv4Only: func() bool { return c.only }}
				d.Resolver = dnsx.New(dnsx.Options{Server: "192.0.2.53", Exchange: addressesOf(c.addrs)})
				d.Dial = func(ctx context.Context, _, to string) (net.Conn, error) {
					host, _, _ := net.SplitHostPort(to)
					mu.Lock()
					tried = append(tried, host)
					mu.Unlock()
					wait, works := c.works[host]
					switch {
					case works:
						time.Sleep(wait) // one that is given up may connect nevertheless
						mu.Lock()
						defer mu.Unlock()
						left++
						return &dialedConn{host: host, close: func() { mu.Lock(); defer mu.Unlock(); left-- }}, nil
					case c.refuses:
						return nil, errors.New("refused")
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				start := time.Now()
				conn, err := d.DialContext(t.Context(), "tcp", "far.test:443")
				won := ""
				if err == nil {
					won = conn.(*dialedConn).host
					_ = conn.Close()
				}
				if got := strings.Join(tried, " "); won != c.want || got != c.tried || time.Since(start) != c.after {
					t.Errorf("%q of %s after %v; want %q of %s after %v", won, got, time.Since(start), c.want, c.tried, c.after)
				}
				if left != 0 {
					t.Errorf("%d connections were left open", left)
				}
			})
		})
	}
}

// dialedConn knows whose it is.
type dialedConn struct {
	net.Conn
	host  string
	close func()
}

func (c *dialedConn) Close() error { c.close(); return nil }

// addressesOf answers for any name.
func addressesOf(addrs []string) func(context.Context, string, string, *dns.Msg) (*dns.Msg, error) {
	return func(_ context.Context, _, _ string, q *dns.Msg) (*dns.Msg, error) {
		answer := new(dns.Msg).SetReply(q)
		for _, a := range addrs {
			kind := dns.TypeA
			if strings.Contains(a, ":") {
				kind = dns.TypeAAAA
			}
			if kind != q.Question[0].Qtype {
				continue
			}
			rr, err := dns.NewRR(q.Question[0].Name + " 60 " + dns.TypeToString[kind] + " " + a)
			if err != nil {
				return nil, err
			}
			answer.Answer = append(answer.Answer, rr)
		}
		return answer, nil
	}
}
