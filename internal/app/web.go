package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// web answers HTTP on connections that somebody else accepts: one server for
// all of them.
type web struct {
	server   *http.Server
	log      *slog.Logger
	arrivals chan net.Conn
	over     chan struct{} // closed when no more connections are taken
	once     sync.Once
	visits   sync.Map // of net.Conn to *visit
}

// visit is a connection that is being served.
type visit struct {
	state atomic.Int64 // an http.ConnState
	done  chan struct{}
}

func newWeb(h http.Handler, log *slog.Logger) *web {
	w := &web{log: log, arrivals: make(chan net.Conn), over: make(chan struct{})}
	w.server = &http.Server{
		Handler: h, ReadHeaderTimeout: httpReadTimeout, IdleTimeout: httpReadTimeout,
		WriteTimeout: httpWriteTimeout, MaxHeaderBytes: httpMaxHeader,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: w.changed,
	}
	return w
}

// start serves until stop is called, after the last visit.
func (w *web) start() (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.server.Serve((*arrivals)(w)); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("the HTTP service ended", "error", err)
		}
	}()
	return func() {
		_ = (*arrivals)(w).Close() // it never fails
		_ = w.server.Close()       // nor does this, without a connection
		<-ended
	}
}

// serve answers the requests of one connection until that is closed. When ctx
// ends, the request that is being answered is the last.
func (w *web) serve(ctx context.Context, c net.Conn) {
	v := &visit{done: make(chan struct{})}
	w.visits.Store(c, v)
	defer w.visits.Delete(c)
	select {
	case w.arrivals <- c:
	case <-w.over:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-v.done:
		return
	case <-ctx.Done():
	}
	w.server.SetKeepAlivesEnabled(false) // closes those that are between two requests
	if http.ConnState(v.state.Load()) == http.StateNew {
		_ = c.Close() // there is no request yet; changed hears of the end
	}
	<-v.done
}

// changed hears of every change of a connection.
func (w *web) changed(c net.Conn, s http.ConnState) {
	known, _ := w.visits.Load(c)
	v, ok := known.(*visit)
	if !ok {
		return
	}
	v.state.Store(int64(s))
	if s == http.StateClosed || s == http.StateHijacked {
		close(v.done)
	}
}

// arrivals is web as the listener of its server.
type arrivals web

func (a *arrivals) Accept() (net.Conn, error) {
	select {
	case c := <-a.arrivals:
		return c, nil
	case <-a.over:
		return nil, http.ErrServerClosed
	}
}

func (a *arrivals) Close() error {
	a.once.Do(func() { close(a.over) })
	return nil
}

func (a *arrivals) Addr() net.Addr { return &net.TCPAddr{} }
