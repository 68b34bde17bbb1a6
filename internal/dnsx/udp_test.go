package dnsx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// serveUDP has fn called with each question and what sends back to who asked.
func serveUDP(t *testing.T, fn func(q *dns.Msg, port int, reply func([]byte))) (server string) {
	t.Helper()
	pc, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if err := q.Unpack(buf[:n]); err != nil {
				t.Error(err)
				continue
			}
			port := from.(*net.UDPAddr).Port
			fn(q, port, func(b []byte) { _, _ = pc.WriteTo(b, from) })
		}
	}()
	return pc.LocalAddr().String()
}

// packed is an answer to q that names a mail exchanger.
func packed(t *testing.T, q *dns.Msg, exchanger string, change func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg).SetReply(q)
	m.Answer = []dns.RR{&dns.MX{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeMX, Class: dns.ClassINET, Ttl: 60}, Preference: 1, Mx: exchanger}}
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestQuestionsAtTheSameTimeShareSockets(t *testing.T) {
	t.Parallel()
	const questions = 150
	var mu sync.Mutex
	byPort := map[int]int{}
	var replies []func()
	server := serveUDP(t, func(q *dns.Msg, port int, reply func([]byte)) {
		mu.Lock()
		defer mu.Unlock()
		byPort[port]++
		replies = append(replies, func() { reply(packed(t, q, "mx."+q.Question[0].Name, nil)) })
		if len(replies) == questions {
			for _, r := range replies {
				r()
			}
		}
	})
	r := dnsx.New(dnsx.Options{Server: server, Timeout: 10 * time.Second})
	var wg sync.WaitGroup
	for i := range questions {
		wg.Go(func() {
			name := fmt.Sprintf("d%d.test", i)
			if got, err := r.MX(t.Context(), name); err != nil || mxText(got) != "1 mx."+name {
				t.Errorf("%s: %s, %v", name, mxText(got), err)
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	for port, n := range byPort {
		if n > 64 {
			t.Errorf("%d questions came from port %d", n, port)
		}
	}
	if n := len(byPort); n < 3 || n > questions/10 {
		t.Errorf("%d questions came from %d ports", questions, n)
	}
}

func TestForgedAnswersArePassedOver(t *testing.T) {
	t.Parallel()
	server := serveUDP(t, func(q *dns.Msg, _ int, reply func([]byte)) {
		reply([]byte("x"))
		reply(append([]byte{byte(q.Id >> 8), byte(q.Id)}, "no message"...))
		reply(packed(t, q, "number.forged.test.", func(m *dns.Msg) { m.Id++ }))
		reply(packed(t, q, "name.forged.test.", func(m *dns.Msg) { m.Question[0].Name = "other.test." }))
		reply(packed(t, q, "none.forged.test.", func(m *dns.Msg) { m.Question = nil }))
		reply(packed(t, q, "mx.true.test.", nil))
		reply(packed(t, q, "late.forged.test.", nil))
	})
	got, err := dnsx.New(dnsx.Options{Server: server, Timeout: 5 * time.Second}).MX(t.Context(), "x.test")
	if err != nil || mxText(got) != "1 mx.true.test" {
		t.Errorf("%s, %v", mxText(got), err)
	}
}

func TestServerThatIsAwayIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	pc, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := pc.LocalAddr().String()
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = dnsx.New(dnsx.Options{Server: server, Timeout: time.Minute}).MX(ctx, "x.test")
	if !errors.Is(err, dnsx.ErrTemporary) || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}
