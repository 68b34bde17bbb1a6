package load_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hayauma/hayauma/test/load"
)

// answering listens and serves each connection with its own reader.
func answering(t *testing.T, serve func(r *bufio.Reader, say func(string))) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				serve(bufio.NewReader(c), func(s string) { _, _ = fmt.Fprint(c, s) })
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// A literal that holds what looks like a tagged reply, and one longer than the
// reader's buffer.
func imapServer(idle *atomic.Int64) func(*bufio.Reader, func(string)) {
	return func(r *bufio.Reader, say func(string)) {
		say("* OK hello\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			verb, arg, _ := strings.Cut(rest, " ")
			switch {
			case verb == "LOGIN" && strings.HasPrefix(arg, "user1 "):
				say(tag + " NO wrong\r\n")
				continue
			case verb == "SELECT":
				say("* FLAGS ()\r\n* 2 EXISTS\r\n* 0 RECENT\r\n")
			case verb == "FETCH" && strings.Contains(arg, "BODY.PEEK"):
				trap := "\r\n" + tag + " OK not yet\r\n"
				say(fmt.Sprintf("* 1 FETCH (BODY[] {%d}\r\n%s UID 1)\r\n", len(trap), trap))
				say(fmt.Sprintf("* 2 FETCH (BODY[] {%d}\r\n%s UID 2)\r\n", 200_000, strings.Repeat("z", 200_000)))
			case verb == "FETCH":
				say("* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\n")
			case verb == "IDLE":
				idle.Add(1)
				say("+ idling\r\n")
				_, _ = r.ReadString('\n')
				idle.Add(-1)
				return
			}
			say(tag + " OK done\r\n")
		}
	}
}

func TestReadIMAP(t *testing.T) {
	t.Parallel()
	r := load.Reader{Addr: answering(t, imapServer(nil)), Sessions: 3, Rounds: 2, Mailboxes: 1, Password: "p"}
	res, err := r.ReadIMAP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Errors) > 0 || res.Messages != 12 || res.Bytes < 3*2*200_000 || len(res.Steps) != 6 {
		t.Errorf("%+v", res)
	}
	n, err := r.CountIMAP(t.Context())
	if err != nil || n != 2 {
		t.Errorf("count %d, %v", n, err)
	}
	r.Mailboxes = 2
	if _, err := r.CountIMAP(t.Context()); err == nil {
		t.Error("a refused login was not reported")
	}
}

func TestHoldIdle(t *testing.T) {
	t.Parallel()
	var idle atomic.Int64
	r := load.Reader{Addr: answering(t, imapServer(&idle)), Sessions: 40, Password: "p"}
	called := false
	res, err := r.HoldIdle(t.Context(), func() error {
		called = true
		if n := idle.Load(); n != 40 {
			t.Errorf("%d sessions are idle", n)
		}
		return nil
	})
	if err != nil || !called || len(res.Errors) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestHoldIdleGoesOnWithoutThoseThatFail(t *testing.T) {
	t.Parallel()
	var idle atomic.Int64
	r := load.Reader{Addr: answering(t, imapServer(&idle)), Sessions: 40, Mailboxes: 2, Password: "p"}
	res, err := r.HoldIdle(t.Context(), func() error {
		if n := idle.Load(); n != 20 {
			t.Errorf("%d sessions are idle", n)
		}
		return nil
	})
	if err != nil || res.Errors["LOGIN refused"] != 20 {
		t.Errorf("%+v, %v", res, err)
	}
	r = load.Reader{Addr: "127.0.0.1:1", Sessions: 20}
	if res, err := r.HoldIdle(t.Context(), func() error { return nil }); err != nil || res.Errors["connect refused"] != 20 {
		t.Errorf("nobody there: %+v, %v", res, err)
	}
}

func TestReadPOP3(t *testing.T) {
	t.Parallel()
	addr := answering(t, func(r *bufio.Reader, say func(string)) {
		say("+OK hello\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch verb {
			case "STAT":
				say("+OK 3 600\r\n")
			case "PASS":
				if arg != "p" {
					say("-ERR wrong\r\n")
					continue
				}
				say("+OK\r\n")
			case "LIST", "UIDL":
				say("+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n")
			case "RETR":
				say("+OK 99 octets\r\nSubject: x\r\n\r\n..stuffed\r\n.\r\n")
			default:
				say("+OK\r\n")
			}
		}
	})
	r := load.Reader{Addr: addr, Sessions: 2, Rounds: 2, Password: "p"}
	res, err := r.ReadPOP3(t.Context())
	if err != nil || len(res.Errors) > 0 || res.Messages != 12 || len(res.Steps) != 6 {
		t.Errorf("%+v, %v", res, err)
	}
	r.Password = "q"
	if res, err := r.ReadPOP3(t.Context()); err != nil || res.Errors["POP3 PASS refused"] != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}
