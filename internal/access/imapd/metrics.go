package imapd

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// Metrics counts sessions and commands.
type Metrics struct {
	open     prometheus.Gauge
	total    prometheus.Counter
	commands *prometheus.CounterVec
	logins   prometheus.Counter
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hayauma_imap_sessions_open", Help: "IMAP sessions that are open."}),
		total: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_imap_sessions_total", Help: "IMAP sessions so far."}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_imap_commands_total", Help: "IMAP commands by name and result."}, []string{"command", "result"}),
		logins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_imap_login_failures_total", Help: "Failed logins over IMAP."}),
	}
	r.MustRegister(m.open, m.total, m.commands, m.logins)
	return m
}

func (m *Metrics) opened() {
	m.open.Inc()
	m.total.Inc()
}

func (m *Metrics) closed() { m.open.Dec() }

func (m *Metrics) answered(name string, r imap.Result) {
	if r == "" {
		r = imap.Bye
	}
	m.commands.WithLabelValues(name, string(r)).Inc()
}

func (m *Metrics) loginFailed() { m.logins.Inc() }
