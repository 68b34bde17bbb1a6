package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// nameserverPort53 is where resolvers of the system expect one: on an address that
// nothing else uses.
const nameserverPort53 = "127.0.0.153:53"

// nameserver answers on loopback, over UDP and TCP: every name has an MX that
// leads to 127.0.0.1, one of many destinations one that leads to an address of its
// own, and nothing else.
type nameserver struct {
	addr string
	udp  *net.UDPConn
	tcp  *dns.Server
	wg   sync.WaitGroup
}

const mxHost = "mx.load.invalid."

// startNameserver listens at an address; port 0 takes a free one.
func startNameserver(ctx context.Context, addr string) (*nameserver, error) {
	pc, ln, err := samePort(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, pc.Close(), ln.Close())
	}
	n := &nameserver{addr: udp.LocalAddr().String(), udp: udp}
	started := make(chan struct{})
	n.tcp = &dns.Server{Listener: ln, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			_ = w.WriteMsg(answer(q)) // the asker will ask again
		})}
	ended := make(chan error, 1)
	n.wg.Go(func() { ended <- n.tcp.ActivateAndServe() })
	for range runtime.GOMAXPROCS(0) {
		n.wg.Go(n.datagrams)
	}
	select {
	case <-started:
		return n, nil
	case err = <-ended:
	case <-time.After(startLimit):
		err = errors.New("not started in time")
	}
	n.stop()
	return nil, fmt.Errorf("name server: %w", err)
}

// datagrams answers over UDP. It does as little as it can: with many destinations it
// has more to do than the sink.
func (n *nameserver) datagrams() {
	var in, out [dns.MinMsgSize]byte
	for {
		size, from, err := n.udp.ReadFromUDPAddrPort(in[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		q := new(dns.Msg)
		if err != nil || q.Unpack(in[:size]) != nil || q.Response {
			continue
		}
		if reply, err := answer(q).PackBuffer(out[:]); err == nil {
			_, _ = n.udp.WriteToUDPAddrPort(reply, from) // the asker will ask again
		}
	}
}

// samePort finds a port that is free over UDP and TCP: what is free over one may
// be an outgoing connection's over the other.
func samePort(ctx context.Context, addr string) (net.PacketConn, net.Listener, error) {
	var lc net.ListenConfig
	for tries := 0; ; tries++ {
		pc, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, nil, err
		}
		ln, err := lc.Listen(ctx, "tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		_ = pc.Close() // unused yet
		if tries == 20 {
			return nil, nil, err
		}
	}
}

func (n *nameserver) stop() {
	_ = n.udp.Close()    // nothing is kept that could be lost
	_ = n.tcp.Shutdown() // it fails only if it was not running
	_ = n.tcp.Listener.Close()
	n.wg.Wait()
}

// destination is one of many domains, or its host. The host is in a zone of its
// own, as hosts of different owners are.
type destination struct {
	number int
	zone   string // of its host
	isMX   bool
}

// destinationOf reads names as domainOf writes them, and those of their hosts.
func destinationOf(name string) (d destination, ok bool) {
	name = strings.ToLower(name)
	rest, isMX := strings.CutPrefix(name, "mx.")
	digits, parent, _ := strings.Cut(rest, ".")
	if isMX != (parent == "invalid.") || !isMX && parent != remoteDomain+"." {
		return d, false
	}
	n, err := strconv.Atoi(strings.TrimPrefix(digits, "d"))
	if err != nil || !strings.HasPrefix(digits, "d") {
		return d, false
	}
	return destination{number: n, zone: digits + ".invalid.", isMX: isMX}, true
}

// answer is the reply to a question.
func answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	m.RecursionAvailable = true
	if len(q.Question) == 1 {
		name, kind := q.Question[0].Name, q.Question[0].Qtype
		head := dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 300}
		isHost := strings.EqualFold(name, mxHost)
		host, many := destinationOf(name)
		switch {
		case many && kind == dns.TypeMX && !host.isMX:
			m.Answer = append(m.Answer, &dns.MX{Hdr: head, Preference: 10, Mx: "mx." + host.zone})
		case many && kind == dns.TypeA && host.isMX:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: addressOf(host.number)})
		case many:
		case kind == dns.TypeMX && !isHost:
			m.Answer = append(m.Answer, &dns.MX{Hdr: head, Preference: 10, Mx: mxHost})
		case kind == dns.TypeA && isHost:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
		}
	}
	return m
}
