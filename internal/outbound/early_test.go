package outbound_test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

// dialects are the ways in which a message goes over the wire.
func dialects() [][]string {
	return [][]string{{"8BITMIME"}, {"PIPELINING"}, {"CHUNKING"}, {"PIPELINING", "CHUNKING"}}
}

// doors are a host in the clear and one with TLS.
func doors(t *testing.T) map[string]*tls.Config {
	t.Helper()
	return map[string]*tls.Config{"in the clear": nil, "TLS": testkit.NewCA(t).ServerConfig(t, "mx.x.test")}
}

// TestAnswersTooMany: none counts for a message, and the connection on which it came is
// used no more. The host takes a message where the case says so, and no other.
func TestAnswersTooMany(t *testing.T) {
	t.Parallel()
	const late, spam = "deferred 421 4.4.2 ours", "failed 554 5.7.1 theirs"
	for _, c := range []struct {
		command, reply string
		pipelined      bool // it is told where several commands are on their way, too
		want           string
	}{
		{"EHLO", "250 mx.x.test\n250 mx.x.test", false, late},
		{"MAIL", "250 2.1.0 ok\n250 2.1.0 ok", false, late},
		{"RCPT", "250 2.1.5 ok\n250 2.1.5 ok", false, late},
		{"RCPT", "250 2.1.5 ok\n550 5.7.1 no", false, late},
		{"DATA", "354 go\n250 2.0.0 stray", true, late},
		{"DATA", "354 go\n550 5.0.0 stray", true, late},
		{"DATA", "354 go\n354 go", true, late},
		{"DATA", "554 5.6.0 no\n250 2.0.0 stray", true, late},
		{"DATA", "554 5.6.0 no\n421 4.7.0 bye", true, "failed 554 5.6.0 theirs"},
		{"END", "554 5.7.1 no\n250 2.0.0 stray", true, spam},
		{"END", "250 2.0.0 first ok\n250 2.0.0 second ok", true, good}, // as LMTP has it
	} {
		for door, config := range doors(t) {
			for _, keywords := range dialects() {
				if slices.Contains(keywords, "PIPELINING") && !c.pipelined || slices.Contains(keywords, "CHUNKING") && c.command == "DATA" {
					continue
				}
				t.Run(fmt.Sprint(c.command, " ", c.reply, " ", door, keywords), func(t *testing.T) {
					t.Parallel()
					for _, idle := range []bool{false, true} {
						w := newWorld(t)
						w.set.IdleTimeout = time.Minute
						m := w.mx(testkit.MXOptions{TLS: config, Keywords: keywords}, testkit.MXRule{Command: c.command, Times: 1, Reply: c.reply}, testkit.MXRule{Command: "END", Reply: "554 5.7.1 spam"})
						var got [][]queue.Outcome
						if idle {
							got = [][]queue.Outcome{w.send("a@x.test"), w.send("b@x.test")}
						} else {
							got = w.deliver(t.Context(), w.job("a@x.test"), w.job("b@x.test"))
						}
						w.want(got[0], c.want)
						w.want(got[1], spam)
						if n := m.Connections(); n != 2 {
							t.Errorf("%d connections", n)
						}
					}
				})
			}
		}
	}
}

// TestIdleAndNotSilent: what a host says while nothing is asked ends the connection, and is
// nobody's reply.
func TestIdleAndNotSilent(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"451 timeout (#4.4.2)", "421 4.4.2 idle too long", "250 2.0.0 late", "550 5.7.1 spam after all"} {
		for door, config := range doors(t) {
			for _, keywords := range dialects() {
				t.Run(fmt.Sprint(said, " ", door, keywords), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					w.set.IdleTimeout = time.Minute
					m := w.mx(testkit.MXOptions{TLS: config, Keywords: keywords})
					w.want(w.send("a@x.test"), good)
					m.Say(said)
					w.want(w.send("b@x.test"), good)
					if n := m.Connections(); n != 2 {
						t.Errorf("%d connections", n)
					}
				})
			}
		}
	}
}
