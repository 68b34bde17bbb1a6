package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
)

// benchReport is what a bench prints.
type benchReport struct {
	Machine string      `json:"machine"`
	Date    string      `json:"date"`
	Command string      `json:"command"`
	Rows    []*benchRow `json:"rows"`
}

// benchRow holds the runs of one row.
type benchRow struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind,omitempty"`
	Missing string    `json:"missing,omitempty"`
	Error   string    `json:"error,omitempty"`
	Runs    []*Result `json:"runs"`
}

func (r *benchRow) spread(of func(*Result) float64) Spread {
	values := make([]float64, len(r.Runs))
	for i, run := range r.Runs {
		values[i] = of(run)
	}
	return spreadOf(values)
}

func rateOf(r *Result) float64 { return r.PerSecond }
func rssOf(r *Result) float64  { return float64(r.Usage.RSS) / (1 << 20) }
func pssOf(r *Result) float64  { return float64(r.Usage.PSS) / (1 << 20) }

// middle is the run with the median of a figure.
func (r *benchRow) middle(of func(*Result) float64) *Result {
	m := r.spread(of).Median
	for _, run := range r.Runs {
		if of(run) == m {
			return run
		}
	}
	return &Result{}
}

func (b *benchReport) row(name string) *benchRow {
	for _, r := range b.Rows {
		if r.Name == name {
			return r
		}
	}
	return nil
}

func (b *benchReport) failure() error {
	var errs []error
	for _, r := range b.Rows {
		if r.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s", r.Name, r.Error))
		}
	}
	return errors.Join(errs...)
}

// table is a heading and its lines.
type table struct {
	title string
	lines [][]string // the first is the head
}

func (b *benchReport) print(w io.Writer, markdown bool) {
	_, _ = fmt.Fprintf(w, "%s\n%s\n%s\n", b.Machine, b.Date, b.Command)
	for _, t := range []table{b.rates(), b.memory(), b.ratios(), b.limits(), b.calls(), b.allocs()} {
		if len(t.lines) < 2 {
			continue
		}
		if markdown {
			t.printMarkdown(w)
		} else {
			t.print(w)
		}
	}
}

func (t table) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n%s\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range t.lines {
		_, _ = fmt.Fprintln(tw, strings.Join(l, "\t"))
	}
	_ = tw.Flush() // the writer's own errors show at its owner
}

func (t table) printMarkdown(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n%s\n\n", t.title)
	for i, l := range t.lines {
		_, _ = fmt.Fprintf(w, "| %s |\n", strings.Join(l, " | "))
		if i == 0 {
			_, _ = fmt.Fprintln(w, "|"+strings.Repeat("---|", len(l)))
		}
	}
}

// absent is the line of a row that has no runs.
func (r *benchRow) absent(columns int) []string {
	l := make([]string, columns)
	l[0], l[1] = r.Name, "not run"
	if r.Missing != "" {
		l[1] = r.Missing
	}
	if r.Error != "" {
		l[1] = "failed"
	}
	return l
}

func (b *benchReport) rates() table {
	t := table{title: "messages (or logins) a second; the other columns are of the median run", lines: [][]string{{
		"row", "min", "median", "max", "MB/s", "p50 ms", "p95 ms", "p99 ms", "CPU s/1000", "RSS MiB", "PSS MiB", "others, cores"}}}
	for _, r := range b.Rows {
		if r.Kind != "" {
			continue
		}
		if len(r.Runs) == 0 {
			t.lines = append(t.lines, r.absent(len(t.lines[0])))
			continue
		}
		s, m := r.spread(rateOf), r.middle(rateOf)
		line := []string{
			r.Name, number(s.Min, 0), number(s.Median, 0), number(s.Max, 0), number(m.MBPerSecond, 1),
			number(m.Latency.P50, 2), number(m.Latency.P95, 2), number(m.Latency.P99, 2)}
		if m.Usage.Processes == 0 { // the ceiling runs inside the generator
			line = append(line, "", "", "", "")
		} else {
			line = append(line, number(m.CPUPer1000, 3), number(rssOf(m), 0), number(pssOf(m), 0), number(m.Usage.OthersCores, 1))
		}
		t.lines = append(t.lines, line)
	}
	return t
}

func (b *benchReport) memory() table {
	t := table{
		title: fmt.Sprintf("memory in MiB: accepting on %d connections; %d idle IMAP sessions", memoryConns, memoryIdle),
		lines: [][]string{{"row", "RSS min", "RSS median", "RSS max", "PSS median", "processes", "messages or logins/s"}}}
	for _, r := range b.Rows {
		if r.Kind != kindMemory {
			continue
		}
		if len(r.Runs) == 0 {
			t.lines = append(t.lines, r.absent(len(t.lines[0])))
			continue
		}
		s, m := r.spread(rssOf), r.middle(rssOf)
		t.lines = append(t.lines, []string{r.Name, number(s.Min, 1), number(s.Median, 1), number(s.Max, 1),
			number(r.spread(pssOf).Median, 1), number(float64(m.Usage.Processes), 0), number(m.PerSecond, 0)})
	}
	return t
}

// ratios: rates as ours over theirs; memory as theirs (PSS) over ours (RSS).
func (b *benchReport) ratios() table {
	t := table{title: "Hayauma against the peer (more is better for Hayauma)", lines: [][]string{{
		"what", "peer", "median / median", "our worst / their best", "at least", "verdict of the medians"}}}
	for _, c := range []struct {
		ours, theirs string
		least        float64 // 0 = nothing is asked
	}{
		{"hayauma-accept", "postfix-accept", 7},
		{"hayauma-accept", "sink-accept", 0},
		{"hayauma-accept", "smtp-sink-accept", 0.65},
		{"hayauma-accept", "ceiling", 0},
		{"hayauma-accept-once", "postfix-accept-once", 4.5},
		{"hayauma-accept-50k", "postfix-accept-50k", 5},
		{"hayauma-accept-tls", "postfix-accept-tls", 5},
		{"hayauma-accept-200", "hayauma-accept", 1},
		{"hayauma-accept-200", "postfix-accept-200", 0},
		{"hayauma-accept-crowd", "hayauma-accept", 0.9},
		{"hayauma-relay", "postfix-relay", 8},
		{"hayauma-relay-100k", "postfix-relay-100k", 3},
		{"hayauma-relay-100k", "smtp-sink-100k", 0.35},
		{"hayauma-relay-100k", "ceiling-100k", 0},
		{"hayauma-relay-domains", "postfix-relay-domains", 5},
		{"hayauma-local", "postfix+dovecot-local", 12},
		{"hayauma-local", "dovecot-lmtp", 0},
		{"hayauma-postgres-accept", "postfix-accept", 2},
		{"hayauma-postgres-local", "postfix+dovecot-local", 4},
		{"hayauma-s3-accept", "postfix-accept", 2},
		{"hayauma-s3-local", "postfix+dovecot-local", 4},
		{"hayauma-logins", "dovecot-logins", 0},
		{"hayauma-logins-first", "dovecot-logins", 0},
		{"hayauma-memory-accept", "postfix-memory-accept", 0},
		{"hayauma-memory-idle", "dovecot-memory-idle", 0},
	} {
		ours, theirs := b.row(c.ours), b.row(c.theirs)
		if ours == nil || theirs == nil {
			continue
		}
		line := []string{c.ours, c.theirs, "not run", "", "", ""}
		if c.least > 0 {
			line[4] = strconv.FormatFloat(c.least, 'f', -1, 64)
		}
		if len(ours.Runs) > 0 && len(theirs.Runs) > 0 {
			o, p := ours.spread(rateOf), theirs.spread(rateOf)
			if ours.Kind == kindMemory {
				// More memory is worse, so the peer is the one above the line.
				p, o = ours.spread(rssOf), theirs.spread(pssOf)
			}
			line[2], line[3] = ratio(o.Median, p.Median), ratio(o.Min, p.Max)
			if c.least > 0 && p.Median > 0 {
				line[5] = verdict(o.Median / p.Median / c.least)
			}
		}
		t.lines = append(t.lines, line)
	}
	return t
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

func number(v float64, decimals int) string { return fmt.Sprintf("%.*f", decimals, v) }

func describeMachine(ctx context.Context, dir string) string {
	kernel, memory := "unknown kernel", "unknown memory"
	if raw, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(raw))
	}
	if raw, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int64
		if _, err := fmt.Sscanf(string(raw), "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf("%.1f GiB", float64(kb)/(1<<20))
		}
	}
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU()), memory, kernel, "data on " + fileSystem(dir), runtime.Version()}
	for _, v := range [][]string{{"Postfix", "postconf", "-dh", "mail_version"}, {"Dovecot", "dovecot", "--version"}} {
		if out := versionOf(ctx, v[1], v[2:]...); out != "" {
			parts = append(parts, v[0]+" "+out)
		}
	}
	return strings.Join(parts, ", ")
}

// fileSystem names what dir lies on: where it is memory, a sync costs nothing and
// no figure means anything.
func fileSystem(dir string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "an unknown file system"
	}
	switch kind := uint32(st.Type); kind { // all magic numbers have 32 bits
	case 0xef53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683e:
		return "btrfs"
	case 0x794c7630:
		return "overlayfs"
	case 0x01021994:
		return "tmpfs (in memory: syncs are free, the figures mean nothing)"
	default:
		return fmt.Sprintf("file system %#x", kind)
	}
}

func versionOf(ctx context.Context, program string, args ...string) string {
	path, err := findProgram(program)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return ""
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return word
}
