package queue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the queue does.
type Metrics struct {
	attempts *prometheus.CounterVec // by result
	latency  prometheus.Histogram   // of a commit of results
	states   *prometheus.GaugeVec   // recipients by state
	leased   prometheus.Gauge       // octets of jobs in memory
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_queue_attempts_total", Help: "Attempts to deliver to a recipient, by result; shared = the finding of another message's attempt was taken for one."}, []string{"result"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hayauma_queue_commit_seconds", Help: "Time to record a group of results.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		states: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hayauma_queue_recipients", Help: "Recipients in the queue, by state."}, []string{"state"}),
		leased: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hayauma_queue_memory_bytes", Help: "Estimated size of the jobs held in memory."}),
	}
	r.MustRegister(m.attempts, m.latency, m.states, m.leased)
	return m
}

func (m *Metrics) recorded(items []*item, took time.Duration) {
	if m == nil {
		return
	}
	m.latency.Observe(took.Seconds())
	for _, it := range items {
		result := it.outcome.Result.String()
		if it.outcome.Shared {
			result = "shared"
		}
		m.attempts.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) stats(counts map[State]int64, octets int64) {
	if m == nil {
		return
	}
	for s := Queued; s <= Served; s++ {
		m.states.WithLabelValues(s.String()).Set(float64(counts[s]))
	}
	m.leased.Set(float64(octets))
}
