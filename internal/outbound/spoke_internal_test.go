package outbound

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

// held keeps what is written until it is let go in one piece.
type held struct {
	net.Conn
	holds bool
	kept  bytes.Buffer
}

func (h *held) Write(b []byte) (int, error) {
	if h.holds {
		return h.kept.Write(b)
	}
	return h.Conn.Write(b)
}

func (h *held) release() error {
	h.holds = false
	_, err := h.kept.WriteTo(h.Conn)
	return err
}

// TestSpoke: a reply that waits is seen in the socket, in what was read ahead, and behind
// the reply before in what TLS has read; TLS's own records are none.
func TestSpoke(t *testing.T) {
	t.Parallel()
	config := testkit.NewCA(t).ServerConfig(t, "mx.test")
	for name, c := range map[string]struct {
		says []string // each in a write of its own
		read int      // replies that were asked for
		want bool
	}{
		"silent":               {nil, 0, false},
		"one, asked for":       {[]string{"250 a\r\n"}, 1, false},
		"one":                  {[]string{"250 a\r\n"}, 0, true},
		"one too many":         {[]string{"250 a\r\n", "250 b\r\n"}, 1, true},
		"one too many at once": {[]string{"250 a\r\n250 b\r\n"}, 1, true},
	} {
		for _, secured := range []bool{false, true} {
			near, far := socketPair(t)
			h := &held{Conn: far}
			client := newClient(near, target{host: "mx.test"}, Timeouts{}.withDefaults())
			host := io.Writer(h)
			if secured {
				server := tls.Server(h, config)
				done := make(chan error, 1)
				go func() { done <- server.Handshake() }() // leaves a ticket behind, which waits
				if err := client.secure(t.Context(), &tls.Config{InsecureSkipVerify: true}); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				host = server
			}
			h.holds = true
			for _, s := range c.says {
				if _, err := io.WriteString(host, s); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.release(); err != nil {
				t.Fatal(err)
			}
			for range c.read {
				if _, err := client.read(time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // a look changes nothing
				if got := client.spoke(); got != c.want {
					t.Errorf("%s, TLS %v: %v", name, secured, got)
				}
			}
			if _, err := io.WriteString(host, "221 bye\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := client.read(time.Minute); err != nil {
				t.Errorf("%s, TLS %v: behind it: %v", name, secured, err)
			}
		}
	}
}

// socketPair is a connection of TCP, from both ends.
func socketPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}
