package pop3d

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts sessions and what they do.
type Metrics struct {
	open                                     prometheus.Gauge
	total, loginFailures, retrieved, deleted prometheus.Counter
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		open:          prometheus.NewGauge(prometheus.GaugeOpts{Name: "hayauma_pop3_sessions_open", Help: "POP3 sessions that are open."}),
		total:         counter("hayauma_pop3_sessions_total", "POP3 sessions so far."),
		loginFailures: counter("hayauma_pop3_login_failures_total", "Failed logins over POP3."),
		retrieved:     counter("hayauma_pop3_retrieved_total", "Messages retrieved over POP3."),
		deleted:       counter("hayauma_pop3_deleted_total", "Messages deleted over POP3."),
	}
	r.MustRegister(m.open, m.total, m.loginFailures, m.retrieved, m.deleted)
	return m
}

func (m *Metrics) opened() {
	m.open.Inc()
	m.total.Inc()
}
