package rate

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the limits do.
type Metrics struct {
	refusals *prometheus.CounterVec // by kind and rule
	held     prometheus.Gauge
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_send_limit_refusals_total", Help: "Messages and recipients put off by a limit, by whose it is and by its name."},
			[]string{"subject", "limit"}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hayauma_accounts_held", Help: "Accounts that may not send until they are released."}),
	}
	r.MustRegister(m.refusals, m.held)
	return m
}

func (m *Metrics) refused(k Kind, rule string) {
	if m != nil {
		m.refusals.WithLabelValues(k.String(), rule).Inc()
	}
}

func (m *Metrics) holds(n int) {
	if m != nil {
		m.held.Set(float64(n))
	}
}
