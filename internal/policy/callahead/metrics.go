package callahead

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/mail"
)

// Metrics counts questions to the hosts of relay domains, and what is made of them.
type Metrics struct {
	questions  *prometheus.CounterVec // by answer
	recipients *prometheus.CounterVec // by source and result
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_callahead_questions_total", Help: "Questions put to the hosts of relay domains, by answer; silent = the host could not be asked, barred and vague = it refused the recipient or us."}, []string{"answer"}),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hayauma_callahead_recipients_total",
			Help: "Recipients of relay domains that are asked for, by what decided (memory, host, all = the host takes every address, none = it could not be asked) and result."},
			[]string{"by", "result"}),
	}
	r.MustRegister(m.questions, m.recipients)
	for _, v := range []Verdict{Silent, Barred, Vague, Taken, Refused, Later} {
		m.questions.WithLabelValues(v.String())
		for _, by := range []source{byMemory, byHost, byAll, byNone} {
			if v != Silent && v != Barred && v != Vague {
				m.recipients.WithLabelValues(string(by), v.String())
			}
		}
	}
	return m
}

// source is what decided on a recipient.
type source string

// The sources.
const (
	byMemory source = "memory" // a remembered answer
	byHost   source = "host"   // its answer to a question
	byAll    source = "all"    // the host takes every address
	byNone   source = "none"   // it could not be asked, or our memory not
)

func (m *Metrics) asked(v Verdict) {
	if m != nil {
		m.questions.WithLabelValues(v.String()).Inc()
	}
}

func (m *Metrics) checked(by source, f *mail.Fault) {
	if m == nil {
		return
	}
	result := Taken
	switch {
	case f == nil:
	case f.Class == mail.Permanent:
		result = Refused
	default:
		result = Later
	}
	m.recipients.WithLabelValues(string(by), result.String()).Inc()
}
