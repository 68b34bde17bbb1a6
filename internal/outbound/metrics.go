package outbound

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts connections to other servers.
type Metrics struct {
	connections *prometheus.CounterVec // by result: tls, cleartext, failed, reused
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{connections: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hayauma_outbound_connections_total", Help: "Connections to other servers, by result."}, []string{"result"})}
	r.MustRegister(m.connections)
	return m
}

func (m *Metrics) connection(result string) {
	if m != nil {
		m.connections.WithLabelValues(result).Inc()
	}
}
