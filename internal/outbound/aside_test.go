package outbound_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

// broken is a disk that opens bodies and does not read them.
type broken struct{ bodies }

var errDisk = errors.New("input/output error")

func (b broken) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	r, err := b.bodies.Open(ctx, id)
	return unread{r}, err
}

type unread struct{ blob.Reader }

func (unread) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// dark is a database that reads nothing.
type dark struct{ db.DB }

func (dark) Read(context.Context, func(*db.Tx) error) error { return errDisk }

// TestOurFaultsSayNothingOfTheSite: what our disk or database does to a message neither
// shows that its site is there nor that it is not.
func TestOurFaultsSayNothingOfTheSite(t *testing.T) {
	t.Parallel()
	noDisk := func(w *world) {
		w.options.Blobs = broken{w.bodies}
		w.o.Close()
		w.o = outbound.New(w.options)
	}
	noPath := func(w *world) {
		w.from = func(context.Context, *queue.Message, mail.Address) (mail.Address, bool, error) {
			return mail.Address{}, false, errDisk
		}
	}
	for _, c := range []struct {
		name     string
		keywords []string
		setup    func(w *world)
		change   func(m *queue.Message)
		want     string
		said     string
	}{
		{"no body", nil, func(w *world) { delete(w.bodies, 1) }, nil, "deferred 451 4.3.0 ours", "could not be read here"},
		{"a body that is lost on the way", nil, noDisk, nil, "deferred 451 4.3.0 ours", "could not be read here"},
		{"the same in one chunk", []string{"CHUNKING"}, noDisk, nil, "deferred 451 4.3.0 ours", "could not be read here"},
		{"a body that cannot be looked into", nil, noDisk, func(m *queue.Message) { m.LongLines = true }, "deferred 451 4.3.0 ours", "could not be read here"},
		{"no return path", nil, noPath, nil, "deferred 451 4.3.0 ours", "cannot be made now"},
		{"no directory", nil, func(w *world) { w.lost = errDisk }, nil, "deferred 451 4.4.3 ours", "It cannot be told here where"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mx(testkit.MXOptions{Keywords: c.keywords})
			c.setup(w)
			job := w.job("a@x.test")
			if c.change != nil {
				c.change(job.Message)
			}
			w.asideOnly(w.deliver(t.Context(), job)[0], c.want, c.said)
		})
	}
	t.Run("no TLS policies", func(t *testing.T) {
		t.Parallel()
		p := newPoliced(t)
		p.mx(testkit.MXOptions{})
		p.db = dark{p.db}
		p.restart()
		p.asideOnly(p.send("a@x.test"), "deferred 451 4.3.0 ours", "It cannot be told here which TLS policy")
	})
	for name, c := range map[string]struct {
		auth   route.Auth
		setup  func(w *world)
		change func(m *queue.Message)
		want   string
		said   string
	}{
		"a web hook for a message that is lost on the way": {route.NoAuth, noDisk, func(*queue.Message) {}, "deferred 451 4.3.0 ours", "could not be read here"},
		"a web hook without a return path":                 {route.NoAuth, noPath, func(*queue.Message) {}, "deferred 451 4.3.0 ours", "cannot be made now"},
		"a web hook for a signed message":                  {route.HMAC, noDisk, func(*queue.Message) {}, "deferred 451 4.3.0 ours", "could not be read here"},
		"a web hook after the time": {route.NoAuth, func(*world) {}, func(m *queue.Message) { m.By = mail.DeliverBy{At: 1, Return: true} },
			"deferred 451 4.4.7 ours", "is over"},
		"a web hook for a message that asks for TLS": {route.NoAuth, func(*world) {}, func(m *queue.Message) { m.RequireTLS = true },
			"failed 550 5.7.30 ours", "REQUIRETLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.hook("r", c.auth, "s3cret", nil)
			c.setup(w)
			job := w.job("a@x.test")
			job.Recipients[0].Site = route.Site("r")
			c.change(job.Message)
			w.asideOnly(w.deliver(t.Context(), job)[0], c.want, c.said)
			if n := len(h.requests()); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// asideOnly wants one outcome that says nothing of the site.
func (w *world) asideOnly(got []queue.Outcome, want, said string) {
	w.t.Helper()
	w.want(got, want)
	if o := got[0]; !o.Aside || o.Unreached || !strings.Contains(o.Reply, said) {
		w.t.Errorf("aside %v, unreached %v: %q", o.Aside, o.Unreached, o.Reply)
	}
}

// cut is a connection that ends under a large write.
type cut struct{ net.Conn }

func (c cut) Write(b []byte) (int, error) {
	if len(b) > 1000 {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

// TestTheWayIsNoFaultOfOurs: a connection that ends under the message is not our disk.
func TestTheWayIsNoFaultOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{})
	w.bodies[1] = strings.Repeat(text, 1000)
	w.options.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := w.dial(ctx, network, addr)
		return cut{conn}, err
	}
	w.o.Close()
	w.o = outbound.New(w.options)
	got := w.send("a@x.test")
	w.want(got, "deferred 421 4.4.2 ours")
	if o := got[0]; o.Aside || !strings.HasPrefix(o.Reply, "sending the message to mx.x.test") {
		t.Errorf("aside %v: %q", o.Aside, o.Reply)
	}
}
