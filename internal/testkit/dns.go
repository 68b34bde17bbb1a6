package testkit

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// DNSFault is how the server misbehaves for a name.
type DNSFault int

// The faults of DNS.Fail. NoFault takes a fault back.
const (
	NoFault      DNSFault = iota
	DNSServFail           // answers SERVFAIL
	DNSTimeout            // never answers
	DNSNXDomain           // answers NXDOMAIN whatever the zone holds
	DNSTruncated          // UDP answers carry TC and no record; TCP answers fully
	DNSRefused            // answers REFUSED
)

// DNSQuery is one question that the server got. Name is lower case and ends
// in a dot.
type DNSQuery struct {
	Name string
	Type string
	TCP  bool
}

// DNS is a resolver on loopback, UDP and TCP on one port, that answers from
// records given as text. It follows CNAMEs like a recursive resolver and sets RA.
type DNS struct {
	// Addr is its "127.0.0.1:port".
	Addr string

	t       testing.TB
	mu      sync.Mutex
	records map[string][]dns.RR
	faults  map[dnsKey]DNSFault
	proven  map[dnsKey]bool
	queries []DNSQuery
}

// dnsKey is a name and a type; type 0 stands for all types.
type dnsKey struct {
	name  string
	qtype uint16
}

// StartDNS starts a server that ends with the test. A record is a line of a
// zone file: "example.test. 60 MX 10 mx.example.test.".
func StartDNS(t testing.TB, records ...string) *DNS {
	t.Helper()
	d := &DNS{t: t, records: map[string][]dns.RR{}, faults: map[dnsKey]DNSFault{}, proven: map[dnsKey]bool{}}
	d.Add(records...)
	listener, packets, err := listenBoth(t.Context())
	if err != nil {
		t.Fatalf("fake DNS: %v", err)
	}
	d.Addr = listener.Addr().String()
	d.serve(&dns.Server{Listener: listener, Handler: d.handler(true)})
	d.serve(&dns.Server{PacketConn: packets, Handler: d.handler(false)})
	return d
}

// listenBoth finds a port that is free for TCP and for UDP.
func listenBoth(ctx context.Context) (net.Listener, net.PacketConn, error) {
	var config net.ListenConfig
	var failed error
	for range 20 {
		listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		packets, err := config.ListenPacket(ctx, "udp", listener.Addr().String())
		if err == nil {
			return listener, packets, nil
		}
		failed = errors.Join(err, listener.Close())
	}
	return nil, nil, failed
}

func (d *DNS) serve(server *dns.Server) {
	started, ended := make(chan struct{}), make(chan error, 1)
	server.NotifyStartedFunc = func() { close(started) }
	go func() { ended <- server.ActivateAndServe() }()
	select {
	case <-started:
	case err := <-ended:
		d.t.Fatalf("fake DNS: %v", err)
	}
	d.t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			d.t.Errorf("fake DNS: %v", err)
		}
		if err := <-ended; err != nil {
			d.t.Errorf("fake DNS: %v", err)
		}
	})
}

// Add adds records while the server runs.
func (d *DNS) Add(records ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil || rr == nil {
			d.t.Fatalf("fake DNS: record %q: %v", line, err)
		}
		name := dns.CanonicalName(rr.Header().Name)
		d.records[name] = append(d.records[name], rr)
	}
}

// Remove forgets all records of a name.
func (d *DNS) Remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.records, dns.CanonicalName(name))
}

// Fail makes questions for name fail, all types or only those given ("MX").
func (d *DNS) Fail(name string, fault DNSFault, types ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, qtype := range d.types(types) {
		d.faults[dnsKey{dns.CanonicalName(name), qtype}] = fault
	}
}

// Prove makes the answers for a name, all types or only those given, say that DNSSEC
// proves them, to those who ask for that.
func (d *DNS) Prove(name string, types ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, qtype := range d.types(types) {
		d.proven[dnsKey{dns.CanonicalName(name), qtype}] = true
	}
}

// types reads the names of types; none stand for all.
func (d *DNS) types(names []string) []uint16 {
	d.t.Helper()
	if len(names) == 0 {
		return []uint16{0}
	}
	var out []uint16
	for _, text := range names {
		qtype, known := dns.StringToType[text]
		if !known {
			d.t.Fatalf("fake DNS: unknown type %q", text)
		}
		out = append(out, qtype)
	}
	return out
}

// Queries are all questions so far, in the order they came.
func (d *DNS) Queries() []DNSQuery {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.queries)
}

func (d *DNS) handler(tcp bool) dns.HandlerFunc {
	return func(w dns.ResponseWriter, question *dns.Msg) {
		if answer := d.answer(question, tcp); answer != nil {
			_ = w.WriteMsg(answer) // a client that left is its own test's matter
		}
	}
}

// answer is nil where the question shall time out.
func (d *DNS) answer(question *dns.Msg, tcp bool) *dns.Msg {
	reply := new(dns.Msg)
	if len(question.Question) != 1 {
		return reply.SetRcode(question, dns.RcodeFormatError)
	}
	q := question.Question[0]
	name := dns.CanonicalName(q.Name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries = append(d.queries, DNSQuery{Name: name, Type: dns.TypeToString[q.Qtype], TCP: tcp})
	reply.SetReply(question)
	reply.RecursionAvailable = true
	reply.AuthenticatedData = question.AuthenticatedData && (d.proven[dnsKey{name, 0}] || d.proven[dnsKey{name, q.Qtype}])
	switch d.fault(name, q.Qtype) {
	case DNSTimeout:
		return nil
	case DNSServFail:
		reply.Rcode = dns.RcodeServerFailure
		return reply
	case DNSRefused:
		reply.Rcode = dns.RcodeRefused
		return reply
	case DNSNXDomain:
		reply.Rcode = dns.RcodeNameError
		return reply
	case DNSTruncated:
		if !tcp {
			reply.Truncated = true
			return reply
		}
	}
	reply.Answer, reply.Rcode = d.lookup(name, q.Qtype)
	size := dns.MinMsgSize
	if opt := question.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		reply.SetEdns0(opt.UDPSize(), false)
	}
	if !tcp {
		reply.Truncate(size)
	}
	return reply
}

func (d *DNS) fault(name string, qtype uint16) DNSFault {
	if fault, set := d.faults[dnsKey{name, qtype}]; set {
		return fault
	}
	return d.faults[dnsKey{name, 0}]
}

// lookup collects the records of a type, along CNAMEs. The length of the chain
// is limited so that a loop in a test's zone ends as it does at real resolvers.
func (d *DNS) lookup(name string, qtype uint16) ([]dns.RR, int) {
	var answer []dns.RR
	for range 16 {
		records, exists := d.records[name]
		if !exists {
			if d.hasBelow(name) {
				return answer, dns.RcodeSuccess
			}
			return answer, dns.RcodeNameError
		}
		var alias *dns.CNAME
		found := false
		for _, rr := range records {
			if rr.Header().Rrtype == qtype || qtype == dns.TypeANY {
				answer = append(answer, dns.Copy(rr))
				found = true
			} else if c, is := rr.(*dns.CNAME); is {
				alias = c
			}
		}
		if found || alias == nil {
			return answer, dns.RcodeSuccess
		}
		answer = append(answer, dns.Copy(alias))
		name = dns.CanonicalName(alias.Target)
	}
	return nil, dns.RcodeServerFailure
}

// hasBelow says whether a longer name exists: then name exists too, without
// records (RFC 8020).
func (d *DNS) hasBelow(name string) bool {
	for other := range d.records {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}
