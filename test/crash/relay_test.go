package crash

import (
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/load"
	"github.com/hayauma/hayauma/test/node"
)

// The domains of the proof of relaying, named for what becomes of their mail.
const (
	homeDomain    = "a.test"       // of the senders, at the first server
	nextDomain    = "b.test"       // has its mailboxes at the second server
	unknownDomain = "unknown.test" // of the second server, which knows nobody there
	sinkDomain    = "sink.test"    // its exchanger takes everything
	laterDomain   = "later.test"   // the same, after a time of 4xx
	neverDomain   = "never.test"   // 4xx for ever
	goneDomain    = "gone.test"    // 5xx
	viaDomain     = "via.test"     // the second server takes it to the exchanger
	lostDomain    = "vialost.test" // the same, and there it is refused
)

const (
	relaySender = "user0@" + homeDomain
	// defaultRelayKills is for `make test`; `make crash KILLS=100` sets HAYAUMA_KILLS.
	defaultRelayKills = 20
	// settlePatience is for all that is left when the load has ended. A server that
	// found the other one down asks again after half a minute.
	settlePatience = 2 * time.Minute
)

const relayConfig = `[auth]
allow_cleartext = true
[relay]
networks = ["127.0.0.0/8"]
`

// TestCrashRelay kills two servers, of which the first relays to the second and
// both to a third host, in turn at random moments under load. Each recipient of
// each message that was confirmed is delivered, or its sender has a report, or it
// is still queued. A host has a message twice only where its reply was lost, or
// whoever brought it died before the result was written down.
func TestCrashRelay(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, "HAYAUMA_KILLS", defaultRelayKills), uint64(number(t, "HAYAUMA_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d (HAYAUMA_SEED repeats the moments of the kills)", seed)
	rng := rand.New(rand.NewPCG(seed, 3))

	w := newRelayWorld(t)
	g := &generator{smtp: w.a.SMTP}
	w.load(t, g)
	for n := range kills {
		victim := []*node.Node{w.b, w.a}[n%2]
		select {
		case <-time.After(time.Duration(200+rng.IntN(900)) * time.Millisecond):
		case <-w.a.Ended():
			t.Fatal("the first server ended by itself")
		case <-w.b.Ended():
			t.Fatal("the second server ended by itself")
		}
		w.kill(victim)
		if n == kills/2 {
			w.sink.SetRules(sinkRules(false)...)
		}
		if t.Failed() {
			break
		}
	}
	got := g.end(t)
	w.settle(t)
	b := w.account(t, got.sizes)
	b.compare(t, got)
	t.Logf("crash of relaying: %d kills, %d messages accepted", kills, len(got.messages))
	t.Logf("of %d recipients: %d delivered, %d bounced, %d still queued", b.recipients, b.delivered, b.bounced, b.queued)
	t.Logf("twice at the sink: %d whose reply was lost (of %d cuts), %d whose bringer was killed; twice elsewhere after a kill: %d in mailboxes, %d reports",
		b.cutTwice, b.cuts, b.killedTwice, b.mailTwice, b.reportsTwice)
}

// relayWorld is the two servers and the host behind them. All have one port, each
// at an address of its own, as hosts on the network have.
type relayWorld struct {
	a, b  *node.Node
	sink  *testkit.MX
	kills []killed
}

type killed struct {
	host string
	at   time.Time
}

func newRelayWorld(t *testing.T) *relayWorld {
	t.Helper()
	w := &relayWorld{a: node.Addresses(t, homeDomain), b: node.Addresses(t, nextDomain)}
	port := node.PortOf(w.a.SMTP)
	w.b.SMTP = net.JoinHostPort("127.0.0.2", port)
	w.sink = testkit.StartMX(t, testkit.MXOptions{Addr: net.JoinHostPort("127.0.0.3", port)}, sinkRules(true)...)
	hosts := []string{"mx.a.test. 60 A 127.0.0.1", "mx.b.test. 60 A 127.0.0.2", "mx.sink.test. 60 A 127.0.0.3"}
	records := func(host string, domains ...string) (out []string) {
		for _, d := range domains {
			out = append(out, d+". 60 MX 10 "+host+".")
		}
		return out
	}
	// The second server is the exchanger of some domains only for the first one.
	first := testkit.StartDNS(t, append(hosts, append(records("mx.b.test", nextDomain, unknownDomain, viaDomain, lostDomain),
		records("mx.sink.test", sinkDomain, laterDomain, neverDomain, goneDomain)...)...)...)
	second := testkit.StartDNS(t, append(hosts, append(records("mx.a.test", homeDomain),
		records("mx.sink.test", viaDomain, lostDomain)...)...)...)
	o := node.Options{Port: w.a.SMTP, Queue: "retry = [\"1s\", \"2s\", \"5s\"]\ndelay_notice = \"0s\"", Extra: relayConfig, NoUsers: true}
	o.DNS = first
	w.a.Start(o)
	o.DNS = second
	w.b.Start(o)
	w.a.Run("", "domain", "add", homeDomain)
	w.a.Run(password+"\n", "account", "add", relaySender, "--password-stdin")
	w.b.Run("", "domain", "add", nextDomain)
	w.b.Run("", "domain", "add", unknownDomain)
	for n := range accounts {
		w.b.Run(password+"\n", "account", "add", nextAccount(n), "--password-stdin")
	}
	return w
}

func nextAccount(n int) string { return strings.Replace(account(n), localDomain, nextDomain, 1) }

// sinkRules let the sink put off and refuse what it shall, and leave between the
// final dot and its reply now and then. It is undecided then whether it has kept
// the message: see cuts.
func sinkRules(early bool) []testkit.MXRule {
	rules := []testkit.MXRule{
		{Command: "RCPT", Contains: "@" + goneDomain, Reply: "550 5.1.1 Nobody of that name"},
		{Command: "RCPT", Contains: "@" + lostDomain, Reply: "550 5.1.1 Nobody of that name"},
		{Command: "RCPT", Contains: "@" + neverDomain, Reply: "451 4.3.0 Not now"},
	}
	if early {
		rules = append(rules, testkit.MXRule{Command: "RCPT", Contains: "@" + laterDomain, Reply: "451 4.3.0 Not yet"})
	}
	for n := 20; n < 4000; n += 40 {
		rules = append(rules, testkit.MXRule{Command: "END", Nth: n, Drop: true})
	}
	return rules
}

// load begins the flows. What becomes of a message is one thing for all of its
// recipients.
func (w *relayWorld) load(t *testing.T, g *generator) {
	t.Helper()
	ctx := g.open(t)
	for _, f := range []struct {
		run, domain string
		rcpts, size int
		every       time.Duration
	}{
		{"next", nextDomain, 2, 5000, 25 * time.Millisecond},
		{"unknown", unknownDomain, 1, 3000, 80 * time.Millisecond},
		{"sink", sinkDomain, 2, 4000, 20 * time.Millisecond},
		{"big", sinkDomain, 1, largeSize, 500 * time.Millisecond},
		{"later", laterDomain, 1, 3000, 100 * time.Millisecond},
		{"never", neverDomain, 1, 3000, 600 * time.Millisecond},
		{"gone", goneDomain, 2, 3000, 60 * time.Millisecond},
		{"via", viaDomain, 2, 4000, 30 * time.Millisecond},
		{"lost", lostDomain, 1, 3000, 60 * time.Millisecond},
	} {
		g.send(ctx, flow{load.Source{Run: f.run, Addr: g.smtp, From: relaySender, Domain: f.domain,
			Mailboxes: accounts, Rcpts: f.rcpts, Size: f.size, Conns: 2}, f.every})
	}
}

func (w *relayWorld) kill(n *node.Node) {
	n.Kill()
	w.kills = append(w.kills, killed{n.Host, time.Now()})
	n.Server = n.Again()
}

// settle waits until nothing waits that can go. Both servers begin anew, since
// what they know of the other one is from the kills: who was found down is left
// alone for a while. The second one has nothing to do when the first one ends, so
// that it does not find it down.
func (w *relayWorld) settle(t *testing.T) {
	t.Helper()
	w.sink.SetRules(sinkRules(false)[:3]...)
	for _, n := range []*node.Node{w.b, w.a} {
		n.Server = n.Restart()
		w.drained(t, n)
	}
	w.drained(t, w.b)
	for _, n := range []*node.Node{w.a, w.b} {
		if err := n.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if r := n.Hayauma("", "check", "--deep"); r.Code != 0 {
			t.Errorf("check --deep of %s: code %d\n%s%s", n.Host, r.Code, r.Stdout, r.Stderr)
		}
		n.Server = n.Again()
	}
}

// drained waits until a queue holds only what waits for ever.
func (w *relayWorld) drained(t *testing.T, n *node.Node) {
	t.Helper()
	left := ""
	defer func() {
		if left != "" {
			t.Logf("still in the queue of %s: %s", n.Host, left)
		}
	}()
	testkit.Eventually(t, settlePatience, "the queue of "+n.Host+" to be settled", func() bool {
		list, err := control.Ask(t.Context(), admin(n), control.QueueList, control.QueueFilter{All: true})
		if err != nil {
			t.Fatal(err)
		}
		left = ""
		for _, e := range list {
			if !strings.HasSuffix(e.Recipient, "@"+neverDomain) {
				left = e.Recipient + " " + e.State + " " + e.Why + " " + e.Reply
			}
		}
		return left == ""
	})
}

func admin(n *node.Node) *control.Client {
	return control.Dial(control.SocketPath(filepath.Join(n.Dir, "data")))
}
