package intake

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/mail"
)

// Metrics counts what intake does.
type Metrics struct {
	accepted prometheus.Counter
	refused  *prometheus.CounterVec // by enhanced code
	groups   prometheus.Histogram
	latency  prometheus.Histogram
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_messages_accepted_total", Help: "Messages that we took responsibility for."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_messages_refused_total", Help: "Messages refused after their content, by enhanced status code."}, []string{"status"}),
		groups: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hayauma_intake_group_messages", Help: "Messages per commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 8)}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hayauma_intake_commit_seconds", Help: "Time of one commit of a group of messages.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
	}
	r.MustRegister(m.accepted, m.refused, m.groups, m.latency)
	return m
}

func (m *Metrics) outcome(f *mail.Fault) {
	if f == nil {
		m.accepted.Inc()
		return
	}
	m.refused.WithLabelValues(f.Enhanced()).Inc()
}

func (m *Metrics) group(messages int, took time.Duration) {
	m.groups.Observe(float64(messages))
	m.latency.Observe(took.Seconds())
}
