package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/load"
	"github.com/hayauma/hayauma/test/node"
)

const (
	mostOfATenth = 1.1 // of the memory after a tenth of the messages
	mostDeferred = 400 << 20
	mostStart    = 10 * time.Second // until the first delivery
	destinations = 5000
	relays       = "[relay]\nnetworks = [\"127.0.0.1\"]\n"
)

// asked is how much a test is to do, by a variable of the environment; set = not its
// usual part, which tells whether all of it works, and nothing about memory.
func asked(t *testing.T, name string, usual int) (n int, set bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// TestMemoryOfARelay: what a server has relayed costs it no memory. HAYAUMA_RELAYED
// says how many messages: after all of them it has at most a tenth more than after
// a tenth of them.
func TestMemoryOfARelay(t *testing.T) {
	t.Parallel()
	all, set := asked(t, "HAYAUMA_RELAYED", 1000)
	sink := startSink(t)
	dns := testkit.StartDNS(t, "dest.test. 3600 MX 10 mx.dest.test.", "mx.dest.test. 3600 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: sink.Address(), Extra: relays, NoUsers: true})
	first := relayed(t, n, sink, all/10)
	last := relayed(t, n, sink, all-all/10)
	if grown := float64(last) / float64(first); set && grown > mostOfATenth {
		t.Errorf("after %d messages it has %.2f times the memory of after %d", all, grown, all/10)
	}
}

func startSink(t *testing.T) *load.Sink {
	t.Helper()
	sink := &load.Sink{Addr: "127.0.0.1:0"}
	if err := sink.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	return sink
}

// relayed sends more messages through the server and tells how much memory it has
// when all are delivered.
func relayed(t *testing.T, n *node.Node, sink *load.Sink, messages int) int64 {
	t.Helper()
	before, began := sink.Count(), time.Now()
	meter, err := load.StartMeter(time.Second, n.Pid())
	if err != nil {
		t.Fatal(err)
	}
	source := load.Source{Addr: n.SMTP, Conns: 50, PerConn: 50, Mailboxes: 100, Messages: messages}
	if r, err := source.Send(t.Context()); err != nil || r.Messages != messages {
		t.Fatalf("sent %+v, %v", r, err)
	}
	if err := sink.Wait(t.Context(), before+int64(messages)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	peak, err := meter.Stop()
	if err != nil {
		t.Fatal(err)
	}
	heap, free := metric(t, n, "go_memstats_heap_alloc_bytes"), metric(t, n, "go_memstats_heap_idle_bytes")-metric(t, n, "go_memstats_heap_released_bytes")
	now := resident(t, n)
	t.Logf("after %d messages in all, %.0f a second: %.1f MiB resident, %.1f at most meanwhile; Go's heap %.1f MiB, %.1f free and not given back",
		sink.Count(), float64(messages)/took.Seconds(), mib(now), mib(peak.RSS), heap/(1<<20), free/(1<<20))
	return now
}

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }

// metric is the value of one of its metrics, 0 if it has none of this name.
func metric(t *testing.T, n *node.Node, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.HTTP+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(name) + " (.*)$").FindSubmatch(text)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMemoryOfDeferred: recipients that wait for a later time cost no memory and do
// not delay the start. HAYAUMA_DEFERRED says how many there are, for 5,000
// destinations that cannot be looked up; then the server is started anew.
func TestMemoryOfDeferred(t *testing.T) {
	t.Parallel()
	all, set := asked(t, "HAYAUMA_DEFERRED", 1000)
	sink := startSink(t)
	dns := testkit.StartDNS(t, "dest.test. 3600 MX 10 mx.dest.test.", "mx.dest.test. 3600 A 127.0.0.1")
	for i := range destinations {
		dns.Fail(fmt.Sprintf("d%d.later.test", i), testkit.DNSServFail)
	}
	n := node.Start(t, node.Options{DNS: dns, Port: sink.Address(), Extra: relays, NoUsers: true, Queue: `retry = ["12h"]`})
	source := load.Source{Addr: n.SMTP, Conns: 10, Mailboxes: all, Rcpts: min(all, 100), Domain: "later.test", Domains: destinations, Messages: max(all/100, 1)}
	if r, err := source.Send(t.Context()); err != nil || r.Messages != source.Messages {
		t.Fatalf("sent %+v, %v", r, err)
	}
	testkit.Eventually(t, max(node.Patience, time.Duration(all)*time.Millisecond), "all deferred", func() bool {
		return metric(t, n, `hayauma_queue_recipients{state="deferred"}`) == float64(source.Messages*source.Rcpts)
	})
	filled := resident(t, n)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n.Server = n.Again()
	meter, err := load.StartMeter(100*time.Millisecond, n.Pid())
	if err != nil {
		t.Fatal(err)
	}
	one := load.Source{Addr: n.SMTP}
	if _, err := one.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sink.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	first := time.Since(began)
	testkit.Eventually(t, node.Patience, "all in the metrics", func() bool {
		return metric(t, n, `hayauma_queue_recipients{state="deferred"}`) == float64(source.Messages*source.Rcpts)
	})
	peak, err := meter.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d deferred: %.1f MiB resident when they were, %.1f at most after a new start; the first delivery came %v after it",
		source.Messages*source.Rcpts, mib(filled), mib(peak.RSS), first.Round(time.Millisecond))
	if set && (max(filled, peak.RSS) > mostDeferred || first > mostStart) {
		t.Errorf("more than %d MiB, or than %v", mostDeferred>>20, mostStart)
	}
}
