package testkit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hayauma/hayauma/internal/testkit"
)

func ask(t *testing.T, server, network, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	client := &dns.Client{Net: network, Timeout: 300 * time.Millisecond}
	question := new(dns.Msg).SetQuestion(name, qtype)
	reply, _, err := client.Exchange(question, server)
	return reply, err
}

func TestDNSAnswersFromRecords(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t,
		"example.test. 60 MX 10 mx.example.test.",
		"example.test. 60 MX 20 mx2.example.test.",
		"mx.example.test. 60 A 127.0.0.1",
		"alias.example.test. 60 CNAME example.test.",
		"loop.example.test. 60 CNAME loop.example.test.",
		"a.deep.example.test. 60 A 127.0.0.1",
	)
	for _, row := range []struct {
		name    string
		qtype   uint16
		rcode   int
		answers int
	}{
		{"example.test.", dns.TypeMX, dns.RcodeSuccess, 2},
		{"EXAMPLE.test.", dns.TypeMX, dns.RcodeSuccess, 2},
		{"example.test.", dns.TypeA, dns.RcodeSuccess, 0},
		{"alias.example.test.", dns.TypeMX, dns.RcodeSuccess, 3},
		{"deep.example.test.", dns.TypeA, dns.RcodeSuccess, 0},
		{"nothing.test.", dns.TypeA, dns.RcodeNameError, 0},
		{"loop.example.test.", dns.TypeA, dns.RcodeServerFailure, 0},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply, err := ask(t, d.Addr, network, row.name, row.qtype)
			if err != nil || reply.Rcode != row.rcode || len(reply.Answer) != row.answers {
				t.Errorf("%s %s over %s: %v, %v", row.name, dns.TypeToString[row.qtype], network, reply, err)
			}
		}
	}
	d.Remove("mx.example.test")
	if reply, err := ask(t, d.Addr, "udp", "mx.example.test.", dns.TypeA); err != nil || reply.Rcode != dns.RcodeNameError {
		t.Errorf("removed name: %v, %v", reply, err)
	}
	want := testkit.DNSQuery{Name: "example.test.", Type: "MX", TCP: true}
	if !slices.Contains(d.Queries(), want) {
		t.Errorf("queries %v", d.Queries())
	}
}

func TestDNSFaults(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "a.test. 60 A 127.0.0.1", "a.test. 60 MX 5 a.test.")
	for fault, rcode := range map[testkit.DNSFault]int{
		testkit.DNSServFail: dns.RcodeServerFailure,
		testkit.DNSNXDomain: dns.RcodeNameError,
		testkit.DNSRefused:  dns.RcodeRefused,
		testkit.NoFault:     dns.RcodeSuccess,
	} {
		d.Fail("a.test", fault)
		if reply, err := ask(t, d.Addr, "udp", "a.test.", dns.TypeA); err != nil || reply.Rcode != rcode {
			t.Errorf("fault %d: %v, %v", fault, reply, err)
		}
	}
	d.Fail("a.test", testkit.DNSTimeout, "MX")
	if _, err := ask(t, d.Addr, "udp", "a.test.", dns.TypeMX); err == nil {
		t.Error("MX did not time out")
	}
	d.Fail("a.test", testkit.DNSTruncated, "A")
	if reply, err := ask(t, d.Addr, "udp", "a.test.", dns.TypeA); err != nil || !reply.Truncated || len(reply.Answer) != 0 {
		t.Errorf("truncated: %v, %v", reply, err)
	}
	if reply, err := ask(t, d.Addr, "tcp", "a.test.", dns.TypeA); err != nil || reply.Truncated || len(reply.Answer) != 1 {
		t.Errorf("truncated, TCP: %v, %v", reply, err)
	}
}

func TestDNSTruncatesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t)
	for i := range 60 {
		d.Add(fmt.Sprintf("big.test. 60 A 127.0.1.%d", i))
	}
	if reply, err := ask(t, d.Addr, "udp", "big.test.", dns.TypeA); err != nil || !reply.Truncated {
		t.Errorf("%v, %v", reply, err)
	}
}
