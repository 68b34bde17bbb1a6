package outbound_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestCutOff: what waits for its reply when the grace is over may have been taken, and says
// nothing of the host.
func TestCutOff(t *testing.T) {
	t.Parallel()
	stall := []testkit.MXRule{{Command: "END", Stall: true}}
	for _, c := range []struct {
		name    string
		options testkit.MXOptions
		first   []testkit.MXRule // of the host before the one that says nothing; nil = there is none
	}{
		{"DATA", testkit.MXOptions{}, nil},
		{"BDAT", testkit.MXOptions{Keywords: []string{"CHUNKING"}}, nil},
		{"LMTP", testkit.MXOptions{LMTP: true}, nil},
		{"the second host", testkit.MXOptions{}, []testkit.MXRule{{Command: "RCPT", Reply: "451 4.3.0 not here"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set.Grace = 50 * time.Millisecond
			job := w.job("a@x.test")
			m := testkit.StartMX(t, c.options, stall...)
			switch {
			case c.first != nil:
				w.exchangers(2, c.first)
				w.route("10.0.0.2:25", m)
			case c.options.LMTP:
				w.lmtp("r", m)
				job.Recipients[0].Site = route.Site("r")
			default:
				w.exchangers(1)
				w.route("10.0.0.1:25", m)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				defer cancel()
				m.WaitRefused(1, patience) // nothing was said to it
			}()
			got := w.deliver(ctx, job)[0]
			w.want(got, "cut_off 421 4.4.2 ours")
			if len(got) == 1 && (!strings.HasSuffix(got[0].Reply, ": the server stops") || got[0].Strained || got[0].Unreached) {
				t.Errorf("%+v", got[0])
			}
		})
	}
	t.Run("a web hook", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.set.Grace = 50 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		w.hook("r", route.Bearer, "s3cret", func(_ http.ResponseWriter, r *http.Request, _ string) {
			cancel()
			<-r.Context().Done()
		})
		job := w.job("a@x.test")
		job.Recipients[0].Site = route.Site("r")
		w.want(w.deliver(ctx, job)[0], "cut_off 451 4.4.1 ours")
	})
}
