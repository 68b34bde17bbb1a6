package control

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// direct carries requests to a handler without a socket. An answer is read while it
// is written, as over one.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	out, in := io.Pipe()
	w := &writer{header: http.Header{}, body: in, begun: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.h.ServeHTTP(w, req.WithContext(ctx))
		_ = in.Close() // it returns nil
		w.WriteHeader(http.StatusOK)
	}()
	<-w.begun
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Request: req,
		Body: reader{PipeReader: out, cancel: cancel, ended: ended}, ContentLength: -1,
	}, nil
}

// writer is where a handler puts its answer.
type writer struct {
	header http.Header
	body   *io.PipeWriter
	status int
	once   sync.Once
	begun  chan struct{} // closed once the status is known
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.begun)
	})
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// reader is what the asker reads; closing it ends the handler.
type reader struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  <-chan struct{}
}

func (r reader) Close() error {
	r.cancel()
	err := r.PipeReader.Close()
	<-r.ended
	return err
}
