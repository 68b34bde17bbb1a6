package app

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newHTTP makes the service of health and metrics.
func newHTTP(a *app) *web {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "alive", a.o.Version) // the asker went away
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := errors.Join(a.store.db.Health(), a.store.blobs.Health(), a.queue.Health()); err != nil {
			a.log.Warn("not ready", "error", err)
			http.Error(w, "not ready: mail cannot be stored or sent on, see the log", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready") // the asker went away
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	return newWeb(mux, a.log)
}

// The limits of an HTTP connection that carries small questions.
const (
	httpReadTimeout  = 10 * time.Second
	httpWriteTimeout = 30 * time.Second
	httpMaxHeader    = 16 << 10
)
