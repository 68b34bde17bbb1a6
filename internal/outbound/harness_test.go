package outbound_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long what has to happen may take, on a machine with much else to do.
const patience = 20 * time.Second

const text = "Subject: hi\r\n\r\nHello\r\n.dots\r\n"

// bodies is a blob.Store that only reads.
type bodies map[mail.ID]string

func (b bodies) Create() blob.Writer               { return nil }
func (b bodies) Restore(mail.ID) blob.Writer       { return nil }
func (b bodies) Drop(...blob.Body)                 {}
func (b bodies) Record(*db.Tx, ...blob.Body) error { return nil }
func (b bodies) Health() error                     { return nil }
func (b bodies) Close() error                      { return nil }
func (b bodies) Sweep(context.Context, []blob.Reference) (blob.Swept, error) {
	return blob.Swept{}, nil
}
func (b bodies) Check(context.Context, []blob.Reference, func(string)) error { return nil }

func (b bodies) Open(_ context.Context, id mail.ID) (blob.Reader, error) {
	s, ok := b[id]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return reader{strings.NewReader(s)}, nil
}

type reader struct{ *strings.Reader }

func (r reader) Close() error { return nil }
func (r reader) Size() int64  { return r.Reader.Size() }

// world is an Outbound whose dials go where the test says.
type world struct {
	t       *testing.T
	dns     *testkit.DNS
	set     outbound.Settings
	bodies  bodies
	tls     *tls.Config
	ours    netip.AddrPort
	trustAD bool
	relays  map[string]*outbound.Relay // by site
	lost    error                      // it cannot be told what a relay domain is
	limits  func(string) outbound.Limits
	options outbound.Options
	ways    map[string]route.Route
	from    func(context.Context, *queue.Message, mail.Address) (mail.Address, bool, error) // nil = the sender's own
	envID   func(context.Context, *queue.Message) (string, error)                           // nil = none
	o       *outbound.Outbound
	ids     *mail.IDs

	mu     sync.Mutex
	routes map[string]string // "10.0.0.1:25" to where it listens; "" = hangs
	dialed []string
}

func newWorld(t *testing.T, records ...string) *world {
	t.Helper()
	w := &world{t: t, dns: testkit.StartDNS(t, records...), bodies: bodies{1: text}, ways: map[string]route.Route{}, ids: mail.NewIDs(1, 0), routes: map[string]string{}}
	w.set = outbound.Settings{MessagesPerConnection: 100, ConnectTimeout: patience, Grace: 2 * time.Second}
	w.options = outbound.Options{
		Hostname: func() string { return "us.test" },
		Resolver: w.resolver(patience),
		Blobs:    w.bodies,
		Route: func(name string) (route.Route, bool) {
			r, ok := w.ways[name]
			return r, ok
		},
		Settings: func() outbound.Settings { return w.set },
		Dial:     w.dial,
		Limits: func(provider string) outbound.Limits {
			if w.limits == nil {
				return outbound.Limits{}
			}
			return w.limits(provider)
		},
		TLS:    func() *tls.Config { return w.tls },
		IsOurs: func(a netip.AddrPort) bool { return a == w.ours },
		Relay:  func(_ context.Context, site string) (*outbound.Relay, error) { return w.relays[site], w.lost },
		EnvID: func(ctx context.Context, m *queue.Message) (string, error) {
			if w.envID == nil {
				return "", nil
			}
			return w.envID(ctx, m)
		},
		From: func(ctx context.Context, m *queue.Message, to mail.Address) (mail.Address, bool, error) {
			if w.from == nil {
				return m.From, false, nil
			}
			return w.from(ctx, m, to)
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	w.o = outbound.New(w.options)
	w.tls = new(tls.Config)
	t.Cleanup(func() { w.o.Close() })
	return w
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, addr)
	to, known := w.routes[addr]
	w.mu.Unlock()
	switch {
	case !known:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	case to == "":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, "tcp", to) // of a socket as well
}

// route makes an address reach a fake MX.
func (w *world) route(addr string, mx *testkit.MX) { w.routes[addr] = mx.Addr }

// resolver is one that waits so long for each answer.
func (w *world) resolver(wait time.Duration) *dnsx.Resolver {
	return dnsx.New(dnsx.Options{Server: w.dns.Addr, Timeout: wait, TrustAD: func() bool { return w.trustAD }})
}

// unanswered has nobody answer for a name, which is given up soon.
func (w *world) unanswered(name string) {
	w.dns.Fail(name, testkit.DNSTimeout)
	w.options.Resolver = w.resolver(500 * time.Millisecond)
	w.o.Close()
	w.o = outbound.New(w.options)
}

// hang makes an address swallow what is sent there, and connections give it up soon.
func (w *world) hang(addr string) {
	w.routes[addr] = ""
	w.set.ConnectTimeout = time.Second
}

// mx is one host at 10.0.0.1 that takes mail for x.test.
func (w *world) mx(o testkit.MXOptions, rules ...testkit.MXRule) *testkit.MX {
	w.dns.Add("x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
	m := testkit.StartMX(w.t, o, rules...)
	w.route("10.0.0.1:25", m)
	return m
}

func (w *world) job(to ...string) *queue.Job {
	w.t.Helper()
	m := &queue.Message{ID: w.ids.Next(), Body: 1, Prefix: []byte("X-Prefix: yes\r\n")}
	m.From = w.address("from@us.test")
	job := &queue.Job{Message: m}
	for _, s := range to {
		a := w.address(s)
		job.Recipients = append(job.Recipients, queue.Recipient{ID: w.ids.Next(), Recipient: mail.Recipient{Address: a}, Site: a.Domain.ASCII})
	}
	return job
}

func (w *world) address(s string) mail.Address {
	w.t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// course is how a job goes on, as the test says.
type course func(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient

func (c course) Another(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient {
	return c(outcomes, left)
}

// deliver is one worker that does the jobs and returns their outcomes.
func (w *world) deliver(ctx context.Context, jobs ...*queue.Job) [][]queue.Outcome {
	w.t.Helper()
	var out [][]queue.Outcome
	site := jobs[0].Recipients[0].Site
	w.o.Deliver(ctx, site, func() *queue.Job {
		if len(jobs) == 0 {
			return nil
		}
		job := jobs[0]
		jobs = jobs[1:]
		job.More = len(jobs) > 0
		return job
	}, func(_ *queue.Job, o []queue.Outcome) { out = append(out, o) })
	return out
}

// send is deliver for one message.
func (w *world) send(to ...string) []queue.Outcome {
	w.t.Helper()
	return w.deliver(w.t.Context(), w.job(to...))[0]
}

// show is an outcome in one line: result, code, enhanced code, whose words.
func show(o queue.Outcome) string {
	words := "theirs"
	if o.Ours {
		words = "ours"
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %d %s %s", o.Result, o.Code, o.Enhanced, words)), " ")
}

func (w *world) want(got []queue.Outcome, want ...string) {
	w.t.Helper()
	var lines []string
	for _, o := range got {
		lines = append(lines, show(o))
	}
	if !slices.Equal(lines, want) {
		w.t.Errorf("outcomes\n got %q\nwant %q\nfull %+v", lines, want, got)
	}
}

func (w *world) dials() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.dialed, " ")
}

// jobs gives n jobs for a@x.test, and calls before at each.
func (w *world) jobs(n int, before func()) func() *queue.Job {
	return func() *queue.Job {
		if n--; n < 0 {
			return nil
		}
		before()
		job := w.job("a@x.test")
		job.More = n > 0
		return job
	}
}

// outcomes collects what becomes of jobs.
func (w *world) outcomes(into *[]string) func(*queue.Job, []queue.Outcome) {
	return func(_ *queue.Job, list []queue.Outcome) {
		for _, o := range list {
			*into = append(*into, show(o))
		}
	}
}
