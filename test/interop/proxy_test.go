package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// startProgram runs one that listens at an address until the test ends.
func startProgram(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), testkit.Require(t, name), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // ended by a signal
	})
	testkit.Eventually(t, node.Patience, name+" to listen", func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close() // one look is enough
		}
		return err == nil
	})
}

// Mail leaves by proxies that want a login: microsocks for SOCKS5, tinyproxy for CONNECT. A
// wrong login delays it and says so, and once it is mended all of it leaves.
func TestProxiesWithLogin(t *testing.T) {
	t.Parallel()
	socks, connect := testkit.FreePort(t), testkit.FreePort(t)
	startProgram(t, socks, "microsocks", "-i", node.HostOf(socks), "-p", node.PortOf(socks), "-u", "us", "-P", "right")
	settings := filepath.Join(t.TempDir(), "tinyproxy.conf")
	err := os.WriteFile(settings, []byte("Listen "+node.HostOf(connect)+"\nPort "+node.PortOf(connect)+"\nTimeout 60\nBasicAuth us right\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, connect, "tinyproxy", "-d", "-c", settings)
	m := testkit.StartMX(t, testkit.MXOptions{})
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := node.Start(t, node.Options{Queue: `retry = ["4h"]`, Way: fmt.Sprintf("smart_host = %q\nsmart_host_tls = \"none\"\nproxy = \"socks5://us@%s\"\nproxy_password_file = %q",
		m.Addr, socks, password)})
	for name, proxy := range map[string]string{"socks": "socks5://us@" + socks, "connect": "http://us@" + connect} {
		set := func(password string) {
			n.Run(password+"\n", "route", "set", name, "--host", m.Addr, "--tls", "none", "--proxy", proxy, "--proxy-password-stdin")
		}
		set("wrong")
		n.Run("", "route", "rule", "set", "--recipient", name+".test", "--to", name)
		n.Submit("by "+name, "x@"+name+".test")
		waiting := n.WaitQueue("deferred")
		if want := "The proxy " + proxy + " refuses our login: "; len(waiting) != 1 || !strings.HasPrefix(waiting[0].Reply, want) {
			t.Errorf("%+v, want %q", waiting, want)
		}
		set("right")
		n.Run("", "queue", "retry", "--all")
		n.WaitQueue("")
	}
	n.Submit("by the proxy of the settings", "x@far.test")
	m.WaitMessages(3, node.Patience)
	n.WaitQueue("")
	if got := m.Messages(); len(got) != 3 || got[0].Conn == got[1].Conn {
		t.Errorf("%+v", got)
	}
}
