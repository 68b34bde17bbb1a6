package smtpd

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/mail"
)

// Metrics counts sessions and refusals.
type Metrics struct {
	open     *prometheus.GaugeVec
	total    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	logins   prometheus.Counter
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hayauma_smtp_sessions_open", Help: "SMTP and LMTP sessions that are open."}, []string{"door"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_smtp_sessions_total", Help: "SMTP and LMTP sessions so far."}, []string{"door"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_smtp_refused_total", Help: "Refused senders, recipients and contents by enhanced status code."}, []string{"stage", "status"}),
		logins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_smtp_login_failures_total", Help: "Failed logins on the submission ports."}),
	}
	r.MustRegister(m.open, m.total, m.refusals, m.logins)
	return m
}

func (m *Metrics) opened(d mail.Door) {
	m.open.WithLabelValues(d.String()).Inc()
	m.total.WithLabelValues(d.String()).Inc()
}

func (m *Metrics) closed(d mail.Door) { m.open.WithLabelValues(d.String()).Dec() }

func (m *Metrics) refused(stage string, f *mail.Fault) {
	m.refusals.WithLabelValues(stage, f.Enhanced()).Inc()
}

func (m *Metrics) loginFailed() { m.logins.Inc() }
