package event

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/classify"
)

// Metrics counts the attempts that failed.
type Metrics struct {
	failures *prometheus.CounterVec // by class and kind of event
}

// NewMetrics registers the metrics with r. Both labels are closed sets, so all series
// are there from the beginning: an alert sees the first failure of a class.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{failures: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hayauma_delivery_failures_total", Help: "Attempts to deliver that failed, by class and by what became of them.",
	}, []string{"class", "event"})}
	r.MustRegister(m.failures)
	for _, class := range classify.All() {
		for _, kind := range []Kind{Deferred, Failed, Expired} {
			m.failures.WithLabelValues(string(class), string(kind))
		}
	}
	return m
}

// recorded counts events that are committed.
func (m *Metrics) recorded(events []Event) {
	if m == nil {
		return
	}
	for i := range events {
		if class := events[i].Detail.Class; class != "" {
			m.failures.WithLabelValues(class, string(events[i].Kind)).Inc()
		}
	}
}
