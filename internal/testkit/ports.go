package testkit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
)

// Ports are taken below the range that the kernel gives to outgoing
// connections and to port 0, so that nothing takes one between our look and
// the server's listen.
const (
	portLow  = 12000
	portHigh = 30000
)

// FreePorts returns n different loopback addresses "127.0.0.1:port" that
// nothing listens on, over TCP. On Linux they stay reserved against other test
// processes until the test ends.
func FreePorts(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for tries := 0; len(addrs) < n; tries++ {
		if tries > 1000+n*10 {
			t.Fatalf("found only %d of %d free ports", len(addrs), n)
		}
		port := portLow + rand.IntN(portHigh-portLow)
		release, ok := reserve(t.Context(), port)
		if !ok {
			continue
		}
		t.Cleanup(release)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if idle(t.Context(), addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// FreePort is FreePorts for one.
func FreePort(t testing.TB) string {
	t.Helper()
	return FreePorts(t, 1)[0]
}

func idle(ctx context.Context, addr string) bool {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// reserve holds an abstract unix socket named for the port: it needs no file
// and ends with the process that holds it.
func reserve(ctx context.Context, port int) (release func(), ok bool) {
	if runtime.GOOS != "linux" {
		return func() {}, true
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", fmt.Sprintf("@hayauma-test-port-%d", port))
	if err != nil {
		return nil, false
	}
	return func() { _ = listener.Close() }, true // the name is free again either way
}
