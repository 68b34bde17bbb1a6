package smuggling

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// recorder is a mail exchanger that keeps what arrives, octet for octet. It is
// strict itself, so that the server goes on whatever it has sent.
type recorder struct {
	addr string

	mu    sync.Mutex
	tapes []*tape
	taken int // messages
}

// tape is one connection.
type tape struct {
	r    *recorder
	conn net.Conn
	in   *bufio.Reader
	raw  []byte
	to   int // recipients since MAIL
}

// hostile is what the recorder says to recipients named "no": a refusal whose
// words would end a message, and go into a report.
const hostile = "550-5.1.1 no\r.\rMAIL FROM:<evil@x.test>\r\n" +
	"550-5.1.1 \r\r\n550-.\r\n550-5.1.1 .\x00\r\r\n550 5.1.1 =?utf-8?q?a=0D=0A.=0D=0A?=\r\x00.\r\n"

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: listener.Addr().String()}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			p := &tape{r: r, conn: conn, in: bufio.NewReader(conn)}
			r.mu.Lock()
			r.tapes = append(r.tapes, p)
			r.mu.Unlock()
			sessions.Go(p.serve)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // was only listened on
		r.mu.Lock()
		for _, p := range r.tapes {
			_ = p.conn.Close() // its session ends by it
		}
		r.mu.Unlock()
		sessions.Wait()
	})
	return r
}

// serve ends with the connection.
func (p *tape) serve() {
	defer p.conn.Close()
	if !p.say("220 mx.b.test ESMTP") {
		return
	}
	for {
		line, ok := p.line()
		if !ok || !p.say(p.reply(line)) || strings.HasPrefix(line, "QUIT") {
			return
		}
		if !strings.HasPrefix(line, "DATA") {
			continue
		}
		if p.to == 0 {
			p.forget(line) // no content follows
		} else if !p.content() || !p.say("250 2.0.0 Taken") {
			return
		}
	}
}

func (p *tape) say(reply string) bool {
	_, err := io.WriteString(p.conn, strings.TrimSuffix(reply, "\r\n")+"\r\n")
	return err == nil
}

// line reads up to a LF, and keeps it.
func (p *tape) line() (string, bool) {
	line, err := p.in.ReadString('\n')
	p.r.mu.Lock()
	p.raw = append(p.raw, line...)
	p.r.mu.Unlock()
	return line, err == nil
}

// forget takes the last line off the tape.
func (p *tape) forget(line string) {
	p.r.mu.Lock()
	p.raw = p.raw[:len(p.raw)-len(line)]
	p.r.mu.Unlock()
}

func (p *tape) reply(line string) string {
	verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case verb == "EHLO":
		return "250-mx.b.test\r\n250-PIPELINING\r\n250-SIZE 1000000000\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 8BITMIME"
	case verb == "RCPT" && strings.Contains(line, "<no"):
		return hostile
	case verb == "RCPT":
		p.to++
		return "250 2.1.5 Ok"
	case verb == "MAIL" || verb == "RSET":
		p.to = 0
		return "250 2.0.0 Ok"
	case verb == "DATA" && p.to > 0:
		return "354 Go on"
	case verb == "DATA":
		return "554 5.5.1 Nobody is left"
	case verb == "QUIT":
		return "221 2.0.0 Bye"
	}
	return "500 5.5.2 What"
}

// content reads to the legal end.
func (p *tape) content() bool {
	for before := "\r\n"; ; {
		line, ok := p.line()
		if !ok {
			return false
		}
		if line == ".\r\n" && strings.HasSuffix(before, "\r\n") {
			p.r.mu.Lock()
			p.r.taken++
			p.r.mu.Unlock()
			return true
		}
		before = line
	}
}

// wait waits for so many messages.
func (r *recorder) wait(t *testing.T, count int) {
	t.Helper()
	testkit.Eventually(t, node.Patience, "all messages at the recorder", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.taken >= count
	})
}

// raw is what came over each connection.
func (r *recorder) raw() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, p := range r.tapes {
		out = append(out, string(p.raw))
	}
	return out
}

// check looks at all connections, as every host, and returns the messages.
func (r *recorder) check(t *testing.T) []seen {
	t.Helper()
	var out []seen
	all := r.raw()
	for _, raw := range all {
		if err := checkTape([]byte(raw)); err != nil {
			t.Errorf("a connection of ours carries %v", err)
		}
		out = append(out, strict().read(raw)...)
	}
	for _, m := range out {
		if strings.Contains(m.from, "evil") || strings.Contains(strings.Join(m.to, " "), "victim") {
			t.Errorf("the smuggled transaction went out: %+v", m)
		}
	}
	for _, h := range hosts() {
		t.Run("a host that "+h.name, func(t *testing.T) {
			wrong := 0
			for _, raw := range all {
				if err := h.compare(raw); err != nil {
					if wrong++; wrong <= 3 {
						t.Error(err)
					}
				}
			}
			if wrong > 3 {
				t.Errorf("... on %d connections of %d", wrong, len(all))
			}
		})
	}
	return out
}
