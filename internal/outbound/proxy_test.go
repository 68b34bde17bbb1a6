package outbound_test

import (
	"io"
	"net"
	"sync"
)

// proxyOne passes connections on until the listener ends.
func proxyOne(l net.Listener, to string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			return
		}
		pass := func(dst, src net.Conn) {
			_, _ = io.Copy(dst, src)
			_ = dst.Close()
		}
		wg.Go(func() { pass(in, out) })
		wg.Go(func() { pass(out, in) })
	}
}
