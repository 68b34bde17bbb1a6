package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/miekg/dns"
)

// The servers' addresses. All of 127.0.0.0/8 is this machine on Linux.
const (
	addressOne = "127.0.0.2"
	addressTwo = "127.0.0.3"
)

// ports are the same for both servers.
type ports struct{ smtp, submission, imaps, pop3s int }

// Ports are taken below those that the kernel gives to outgoing connections.
const portLow, portHigh = 12000, 30000

// freePorts finds four ports in a row that are free on both addresses.
func freePorts(ctx context.Context) (ports, error) {
	var failed error
	for range 100 {
		p := portLow + rand.IntN(portHigh-portLow)
		if failed = free(ctx, p, p+1, p+2, p+3); failed == nil {
			return ports{smtp: p, submission: p + 1, imaps: p + 2, pop3s: p + 3}, nil
		}
	}
	return ports{}, fmt.Errorf("no free ports on %s and %s, which this demonstration needs: %w", addressOne, addressTwo, failed)
}

func free(ctx context.Context, wanted ...int) error {
	var config net.ListenConfig
	for _, address := range []string{addressOne, addressTwo} {
		for _, port := range wanted {
			l, err := config.Listen(ctx, "tcp", fmt.Sprintf("%s:%d", address, port))
			if err != nil {
				return err
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameServer answers for the demonstration's domains.
type nameServer struct {
	addr   string
	server *dns.Server
	ended  chan error
}

// startDNS serves, for each pair of a domain and an address, the domain's MX
// "mx.<domain>" with that address.
func startDNS(ctx context.Context, pairs ...string) (*nameServer, error) {
	zone := map[dns.Question][]dns.RR{}
	for n := 0; n+1 < len(pairs); n += 2 {
		for _, text := range []string{
			pairs[n] + ". 60 IN MX 10 mx." + pairs[n] + ".",
			"mx." + pairs[n] + ". 60 IN A " + pairs[n+1],
		} {
			rr, err := dns.NewRR(text)
			if err != nil {
				return nil, err
			}
			h := rr.Header()
			zone[dns.Question{Name: h.Name, Qtype: h.Rrtype, Qclass: h.Class}] = []dns.RR{rr}
		}
	}
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	started := make(chan struct{})
	s := &nameServer{addr: packets.LocalAddr().String(), ended: make(chan error, 1)}
	s.server = &dns.Server{
		PacketConn: packets, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			_ = w.WriteMsg(answer(zone, q)) // who asked asks again
		}),
	}
	go func() { s.ended <- s.server.ActivateAndServe() }()
	select {
	case <-started:
		return s, nil
	case err := <-s.ended:
		return nil, errors.Join(fmt.Errorf("name server: %w", err), packets.Close())
	}
}

func answer(zone map[dns.Question][]dns.RR, q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(q)
	reply.RecursionAvailable = true
	if len(q.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		return reply
	}
	asked := q.Question[0]
	asked.Name = dns.CanonicalName(asked.Name)
	if reply.Answer = zone[asked]; len(reply.Answer) > 0 {
		return reply
	}
	reply.Rcode = dns.RcodeNameError
	for have := range zone {
		if have.Name == asked.Name {
			reply.Rcode = dns.RcodeSuccess // the name is there, only not with this type
		}
	}
	return reply
}

func (s *nameServer) stop() error {
	return errors.Join(s.server.Shutdown(), <-s.ended)
}
