package listen

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/ratelimit"
)

// Metrics counts what does not become a session.
type Metrics struct {
	refused *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hayauma_connections_refused_total", Help: "Connections refused, by service and the setting in [limits] that they were beyond."},
		[]string{"service", "limit"})}
	r.MustRegister(m.refused)
	return m
}

func (m *Metrics) refuse(service string, limit ratelimit.Refusal) {
	m.refused.WithLabelValues(service, string(limit)).Inc()
}
