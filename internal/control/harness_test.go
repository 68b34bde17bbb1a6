package control_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long what has to happen may take.
const patience = 20 * time.Second

// way is how a client reaches the calls.
type way struct {
	*control.Client
	stack  *stack.Stack
	socket string // empty = it works on the stores in this process
}

// options leave all that is sent in the queue, so that the verbs have work.
func options() stack.Options {
	return stack.Options{Asleep: true, Messages: func(s *intake.Settings) { s.MessageSize = 50 << 20 }}
}

// both runs a test against a server behind its socket and against the stores.
func both(t *testing.T, o stack.Options, test func(t *testing.T, w way)) {
	t.Helper()
	t.Run("socket", func(t *testing.T) {
		t.Parallel()
		test(t, dialled(t, o))
	})
	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		s := stack.New(t, o)
		test(t, way{Client: control.Direct(service(s).Handler()), stack: s})
	})
}

func service(s *stack.Stack) *control.Service {
	return &control.Service{
		Directory: s.Directory, Bans: s.Bans, Mailboxes: s.Mailboxes, Queue: s.Queue, Log: s.History, Intake: s.Intake,
		Policy: s.Policy, Rules: s.Rules, Rates: s.Rates, Blobs: s.Blobs, Classes: s.Classes, Routes: s.Routes, Ahead: s.Ahead,
		Verify: func(ctx context.Context) ([]string, error) {
			faults := []string{}
			err := s.DB.Check(ctx, func(f string) { faults = append(faults, f) })
			return faults, err
		},
	}
}

// dialled is a client of a server on a real socket.
func dialled(t *testing.T, o stack.Options) way {
	t.Helper()
	s := stack.New(t, o)
	path := filepath.Join(t.TempDir(), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: service(s).Handler(), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("a call did not end: %v", err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return way{Client: control.Dial(path), stack: s, socket: path}
}

// ask makes a call that has to succeed.
func ask[In, Out any](t *testing.T, w way, call control.Call[In, Out], in In) Out {
	t.Helper()
	out, err := control.Ask(t.Context(), w.Client, call, in)
	if err != nil {
		t.Fatalf("%s: %v", call.Name, err)
	}
	return out
}

// refused makes a call that has to fail with a sentence.
func refused[In, Out any](t *testing.T, w way, call control.Call[In, Out], in In, sentence string) {
	t.Helper()
	_, err := control.Ask(t.Context(), w.Client, call, in)
	if err == nil {
		t.Errorf("%s %+.100v: done, want %q", call.Name, in, sentence)
	} else if err.Error() != sentence {
		t.Errorf("%s %+.100v:\n got %q\nwant %q", call.Name, in, err.Error(), sentence)
	}
}

// later is a deliverer whose remote puts everybody off.
func later(*queue.Message, queue.Recipient) queue.Outcome {
	return queue.Outcome{Result: queue.TryLater, Code: 451, Enhanced: "4.7.1", Host: "mx.elsewhere.test", Reply: "Come again"}
}
