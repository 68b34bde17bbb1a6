package testkit

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// Fixtures are the messages of testdata, by their path without its ".eml".
func Fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no messages in testdata: %v", err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(path, ".eml")] = b
	}
	return out
}

// Want compares what was made of a fixture with the file beside it that ends in
// ".want"; with -rewrite it writes that file.
func Want(t testing.TB, fixture, got string) {
	t.Helper()
	if *rewriteFlag {
		if err := os.WriteFile(fixture+".want", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(fixture + ".want")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", fixture, diff)
	}
}

// silentHost is where Silence leads.
const silentHost = "192.0.2.9"

// Silence are a DNS and a network, both in memory, where every name leads to one host
// that takes connections and never says a word, as the clock of a bubble
// (testing/synctest) needs them.
func Silence(t testing.TB) (exchange func(context.Context, string, string, *dns.Msg) (*dns.Msg, error), dial func(context.Context, string, string) (net.Conn, error)) {
	exchange = func(_ context.Context, _, _ string, q *dns.Msg) (*dns.Msg, error) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype != dns.TypeA {
			return answer, nil
		}
		rr, err := dns.NewRR(q.Question[0].Name + " 60 A " + silentHost)
		answer.Answer = []dns.RR{rr}
		return answer, err
	}
	dial = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := MemPipe(netip.MustParseAddrPort("10.0.0.1:9"), netip.MustParseAddrPort(silentHost+":443"))
		t.Cleanup(func() { _ = theirs.Close() })
		return ours, nil
	}
	return exchange, dial
}
