package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/queue"
)

// mortal is a server of one call, which stops to give signs of life once hung is set.
type mortal struct {
	net.Listener
	client *Client
	signs  chan struct{}
	hung   atomic.Bool
}

// live starts a server whose call does as it is told; nil = it takes connections and no more.
func live(t *testing.T, within time.Duration, call func(s *mortal, w http.ResponseWriter, r *http.Request)) *mortal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &mortal{Listener: l, client: Dial(path), signs: make(chan struct{})}
	s.client.pulse.every, s.client.pulse.within = 5*time.Millisecond, within
	t.Cleanup(s.client.http.CloseIdleConnections)
	if call == nil {
		t.Cleanup(func() { _ = l.Close() }) // nobody was served
		return s
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/work", func(w http.ResponseWriter, r *http.Request) { call(s, w, r) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.hung.Load() {
			<-r.Context().Done()
			return
		}
		select {
		case s.signs <- struct{}{}:
		default:
		}
		unknown(w, r)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close() // of a listener that was closed already it complains
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// TestPulse: a call may take as long as its server lives, and no longer.
func TestPulse(t *testing.T) {
	t.Parallel()
	work := Call[Empty, Empty]{"work"}
	for _, c := range []struct {
		name   string
		within time.Duration
		call   func(s *mortal, w http.ResponseWriter, r *http.Request)
		silent bool
	}{
		{"a server that takes connections and no more", 50 * time.Millisecond, nil, true},
		{"one that hangs in its answer", 50 * time.Millisecond, func(s *mortal, w http.ResponseWriter, r *http.Request) {
			select {
			case <-s.signs:
			case <-r.Context().Done(): // the first sign came too late
				return
			}
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush() // the asker sees that it does not go on
			s.hung.Store(true)
			<-r.Context().Done()
		}, true},
		{"a call that takes long", time.Minute, func(s *mortal, w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				<-s.signs
			}
			answer(w, http.StatusOK, Empty{})
		}, false},
		{"a call that goes on while the server stops", time.Minute, func(s *mortal, w http.ResponseWriter, r *http.Request) {
			<-s.signs
			_ = s.Close() // the server sees it
			if s.client.silent(r.Context()) {
				t.Error("a server that takes no more connections is taken for one that hangs")
			}
			answer(w, http.StatusOK, Empty{})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := live(t, c.within, c.call)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := Ask(ctx, s.client, work, Empty{})
			if !c.silent {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := "the server"
			if runtime.GOOS == "linux" {
				want += fmt.Sprintf(" (process %d)", os.Getpid())
			}
			want += " does not answer on its admin socket, and gave no sign of life for 55ms"
			if _, ok := errors.AsType[*silentError](err); !ok || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// TestNoAnswer: an asker without an answer hears why, and that something may be done.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	errEnough := errors.New("enough")
	ctx, end := context.WithCancelCause(t.Context())
	for want, call := range map[string]func(w http.ResponseWriter, r *http.Request){
		"the server ended before it answered; what was asked may be done, or a part of it: ": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
		"stopped before the server answered; what was asked may be done, or a part of it: enough": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then it hears that the asker went
			end(errEnough)
			<-r.Context().Done()
		},
		"the answer ends too early: the server stopped meanwhile, or could not read on; ask again": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("{"))
		},
	} {
		t.Run(want, func(t *testing.T) {
			s := live(t, time.Minute, func(_ *mortal, w http.ResponseWriter, r *http.Request) { call(w, r) })
			s.client.pulse.every = time.Minute
			asker := t.Context()
			if strings.HasSuffix(want, errEnough.Error()) {
				asker = ctx
			}
			_, err := Ask(asker, s.client, Call[Empty, Empty]{"work"}, Empty{})
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			if none := !strings.HasPrefix(want, "the answer"); errors.Is(err, ErrNoAnswer) != none {
				t.Errorf("%v is one without an answer: %v", err, !none)
			}
		})
	}
}

// TestPartly: what a verb did before it failed is told, with what can be done.
func TestPartly(t *testing.T) {
	t.Parallel()
	errBad := errors.New("bad")
	some := queue.Touched{Moved: 1000, UnderWay: 2}
	for _, c := range []struct {
		t    queue.Touched
		in   QueueFilter
		err  error
		want string
	}{
		{some, QueueFilter{}, nil, "<nil>"},
		{some, QueueFilter{}, errBad, "1002 recipients were reached, say it again for the rest: bad"},
		{some, QueueFilter{DryRun: true}, errBad, "bad"},
		{queue.Touched{}, QueueFilter{}, errBad, "bad"},
		{queue.Touched{}, QueueFilter{}, fmt.Errorf("commit: %w", db.ErrFull),
			"the disk is full: make room on it, or restart the server, which holds some for that: commit: " + db.ErrFull.Error()},
	} {
		if got := fmt.Sprint(partly(c.t, c.in, c.err)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
