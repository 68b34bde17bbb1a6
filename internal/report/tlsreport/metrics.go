package tlsreport

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts reports.
type Metrics struct {
	dropped prometheus.Counter
	reports *prometheus.CounterVec // by what became of them
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_tls_results_dropped_total", Help: "Kinds of TLS results that no report tells of, because there were too many, or may not tell, because it is not known whether they were stored."}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_tls_reports_total", Help: "Daily TLS reports to other domains, by what became of them."}, []string{"result"}),
	}
	r.MustRegister(m.dropped, m.reports)
	return m
}

func (m *Metrics) drop(n int) {
	if m != nil {
		m.dropped.Add(float64(n))
	}
}

func (m *Metrics) report(s State) {
	if m != nil {
		m.reports.WithLabelValues(string(s)).Inc()
	}
}
