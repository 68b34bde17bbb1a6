package outbound_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

// frank is a host that says nothing to a message until it has seen what comes with its
// end, and tells what that was.
func frank(t *testing.T, extension, reply string, seen chan<- string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				talk(c, extension, reply, seen)
			}()
		}
	}()
	return ln.Addr().String()
}

func talk(c net.Conn, extension, reply string, seen chan<- string) {
	say := func(s string) { _, _ = fmt.Fprintf(c, "%s\r\n", s) }
	var got []byte
	buf := make([]byte, 4096)
	// until reads up to a mark and returns what stands behind it.
	until := func(mark string) (rest string, ok bool) {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			if i := bytes.Index(got, []byte(mark)); i >= 0 {
				got = got[i+len(mark):]
				return string(got), true
			}
			n, err := c.Read(buf)
			if err != nil {
				return "", false
			}
			got = append(got, buf[:n]...)
		}
	}
	say("220 frank.test ESMTP")
	_, _ = until("\r\n")
	say("250-frank.test\r\n250-" + extension + "\r\n250 HELP")
	for {
		if _, ok := until("MAIL FROM:"); !ok {
			return
		}
		say("250 sender ok")
		_, _ = until("RCPT TO:")
		say("250 recipient ok")
		end := ".dots\r\n"
		if !strings.Contains(extension, "CHUNKING") {
			_, _ = until("DATA\r\n")
			say("354 go on")
			end += ".\r\n"
		}
		rest, _ := until(end)
		seen <- strings.TrimSpace(rest)
		say(reply)
		if rest != "" {
			say("221 bye")
			return
		}
	}
}

// TestQuitWithTheEnd: where a connection will be of no more use, QUIT goes out with the
// end of the message (RFC 2920 §3.1), and nowhere else.
func TestQuitWithTheEnd(t *testing.T) {
	t.Parallel()
	const fast, slow, chunks = "PIPELINING", "8BITMIME", "CHUNKING\r\n250-PIPELINING"
	for name, c := range map[string]struct {
		extension, reply string
		jobs             int
		idle             time.Duration
		seen             string
		want             string
	}{
		"one message":      {fast, "250 2.0.0 ok", 1, 0, "QUIT", good},
		"in chunks":        {chunks, "250 2.0.0 ok", 1, 0, "QUIT", good},
		"more wait":        {fast, "250 2.0.0 ok", 2, 0, " QUIT", good},
		"refused":          {fast, "550 5.7.1 no", 1, 0, "QUIT", "failed 550 5.7.1 theirs"},
		"not now":          {fast, "451 4.7.1 later", 1, 0, "QUIT", "deferred 451 4.7.1 theirs"},
		"going":            {fast, "421 4.3.2 going down", 1, 0, "QUIT", "deferred 421 4.3.2 theirs"},
		"no pipelining":    {slow, "250 2.0.0 ok", 1, 0, "", good},
		"it may be needed": {fast, "250 2.0.0 ok", 1, time.Minute, "", good},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.dns.Add("x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
			seen := make(chan string, 4)
			w.routes["10.0.0.1:25"] = frank(t, c.extension, c.reply, seen)
			w.set.IdleTimeout = c.idle
			var jobs []*queue.Job
			for range c.jobs {
				jobs = append(jobs, w.job("a@x.test"))
			}
			got := w.deliver(t.Context(), jobs...)
			var all []string
			for range c.jobs {
				all = append(all, <-seen)
			}
			if s := strings.Join(all, " "); s != c.seen {
				t.Errorf("with the end came %q, want %q", s, c.seen)
			}
			for _, o := range got {
				w.want(o, c.want)
			}
		})
	}
}

// TestQuitIsSaidOnce: who has said QUIT with the end of a message does not say it again.
func TestQuitIsSaidOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	w.want(w.send("a@x.test"), good)
	m.WaitFor(10*time.Second, "QUIT", func() bool {
		c := m.Commands()
		return len(c) > 0 && c[len(c)-1].Line == "QUIT"
	})
	n := 0
	for _, c := range m.Commands() {
		if c.Line == "QUIT" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("QUIT was said %d times", n)
	}
}
