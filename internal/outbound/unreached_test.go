package outbound_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// TestUnreached tells what is about the destination from what is about a message,
// or is a host's own word: only the first is taken for all that waits for it.
func TestUnreached(t *testing.T) {
	t.Parallel()
	const mx = "x.test. 60 MX 10 m.test."
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, w *world)
		want  string
		all   bool
	}{
		{"nobody listens", func(*testing.T, *world) {}, "deferred 451 4.4.1 ours", true},
		{"silence", func(_ *testing.T, w *world) { w.hang("10.0.0.1:25") }, "deferred 451 4.4.1 ours", true},
		{"no look-up", func(_ *testing.T, w *world) { w.dns.Fail("x.test", testkit.DNSServFail) }, "deferred 451 4.4.3 ours", true},
		{"it hangs up", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Drop: true}))
		}, "deferred 421 4.4.2 ours", true},
		{"it is busy", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "421 4.3.2 busy"}))
		}, "deferred 421 4.3.2 theirs", true},
		{"it does not like us", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "450 4.7.1 who are you"}))
		}, "deferred 450 4.7.1 theirs", true},
		{"it wants nobody", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "554 5.7.1 no mail here"}))
		}, "deferred 554 5.7.1 theirs", true},
		{"it does not like our name", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "EHLO", Reply: "550 5.7.1 bad name"}, testkit.MXRule{Command: "HELO", Reply: "550 5.7.1 bad name"}))
		}, "deferred 550 5.7.1 theirs", true},
		{"it has enough in the transaction", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "MAIL", Reply: "421 4.3.2 enough"}))
		}, "deferred 421 4.3.2 theirs", false},
		{"it hangs up in the transaction", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Drop: true}))
		}, "deferred 421 4.4.2 ours", false},
		{"it does not like the recipient", func(t *testing.T, w *world) {
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Reply: "450 4.2.1 later"}))
		}, "deferred 450 4.2.1 theirs", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, mx, "m.test. 60 A 10.0.0.1")
			c.setup(t, w)
			got := w.send("a@x.test")
			w.want(got, c.want)
			if got[0].Unreached != c.all {
				t.Errorf("unreached: %v, want %v", got[0].Unreached, c.all)
			}
		})
	}
	t.Run("no TLS for a message that must have it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, mx, "m.test. 60 A 10.0.0.1")
		w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}))
		job := w.job("a@x.test")
		job.Message.RequireTLS = true
		if got := w.deliver(t.Context(), job)[0]; len(got) != 1 || got[0].Unreached {
			t.Errorf("outcomes %+v", got)
		}
	})
}
