package smtpd_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/test/stack"
)

// BenchmarkAccept takes 5 KB messages for another host over TCP on 50 connections,
// each a client that waits for every reply. cpu-µs is the CPU of the whole process
// for a message, the clients' share included.
func BenchmarkAccept(b *testing.B) {
	r := newRig(b, stack.Options{RelayNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	l := r.listen(b)
	const conns = 50
	var left atomic.Int64
	run := func(n int) {
		left.Store(int64(n))
		var wg sync.WaitGroup
		for range conns {
			wg.Go(func() {
				c, err := newBenchClient(l.Addr().String())
				if err == nil {
					for err == nil && left.Add(-1) >= 0 {
						err = c.deliver()
					}
					_ = c.conn.Close() // the last reply was read
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	run(500)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	run(b.N)
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-µs/op")
}

// BenchmarkCommand is one command and its reply over TCP.
func BenchmarkCommand(b *testing.B) {
	r := newRig(b, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.Junk = math.MaxInt })
	c, err := newBenchClient(r.listen(b).Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.conn.Close() }()
	noop := []byte("NOOP\r\n")
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	for b.Loop() {
		if _, err := c.conn.Write(noop); err != nil {
			b.Fatal(err)
		}
		if err := c.reply('2'); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-µs/op")
}

// listen serves port 25 on a socket of loopback until the test ends.
func (r *rig) listen(b testing.TB) net.Listener {
	b.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	r.served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.served.Go(func() { r.server.Serve(r.ctx, c, mail.DoorSMTP) })
		}
	})
	return l
}

// benchClient writes a step and reads its reply, without allocations.
type benchClient struct {
	conn  net.Conn
	steps [][]byte
	buf   [512]byte
	n     int
	mark  []byte // the digits in the Message-ID
}

func newBenchClient(addr string) (*benchClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	head := "From: sender@load.invalid\r\nTo: user@dest.test\r\nSubject: a benchmark\r\nDate: Wed, 01 Jan 2025 00:00:00 +0000\r\nMessage-ID: <0000000000." +
		conn.LocalAddr().String() + "@load.invalid>\r\n\r\n"
	text := []byte(head + strings.Repeat(strings.Repeat("x", 70)+"\r\n", (5120-len(head))/72) + ".\r\n")
	at := bytes.Index(text, []byte("<0000000000.")) + 1
	c := &benchClient{conn: conn, mark: text[at : at+10], steps: [][]byte{
		[]byte("MAIL FROM:<sender@load.invalid>\r\n"), []byte("RCPT TO:<user@dest.test>\r\n"), []byte("DATA\r\n"), text,
	}}
	for _, line := range []string{"", "EHLO load.invalid\r\n"} {
		if _, err := io.WriteString(conn, line); err != nil {
			return nil, err
		}
		if err := c.reply('2'); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *benchClient) deliver() error {
	c.n++
	for i, n := len(c.mark)-1, c.n; i >= 0; i, n = i-1, n/10 {
		c.mark[i] = byte('0' + n%10)
	}
	for i, step := range c.steps {
		if _, err := c.conn.Write(step); err != nil {
			return err
		}
		want := byte('2')
		if i == 2 {
			want = '3'
		}
		if err := c.reply(want); err != nil {
			return err
		}
	}
	return nil
}

// reply reads one whole reply; a server writes it in one piece.
func (c *benchClient) reply(class byte) error {
	n, err := c.conn.Read(c.buf[:])
	if err == nil && (c.buf[0] != class || c.buf[n-1] != '\n') {
		err = fmt.Errorf("reply %q", c.buf[:n])
	}
	return err
}

// cpuTime is what the process used so far, in microseconds.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}
