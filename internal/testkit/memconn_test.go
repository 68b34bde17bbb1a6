package testkit_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

func memPair() (client, server *testkit.MemConn) {
	return testkit.MemPipe(netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("127.0.0.1:25"))
}

func TestMemConnBuffersAndDrainsAfterClose(t *testing.T) {
	t.Parallel()
	client, server := memPair()
	if _, err := io.WriteString(client, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(server)
	if err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := server.Write([]byte("x")); err == nil {
		t.Error("wrote to a peer that has closed")
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after own close: %v", err)
	}
	if err := client.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if server.RemoteAddr().String() != "192.0.2.7:40000" || server.LocalAddr().String() != "127.0.0.1:25" {
		t.Errorf("addresses %v %v", server.LocalAddr(), server.RemoteAddr())
	}
}

func TestMemConnHalfClose(t *testing.T) {
	t.Parallel()
	client, server := memPair()
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	if _, err := io.WriteString(server, "answer"); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := client.Read(p); err != nil || string(p[:n]) != "answer" {
		t.Errorf("read %q, %v", p[:n], err)
	}
}

func TestMemConnCarriesMoreThanItsBuffer(t *testing.T) {
	t.Parallel()
	client, server := memPair()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	failed := make(chan error, 1)
	go func() {
		_, err := client.Write(sent)
		failed <- errors.Join(err, client.Close())
	}()
	got, err := io.ReadAll(server)
	if err = errors.Join(err, <-failed); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
	}
}

func TestMemConnDeadlinesFollowTheBubblesClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := memPair()
		start := time.Now()
		if err := client.SetReadDeadline(start.Add(5 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, err := client.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		if timeout, is := errors.AsType[net.Error](err); !is || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		if err := server.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write into a full buffer: %v", err)
		}
		if time.Since(start) != 65*time.Minute {
			t.Errorf("after %v", time.Since(start))
		}
		if err := client.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if n, err := client.Read(make([]byte, 10)); n != 10 || err != nil {
			t.Errorf("read after the deadline was taken back: %d, %v", n, err)
		}
	})
}

func TestMemListenerInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := testkit.NewMemListener(netip.MustParseAddrPort("127.0.0.1:25"))
		served := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, err = io.Copy(conn, conn)
			}
			served <- err
		}()
		conn, err := listener.DialFrom(t.Context(), netip.MustParseAddr("198.51.100.9"))
		if err != nil || !strings.HasPrefix(conn.LocalAddr().String(), "198.51.100.9:") {
			t.Fatalf("%v, %v", conn, err)
		}
		if _, err := io.WriteString(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 4)
		if _, err := io.ReadFull(conn, p); err != nil || string(p) != "ping" {
			t.Errorf("%q, %v", p, err)
		}
		synctest.Wait()
		if err := errors.Join(conn.Close(), <-served, listener.Close()); err != nil {
			t.Error(err)
		}
		if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
		if _, err := listener.Dial(t.Context()); err == nil {
			t.Error("dialled a closed listener")
		}
	})
}
