package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

func (r *Result) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("messages", "%d (%d recipients, %d failed)", r.Messages, r.Recipients, r.Failed)
	row("time", "%.3f s", r.Seconds)
	row("rate", "%.0f messages/s, %.1f MB/s", r.PerSecond, r.MBPerSecond)
	row("latency", "p50 %.2f, p95 %.2f, p99 %.2f, max %.2f ms", r.Latency.P50, r.Latency.P95, r.Latency.P99, r.Latency.Max)
	if r.Usage.Processes > 0 {
		row("server CPU", "%.2f s (%.3f s per 1000 messages)", r.Usage.CPUSeconds, r.CPUPer1000)
		row("server memory", "RSS %s, PSS %s, %d processes", mib(r.Usage.RSS), mib(r.Usage.PSS), r.Usage.Processes)
		row("others", "%.1f cores", r.Usage.OthersCores)
	}
	if len(r.Unconfirmed) > 0 {
		row("unconfirmed", "%d", len(r.Unconfirmed))
	}
	for _, kind := range r.Errors.kinds() {
		row("error", "%s: %d", kind, r.Errors[kind])
	}
	_ = t.Flush() // the writer's own errors show at its owner
}

func (r *ReadResult) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rate := 0.0
	if r.Seconds > 0 {
		rate = float64(r.Messages) / r.Seconds
	}
	_, _ = fmt.Fprintf(t, "%d sessions, %d messages, %.1f MB in %.3f s: %.0f messages/s\n",
		r.Sessions, r.Messages, float64(r.Bytes)/1e6, r.Seconds, rate)
	_, _ = fmt.Fprint(t, "step\tp50 ms\tp95 ms\tp99 ms\tmax ms\n")
	for _, step := range slices.Sorted(maps.Keys(r.Steps)) {
		l := r.Steps[step]
		_, _ = fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\n", step, l.P50, l.P95, l.P99, l.Max)
	}
	if u := r.Usage; u.Processes > 0 {
		_, _ = fmt.Fprintf(t, "server: CPU %.2f s, RSS %s, PSS %s, %d processes\n", u.CPUSeconds, mib(u.RSS), mib(u.PSS), u.Processes)
	}
	for _, kind := range r.Errors.kinds() {
		_, _ = fmt.Fprintf(t, "error %s: %d\n", kind, r.Errors[kind])
	}
	_ = t.Flush() // the writer's own errors show at its owner
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
