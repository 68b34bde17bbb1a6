package load

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Latency is a set of waiting times in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// latencyOf sorts the samples (microseconds) in place.
func latencyOf(us []uint32) Latency {
	slices.Sort(us)
	return Latency{
		P50: percentile(us, 0.50), P95: percentile(us, 0.95),
		P99: percentile(us, 0.99), Max: percentile(us, 1),
	}
}

// percentile is by nearest rank over sorted microseconds, in milliseconds; 0 for
// no samples.
func percentile(sorted []uint32, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	rank = min(max(rank, 1), len(sorted))
	return float64(sorted[rank-1]) / 1000
}

// micros is d in microseconds, as far as 32 bits go (71 minutes).
func micros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}

// Spread is what several runs of one thing gave.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// spreadOf takes the lower of the two middle values when the count is even, so
// that the median is a run that happened.
func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(values))
	return Spread{Min: s[0], Median: s[(len(s)-1)/2], Max: s[len(s)-1]}
}

// tally counts errors by kind.
type tally map[string]int

func (t tally) addAll(other tally) {
	for k, n := range other {
		t[k] += n
	}
}

func (t tally) kinds() []string { return slices.Sorted(maps.Keys(t)) }

// Result is what one run reached.
type Result struct {
	Messages    int     `json:"messages"`   // that got their final 250
	Recipients  int     `json:"recipients"` // of those
	Failed      int     `json:"failed"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"messages_per_second"`
	MBPerSecond float64 `json:"mb_per_second"` // MB is 10^6
	Latency     Latency `json:"latency"`
	Usage       Usage   `json:"usage"`
	CPUPer1000  float64 `json:"cpu_seconds_per_1000"`
	Errors      tally   `json:"errors,omitempty"`
	Calls       []call  `json:"calls,omitempty"`
	Allocs      []alloc `json:"allocs,omitempty"`
	// Unconfirmed names, in repeat mode, the messages whose final reply never came.
	Unconfirmed []string `json:"unconfirmed,omitempty"`

	bytes int64
}

// close computes the rates over the time that passed.
func (r *Result) close(took time.Duration) {
	r.Seconds = took.Seconds()
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Messages) / r.Seconds
		r.MBPerSecond = float64(r.bytes) / 1e6 / r.Seconds
	}
}

// weigh adds what the server's processes used.
func (r *Result) weigh(u Usage) {
	r.Usage = u
	if r.Messages > 0 {
		r.CPUPer1000 = u.CPUSeconds * 1000 / float64(r.Messages)
	}
}
