package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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
