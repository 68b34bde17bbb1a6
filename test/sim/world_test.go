package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/sqlite"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
)

// site is a domain that mail goes to.
type site struct {
	name string
	zone *zone
}

// said is a reply of a host.
type said struct {
	code    int
	host    string
	to      []string // whom it is about; none = about the sender
	content bool     // it stood behind a message
}

// world is one run.
type world struct {
	t      testing.TB
	rng    *rand.Rand
	seed   uint64
	start  time.Time
	engine db.DB
	ids    *mail.IDs
	gates  *gates
	model  *model
	set    queue.Settings
	shared string        // the provider of all sites but the first, empty = each has its own
	limits queue.Limits  // of every provider
	alone  time.Duration // what a 421 asks for
	relay  outbound.Settings
	faults faults
	nap    time.Duration

	sites    []*site
	hosts    map[netip.Addr]*host
	addrs    []netip.Addr
	bodies   map[mail.ID]string
	sessions []*session
	said     map[int]said
	hooks    []hook

	p                                        *process
	processes, dials, replies, opCount, step int
	people                                   int // recipients so far
	reporting                                *process
	recovered                                *process
	nothing                                  time.Time // a look for reports found none to write: what waits needs time

	mu    sync.Mutex
	lines []string
	wrong string
}

// mostPause is how long a provider may want to be left alone.
const mostPause = 7 * time.Minute

// provider is who takes the mail of a site.
func (w *world) provider(site string) string {
	if w.shared != "" && site != w.sites[0].name {
		return w.shared
	}
	return site
}

// newWorld makes a world of a seed, inside a bubble.
func newWorld(t testing.TB, dir string, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 2)), seed: seed, start: time.Now(), ids: mail.NewIDs(0, 0), gates: newGates(),
		hosts: map[netip.Addr]*host{}, bodies: map[mail.ID]string{}, said: map[int]said{}, nap: 20 * time.Minute,
	}
	w.model = newModel(w)
	w.faults.w = w
	engine, err := sqlite.Open(context.Background(), sqlite.Options{
		Path: filepath.Join(dir, "hayauma.db"), Readers: 1, MinFree: func() int64 { return 0 },
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	w.engine = engine
	if err := engine.Migrate(context.Background(), queue.Schema()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	w.furnish()
	return w
}

// chance is true so often in a thousand.
func (w *world) chance(n int) bool { return n > 0 && w.rng.IntN(1000) < n }

// oneOf chooses.
func oneOf[T any](w *world, list ...T) T { return list[w.rng.IntN(len(list))] }

func (w *world) trace(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf("%d %v ", w.step, time.Since(w.start))+fmt.Sprintf(format, args...))
}

func (w *world) hash() uint64 {
	h := fnv.New64a()
	for _, line := range w.lines {
		_, _ = h.Write([]byte(line + "\n")) // never fails
	}
	return h.Sum64()
}

// fail notes the first promise that is broken.
func (w *world) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace("BROKEN: %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == "" {
		w.wrong = text
	}
}

func (w *world) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong != ""
}

func (w *world) siteOf(name string) *site {
	for _, s := range w.sites {
		if s.name == name {
			return s
		}
	}
	w.fail("nobody knows the site %s", name)
	return &site{zone: &zone{}}
}

// tooBig tells whether a host has said that it does not take so much.
func (w *world) tooBig(name string, m *queue.Message) bool {
	for _, h := range w.hosts {
		if h.name == name {
			return h.size > 0 && int64(len(m.Prefix)+len(w.bodies[m.Body])) > h.size
		}
	}
	return false
}

// furnish makes settings, sites and hosts.
func (w *world) furnish() {
	w.set = queue.Settings{
		Retry: oneOf(w, []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour},
			[]time.Duration{10 * time.Minute}, []time.Duration{30 * time.Minute, 2 * time.Hour}),
		Lifetime: oneOf(w, 3*time.Hour, 24*time.Hour, 72*time.Hour), DelayNotice: oneOf(w, 0, time.Hour),
		Memory:      oneOf[int64](w, 0, 3000, 1<<20, 16<<20),
		Concurrency: 1 + w.rng.IntN(6), PerSite: 1 + w.rng.IntN(3), Grace: oneOf(w, time.Second, 10*time.Second, time.Minute),
	}
	if len(w.set.Retry) == 1 {
		w.set.Lifetime = 3 * time.Hour // days of it would be long
	}
	if w.chance(400) {
		w.shared = "test" // whose hosts all are
		w.limits = queue.Limits{Connections: 1 + w.rng.IntN(4), Rate: oneOf(w, 0, 0, 4), Per: time.Minute}
		w.alone = oneOf(w, 0, 5*time.Second, mostPause)
	}
	w.relay = outbound.Settings{
		MessagesPerConnection: oneOf(w, 1, 3, 100), IdleTimeout: oneOf(w, 0, 5*time.Second, 2*time.Minute),
		ByData: w.chance(300), Grace: w.set.Grace,
	}
	for i := range 1 + w.rng.IntN(6) {
		s := &site{name: fmt.Sprintf("s%d.test", i+1), zone: &zone{kind: "mx"}}
		w.sites = append(w.sites, s)
		switch w.rng.IntN(12) {
		case 0:
			s.zone.kind = oneOf(w, "gone", "null", "bare")
			continue
		case 1, 2:
			s.zone.kind = "implicit"
			w.newHost(s, s.name, i, 0)
			continue
		}
		for n := range 1 + w.rng.IntN(2) {
			w.newHost(s, fmt.Sprintf("mx%d.%s", n+1, s.name), i, n)
		}
	}
}

func (w *world) newHost(s *site, name string, i, n int) {
	h := &host{name: name, seen: map[string]time.Time{}, temper: w.temper()}
	for _, keyword := range []string{"PIPELINING", "8BITMIME", "DSN", "CHUNKING", "DELIVERBY", "SMTPUTF8"} {
		if w.chance(600) {
			h.keywords = append(h.keywords, keyword)
		}
	}
	h.most = oneOf(w, 0, 0, 0, 2)
	h.size = oneOf[int64](w, 0, 1<<20, 1<<20, 1500)
	s.zone.hosts = append(s.zone.hosts, h)
	addr := netip.AddrFrom4([4]byte{10, 0, byte(i), byte(n + 1)})
	w.hosts[addr] = h
	w.addrs = append(w.addrs, addr)
	if w.chance(200) {
		six := netip.MustParseAddr(fmt.Sprintf("fd00::%d:%d", i+1, n+1))
		w.hosts[six] = h
		w.addrs = append(w.addrs, six)
	}
}

// temper draws how a host behaves.
func (w *world) temper() temper {
	t := temper{name: "polite", chop: oneOf(w, 0, 0, 100)}
	switch w.rng.IntN(15) {
	case 0:
		t = temper{name: "refuses", refuses: true}
	case 1:
		t = temper{name: "hangs", hangs: true}
	case 2:
		t = temper{name: "slow", delay: 20 * time.Second}
	case 3:
		t = temper{name: "greylists", greylist: true}
	case 4:
		t = temper{name: "421", after: 1 + w.rng.IntN(3)}
	case 5:
		t = temper{name: "drops the dot", dropDot: 500}
	case 6:
		t = temper{name: "lies", lies: true}
	case 7:
		t = temper{name: "half open", silent: 150}
	case 8:
		t = temper{name: "broken tls", tls: 1000}
	case 9:
		t = temper{name: "tarpit", delay: 11 * time.Minute}
	case 10:
		t = temper{name: "picky", rcpt4: 200, rcpt5: 200, data4: 150, data5: 100, mail4: 100, mail5: 50}
	case 11:
		t = temper{name: "mad", drop: 80, garbage: 80, chop: 200, dropDot: 100, silent: 30, tls: 300}
	case 12:
		t = temper{name: "down", down: true}
	}
	return t
}

// advance lets the clock go on, at most to a time from now, until somebody comes
// to a gate.
func (w *world) advance(d time.Duration) {
	now := time.Now()
	for _, s := range w.sessions {
		if ready, at := s.pending(now); !ready && !at.IsZero() {
			d = min(d, at.Sub(now))
		}
	}
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.gates.changed:
	}
}

// rest waits until nobody runs, and forgets what is over.
func (w *world) rest() {
	synctest.Wait()
	select {
	case <-w.gates.changed:
	default:
	}
	w.sessions = slices.DeleteFunc(w.sessions, func(s *session) bool { return s.ended })
}

// ready is all that could go on now, each as what the trace calls it.
type ready struct {
	what string
	do   func()
}

func (w *world) ready() []ready {
	var out []ready
	for _, one := range w.gates.list() {
		out = append(out, ready{one.key, func() { w.gates.open(one) }})
	}
	now := time.Now()
	for _, s := range w.sessions {
		if ok, _ := s.pending(now); ok {
			out = append(out, ready{"", s.step})
		}
	}
	for i, h := range w.hooks {
		out = append(out, ready{h.name + " is found done", func() {
			w.hooks = slices.Delete(w.hooks, i, i+1)
			for _, f := range h.run {
				f()
			}
		}})
	}
	return out
}
