package outbound_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// TestRefusedInTheMiddle: a host that answers in the middle of a message, and perhaps
// closes, is heard, and what is left of the message is not sent.
func TestRefusedInTheMiddle(t *testing.T) {
	t.Parallel()
	body := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 32<<10) // more than sockets hold
	for _, c := range []struct {
		reply  string
		closes bool
		want   string
	}{
		{"552 5.3.4 Message too large", true, "failed 552 5.3.4 theirs"},
		{"552 5.3.4 Message too large", false, "failed 552 5.3.4 theirs"},
		{"421 4.3.2 Going down", true, "deferred 421 4.3.2 theirs"},
		{"250 2.0.0 Taken", false, "deferred 421 4.4.2 ours"},
	} {
		for door, config := range doors(t) {
			for _, keywords := range [][]string{{"8BITMIME"}, {"CHUNKING"}} {
				t.Run(fmt.Sprint(c.reply, " ", door, keywords, " closes: ", c.closes), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					w.bodies[1] = body
					m := w.mx(testkit.MXOptions{TLS: config, Keywords: keywords}, testkit.MXRule{Command: "BODY", After: 100 << 10, Reply: c.reply, Hangup: c.closes})
					w.want(w.send("a@x.test"), c.want)
					if got := len(m.Messages()) + len(m.Refused()); got > 0 {
						t.Error("it was sent to its end")
					}
				})
			}
		}
	}
}
