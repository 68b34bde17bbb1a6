package dnsx_test

import (
	"bytes"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// exchangerOf is the answer section of a reply: the name asked for has the mail
// exchanger "mx" below it (RFC 1035 §4.1.4).
const exchangerOf = "\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x3c\x00\x07\x00\x0a\x02mx\xc0\x0c"

// serveExchangers answers each question without making any garbage.
func serveExchangers(b *testing.B) (server string) {
	b.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	b.Cleanup(func() { _ = pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1024)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			name := bytes.IndexByte(buf[12:n], 0) // behind the header
			reply := append(buf[:12+name+5], exchangerOf...)
			copy(reply[2:12], "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00")
			if _, err := pc.WriteToUDPAddrPort(reply, from); err != nil {
				return
			}
		}
	}()
	return pc.LocalAddr().String()
}

func BenchmarkMX(b *testing.B) {
	r := dnsx.New(dnsx.Options{Server: serveExchangers(b)})
	var names atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(20)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			name := "d" + strconv.FormatInt(names.Add(1), 10) + ".test"
			if got, err := r.MX(b.Context(), name); err != nil || len(got) != 1 || got[0].Host != "mx."+name {
				b.Error(name, got, err)
			}
		}
	})
}
