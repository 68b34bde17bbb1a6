package smtpd_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// The times of RFC 5321 §4.5.3.2, and ours.
const (
	command   = 5 * time.Minute
	block     = 3 * time.Minute
	handshake = time.Minute
	writing   = 2 * time.Minute
	fruitless = 2 * time.Hour
)

// slowRig is a server in a bubble, where hours take no time.
func slowRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) {
		s.CommandTimeout, s.DataTimeout, s.Junk, s.AllowCleartext = command, block, 1_000_000, true
	})
	return r
}

// dialed opens a door, and closes it when the test ends.
func (r *rig) dialed(door string) net.Conn {
	r.t.Helper()
	conn, err := r.dialDoor(door)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() }) // may be closed already
	return conn
}

// slowly writes text at once, and then the octets of more, again and again, each
// a while after the one before, until the server is gone, or lives too long.
func slowly(conn net.Conn, text, more string, every, most time.Duration) {
	_, err := io.WriteString(conn, text)
	giveUp := time.Now().Add(most)
	for i := 0; err == nil && more != ""; i = (i + 1) % len(more) {
		if time.Now().After(giveUp) {
			_ = conn.Close()
		}
		pause := time.NewTimer(every)
		<-pause.C
		_, err = io.WriteString(conn, more[i:i+1])
	}
}

// aside runs f, which ends with its connection, until finish is called.
func (r *rig) aside(conn net.Conn, f func()) (finish func()) {
	var running sync.WaitGroup
	running.Go(f)
	return func() {
		_ = conn.Close() // may be closed already
		running.Wait()
	}
}

// A message of 400 octets is announced to tiny, who has room for 500.
const reserving = "EHLO a\r\nMAIL FROM:<a@b.test> SIZE=400\r\nRCPT TO:<tiny@hayauma.test>\r\n"

// TestSlowPeers: however slowly a peer goes on, its session ends in the time that
// stands there, says so, and leaves nothing behind.
func TestSlowPeers(t *testing.T) {
	t.Parallel()
	login := "EHLO a\r\nAUTH LOGIN\r\n"
	tests := []struct {
		name, door, say, more string
		every                 time.Duration
		after                 time.Duration
	}{
		{"says nothing", "1", "", "", 0, command},
		{"half a command", "1", "EHLO a\r\nMAIL FR", "", 0, command},
		{"an octet of a command a second", "1", "EHLO a\r\n" + "NOOP ", "x", time.Second, command},
		{"an octet of a command a second over LMTP", "4", "LHLO a\r\n" + "NOOP ", "x", time.Second, command},
		{"commands an octet a second", "1", "EHLO a\r\n", "NOOP\r\n", time.Second, fruitless},
		{"a recipient now and then", "1", reserving, "RCPT TO:<alice@hayauma.test>\r\n", 9 * time.Second, fruitless},
		{"stops before the dot", "1", reserving + "DATA\r\nSubject: a\r\n\r\nx\r\n", "", 0, block},
		{"a line of DATA an octet a second", "1", reserving + "DATA\r\n", "x", time.Second, block + time.Second},
		{"lines of DATA an octet a second", "1", reserving + "DATA\r\n", "x\r\n", time.Second, block + time.Second},
		{"a quick beginning, then an octet a minute", "1", reserving + "DATA\r\n" + strings.Repeat("x\r\n", 15_000), "x", time.Minute, block + time.Second},
		{"BDAT an octet a second", "1", reserving + "BDAT 100000 LAST\r\n", "x", time.Second, command + 2*time.Second},
		{"chunks of one octet", "1", reserving, "BDAT 1\r\nx", time.Second, command + 10*time.Second},
		{"chunks of no octet", "1", reserving, "BDAT 0\r\n", time.Second, command + 10*time.Second},
		{"BDAT that is refused, an octet a second", "1", "BDAT 100000 LAST\r\n", "x", time.Second, block + time.Second},
		{"no answer to a login", "2", login, "", 0, command},
		{"an answer to a login an octet a second", "2", login, "x", time.Second, command},
		{"a handshake an octet a second", "1", "EHLO a\r\nSTARTTLS\r\n", "\x16\x03\x01\x40\x00", time.Second, handshake},
		{"no handshake", "1", "EHLO a\r\nSTARTTLS\r\n", "", 0, handshake},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := slowRig(t)
				conn := r.dialed(test.door)
				begun := time.Now()
				finish := r.aside(conn, func() { slowly(conn, test.say, test.more, test.every, test.after+time.Minute) })
				heard, err := io.ReadAll(conn)
				r.served.Wait()
				took := time.Since(begun)
				finish()
				lines := strings.Split(strings.TrimSpace(string(heard)), "\r\n")
				last := lines[len(lines)-1]
				if err != nil || !strings.HasPrefix(last, "421 4.4.2 ") && test.after != handshake {
					t.Errorf("heard %.100q, %v", last, err)
				}
				if took < test.after-10*time.Second || took > test.after {
					t.Errorf("after %v, want %v", took, test.after)
				}
				r.roomAgain(t)
			})
		})
	}
}

// TestRefusedContents: who does not end a content that is refused hears why, as if he
// had, and is left behind a number of octets, or a time.
func TestRefusedContents(t *testing.T) {
	t.Parallel()
	const most = 2*1_000_000 + 1<<20
	begins := []struct{ name, say, more, want string }{
		{"too big", "DATA\r\n" + strings.Repeat("x\r\n", 400_000), "x\r\n", "552 5.3.4"},
		{"a NUL", "DATA\r\n\x00\r\n", "x\r\n", "554 5.6.0"},
		{"a bare newline", "DATA\r\nx\ny\r\n", "x\r\n", "550 5.5.2"},
		{"a line without end", "DATA\r\n\x00", "x", "554 5.6.0"},
		{"a NUL in a chunk", "BDAT 3000000\r\n\x00\r\n", "x\r\n", "554 5.6.0"},
		{"a bare newline in a chunk", "BDAT 3000000\r\nx\ny\r\n", "x\r\n", "550 5.5.2"},
		{"a chunk of no message", "RSET\r\nBDAT 3000000\r\nx\r\n", "x\r\n", "503 5.5.1"},
	}
	for _, b := range begins {
		for _, every := range []time.Duration{0, time.Second} {
			if every == 0 && !strings.HasPrefix(b.say, "DATA") {
				continue // a chunk ends by itself
			}
			t.Run(b.name+" "+every.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := slowRig(t)
					conn := r.dialed("1")
					begun := time.Now()
					sent := 0
					finish := r.aside(conn, func() {
						_, err := io.WriteString(conn, reserving+b.say)
						for sent = len(b.say); err == nil && sent < 3*most && time.Since(begun) < 2*fruitless; sent += 300 {
							pause := time.NewTimer(every)
							<-pause.C
							_, err = io.WriteString(conn, strings.Repeat(b.more, 300/len(b.more)))
						}
					})
					heard, err := io.ReadAll(conn)
					r.served.Wait()
					took := time.Since(begun)
					finish()
					lines := strings.Split(strings.TrimSpace(string(heard)), "\r\n")
					if last := lines[len(lines)-1]; err != nil || !strings.HasPrefix(last, b.want) {
						t.Errorf("heard %.100q, %v; want %s", last, err, b.want)
					}
					if sent > most+100_000 || took > fruitless+time.Minute {
						t.Errorf("left after %d octets, %v", sent, took)
					}
					r.roomAgain(t)
				})
			})
		}
	}
}

// roomAgain sees that nothing was filed, and that no quota is kept free.
func (r *rig) roomAgain(t *testing.T) {
	t.Helper()
	if got := r.Inbox("tiny@hayauma.test"); len(got) != 0 {
		t.Errorf("filed: %q", got)
	}
	tiny, err := r.Directory.Find(t.Context(), r.Address("tiny@hayauma.test"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := r.Mailboxes.Reserve(t.Context(), tiny.ID, 500, 500); err != nil || !ok {
		t.Errorf("the quota is not free again: %v", err)
	}
}

// TestHonestSlowPeers: what comes at a rate that lines had long ago is taken.
func TestHonestSlowPeers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, say string
		parts     []string
		every     time.Duration
	}{
		{"300 octets a second for half an hour", reserving + "DATA\r\n\r\n", append(repeated(strings.Repeat("x", 298)+"\r\n", 1800), ".\r\n"), time.Second},
		{"a block every two and a half minutes", reserving + "DATA\r\n\r\n", append(repeated(strings.Repeat(strings.Repeat("x", 998)+"\r\n", 39), 20), ".\r\n"), 150 * time.Second},
		{"a chunk every two minutes", reserving + "BDAT 2\r\n\r\n", append(repeated("BDAT 40000\r\n"+strings.Repeat(strings.Repeat("x", 998)+"\r\n", 40), 20), "BDAT 0 LAST\r\n"), 2 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := slowRig(t)
				conn := r.dialed("1")
				say := strings.Replace(strings.Replace(test.say, " SIZE=400", "", 1), "tiny", "alice", 1)
				finish := r.aside(conn, func() {
					slowly(conn, say, "", 0, 0)
					for _, part := range test.parts {
						pause := time.NewTimer(test.every)
						<-pause.C
						if _, err := io.WriteString(conn, part); err != nil {
							return
						}
					}
					_, _ = io.WriteString(conn, "QUIT\r\n")
				})
				defer finish()
				heard, err := io.ReadAll(conn)
				if err != nil || !bytes.Contains(heard, []byte("Accepted as")) {
					t.Errorf("heard %q, %v", heard[max(0, len(heard)-300):], err)
				}
			})
		})
	}
}

// TestPressedForMemory: where messages wait for memory, those that come slowly are
// cut off, which their peers are told, and no others.
func TestPressedForMemory(t *testing.T) {
	t.Parallel()
	const some = "DATA\r\n\r\nx"
	tests := []struct {
		name, say, more string
		every           time.Duration
		pressed         bool
		after           time.Duration
		want            string
	}{
		{"a message that stops", reserving + some, "", 0, true, 5 * time.Second, "421 4.3.2 "},
		{"a message that stops, without need", reserving + some, "", 0, false, block + time.Second, "421 4.4.2 "},
		{"an octet a second", reserving + some, "x", time.Second, true, 6 * time.Second, "421 4.3.2 "},
		{"a chunk that stops", reserving + "BDAT 1000\r\n\r\nx", "", 0, true, 5 * time.Second, "421 4.3.2 "},
		{"nothing behind a chunk", reserving + "BDAT 3\r\n\r\nx", "", 0, true, 5 * time.Second, "421 4.3.2 "},
		{"chunks of one octet", reserving, "BDAT 1\r\nx", time.Second, true, 16 * time.Second, "421 4.3.2 "},
		{"no message", reserving, "", 0, true, command, "421 4.4.2 "},
		{"a message that was dropped", reserving + "BDAT 3\r\n\r\nxRSET\r\n", "", 0, true, command, "421 4.4.2 "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := slowRig(t)
				r.pressed.Store(test.pressed)
				conn := r.dialed("1")
				begun := time.Now()
				finish := r.aside(conn, func() { slowly(conn, test.say, test.more, test.every, test.after+time.Minute) })
				heard, err := io.ReadAll(conn)
				r.served.Wait()
				took := time.Since(begun)
				finish()
				if err != nil || !bytes.Contains(heard, []byte("\r\n"+test.want)) {
					t.Errorf("heard %q, %v", heard, err)
				}
				if took < test.after-5*time.Second || took > test.after {
					t.Errorf("after %v, want %v", took, test.after)
				}
				r.roomAgain(t)
			})
		})
	}
	t.Run("8 KiB a second", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := slowRig(t)
			r.pressed.Store(true)
			conn := r.dialed("1")
			finish := r.aside(conn, func() {
				slowly(conn, "EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@hayauma.test>\r\nDATA\r\n\r\n", "", 0, 0)
				for range 100 {
					slowly(conn, strings.Repeat("x", 8190)+"\r\n", "", 0, 0)
					pause := time.NewTimer(time.Second)
					<-pause.C
				}
				slowly(conn, ".\r\nQUIT\r\n", "", 0, 0)
			})
			defer finish()
			if heard, err := io.ReadAll(conn); err != nil || !bytes.Contains(heard, []byte("Accepted as")) {
				t.Errorf("heard %q, %v", heard, err)
			}
		})
	})
}

func repeated(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// TestSlowTLS: a handshake, and what comes behind it, obey the same times.
func TestSlowTLS(t *testing.T) {
	t.Parallel()
	t.Run("implicit TLS an octet a second", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := slowRig(t)
			client, server := testkit.MemPipe(stranger, here)
			r.served.Go(func() { r.server.Serve(r.ctx, tls.Server(server, r.secure), mail.DoorSubmission) })
			begun := time.Now()
			finish := r.aside(client, func() { slowly(client, "", "\x16\x03\x01\x40\x00", time.Second, 2*command) })
			defer finish()
			_, _ = io.ReadAll(client) // an alert perhaps
			r.served.Wait()
			if took := time.Since(begun); took > handshake+time.Second {
				t.Errorf("after %v", took)
			}
		})
	})
	t.Run("a record an octet a second", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := slowRig(t)
			client, server := testkit.MemPipe(stranger, here)
			r.served.Go(func() { r.server.Serve(r.ctx, tls.Server(server, r.secure), mail.DoorSubmission) })
			secured := tls.Client(client, r.ca.ClientConfig(stack.Hostname))
			if err := secured.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			// Below TLS: the head of a record whose octets then drip in.
			finish := r.aside(client, func() { slowly(client, "\x17\x03\x03\x40\x00", "x", time.Second, 2*command) })
			defer finish()
			heard, err := io.ReadAll(secured)
			r.served.Wait()
			if took := time.Since(begun); took > command+time.Second || !strings.Contains(string(heard), "421 4.4.2 ") {
				t.Errorf("after %v: heard %q, %v", took, heard, err)
			}
		})
	})
}

// TestSlowReaders: who sends and does not read is cut off as soon as one write has
// waited its time.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		every time.Duration // an octet is read; 0 = none
	}{{"never reads", 0}, {"reads an octet a second", time.Second}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := slowRig(t)
				conn := r.dialed("1")
				finish := r.aside(conn, func() {
					var err error
					for test.every > 0 && err == nil {
						pause := time.NewTimer(test.every)
						<-pause.C
						_, err = conn.Read(make([]byte, 1))
					}
				})
				defer finish()
				begun := time.Now()
				_ = conn.SetWriteDeadline(begun.Add(time.Hour))
				var err error
				for err == nil {
					_, err = conn.Write(bytes.Repeat([]byte("NOOP\r\n"), 1000))
				}
				r.served.Wait()
				// In memory nothing flows while a write is full, so that at most the
				// last one counts, and the farewell behind it.
				if took := time.Since(begun); took > 2*writing+time.Second || errors.Is(err, net.ErrClosed) {
					t.Errorf("the session lived for %v, %v", took, err)
				}
			})
		})
	}
}

// TestHalfOpenPeers: who has closed its half, in any state, is let go at once.
func TestHalfOpenPeers(t *testing.T) {
	t.Parallel()
	for i, say := range []string{"", "EHLO a\r\nMAIL", reserving, reserving + "DATA\r\n", reserving + "DATA\r\nSubject: a\r\n", reserving + "BDAT 100\r\nx", reserving + "BDAT 2\r\n\r\n", "EHLO a\r\nSTARTTLS\r\n"} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := slowRig(t)
				conn, ok := r.dialed("1").(*testkit.MemConn)
				if !ok {
					t.Fatal("not a connection in memory")
				}
				begun := time.Now()
				slowly(conn, say, "", 0, 0)
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				r.served.Wait()
				if took := time.Since(begun); took > time.Second {
					t.Errorf("after %v", took)
				}
				r.roomAgain(t)
			})
		})
	}
}
