package load

import (
	"cmp"
	"fmt"
	"slices"
)

// limit is what one figure of a row may be at most.
type limit struct {
	row, figure string
	of          func(*Result) float64
	most        float64
	decimals    int
	peer        string // whose figure stands beside it; empty = nobody's
	// then is what the peer took on the machine that the limit was set on, 0 = not told:
	// one that is half as fast takes twice the time for everything.
	then float64
}

func limits() []limit {
	return []limit{
		{"hayauma-accept", "CPU of the server for a message, µs", cpuMicrosOf, 100, 0, "postfix-accept", 980},
		{"hayauma-accept", "p99, ms", func(r *Result) float64 { return r.Latency.P99 }, 20, 1, "postfix-accept", 41.66},
		{"hayauma-calls", "system calls for a message", countedOf, 20, 1, "postfix-calls", 0},
		{"hayauma-relay", "CPU of the server for a message, µs", cpuMicrosOf, 250, 0, "postfix-relay", 1620},
		{"hayauma-relay", "p99 of acceptance, ms", func(r *Result) float64 { return r.Latency.P99 }, 50, 1, "postfix-relay", 0},
		{"hayauma-relay-calls", "system calls for a message", countedOf, 50, 1, "postfix-relay-calls", 0},
		{"hayauma-logins", fmt.Sprintf("%d logins, s", logins), func(r *Result) float64 { return r.Seconds }, 2, 2, "dovecot-logins", 0},
		{"hayauma-memory-accept", "RSS, MiB", rssOf, 60, 1, "", 0},
		{"hayauma-memory-idle", "RSS, MiB", rssOf, 40, 1, "", 0},
	}
}

func cpuMicrosOf(r *Result) float64 { return r.CPUPer1000 * 1000 }

// countedOf is the sum of the calls as the kernel counted them.
func countedOf(r *Result) float64 {
	i := slices.IndexFunc(r.Calls, func(c call) bool { return c.Name == allCalls })
	if i < 0 {
		return 0
	}
	return r.Calls[i].Counted
}

// most compares the medians of figures with their limits.
func (b *benchReport) limits() table {
	t := table{title: "limits (medians)", lines: [][]string{{"row", "figure", "measured", "peer", "at most", "verdict", "of the peer's", "at most", "verdict"}}}
	for _, l := range limits() {
		r := b.row(l.row)
		if r == nil {
			continue
		}
		line := []string{l.row, l.figure, "not run", "", number(l.most, 0), "", "", "", ""}
		var theirs float64
		if p := b.row(l.peer); p != nil && len(p.Runs) > 0 {
			theirs = p.spread(l.of).Median
			line[3] = number(theirs, l.decimals)
		}
		if len(r.Runs) > 0 {
			v := r.spread(l.of).Median
			line[2], line[5] = number(v, l.decimals), verdict(l.most/v)
			if l.then > 0 && theirs > 0 {
				part, most := v/theirs, l.most/l.then
				line[6], line[7], line[8] = number(part, 3), number(most, 3), verdict(most/part)
			}
		}
		t.lines = append(t.lines, line)
	}
	return t
}

// verdict tells of a figure as a part of what is wanted.
func verdict(part float64) string {
	if part >= 1 {
		return "met"
	}
	return fmt.Sprintf("short by %.0f %%", max(1, (1-part)*100))
}

// calls are the system calls of both servers for a message.
func (b *benchReport) calls() table {
	t := table{title: "system calls for a message: counted by the kernel at full speed, by strace -c (of those, with an error)", lines: [][]string{{
		"call", "hayauma", "strace", "postfix", "strace"}}}
	ours, theirs := b.row("hayauma-calls"), b.row("postfix-calls")
	columns := map[string][2]call{}
	for side, r := range []*benchRow{ours, theirs} {
		if r == nil || len(r.Runs) == 0 {
			continue
		}
		for _, c := range r.middle(countedOf).Calls {
			both := columns[c.Name]
			both[side] = c
			columns[c.Name] = both
		}
	}
	var names []string
	for name, c := range columns {
		if max(c[0].Counted, c[0].Strace, c[1].Counted, c[1].Strace) >= 0.1 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		weight := func(n string) float64 {
			return columns[n][0].Counted*1000 + max(columns[n][0].Strace, columns[n][1].Counted)
		}
		return -compare(weight(x), weight(y), y, x)
	})
	for _, name := range names {
		line := []string{name}
		for _, c := range columns[name] {
			line = append(line, some(c.Counted), some(c.Strace))
			if c.Errors >= 0.05 {
				line[len(line)-1] += " (" + number(c.Errors, 1) + ")"
			}
		}
		t.lines = append(t.lines, line)
	}
	return t
}

// some is a number, or nothing.
func some(v float64) string {
	if v == 0 {
		return ""
	}
	return number(v, 2)
}

// maxSites bounds the table of allocations.
const maxSites = 40

// allocs are the functions that allocate most often.
func (b *benchReport) allocs() table {
	t := table{title: "allocations for a message, by the function of ours that asks for them", lines: [][]string{{"function", "number", "octets"}}}
	r := b.row("hayauma-allocs")
	if r == nil || len(r.Runs) == 0 {
		return t
	}
	all := r.Runs[len(r.Runs)-1].Allocs
	var sum, rest alloc
	for i, a := range all {
		sum.Count, sum.Bytes = sum.Count+a.Count, sum.Bytes+a.Bytes
		if i >= maxSites || a.Count < 0.1 {
			rest.Count, rest.Bytes = rest.Count+a.Count, rest.Bytes+a.Bytes
			continue
		}
		t.lines = append(t.lines, []string{a.Site, number(a.Count, 1), number(a.Bytes, 0)})
	}
	return table{title: t.title, lines: append(t.lines,
		[]string{"the rest", number(rest.Count, 1), number(rest.Bytes, 0)},
		[]string{"all", number(sum.Count, 1), number(sum.Bytes, 0)})}
}

func compare(a, b float64, nameA, nameB string) int {
	return cmp.Or(cmp.Compare(a, b), cmp.Compare(nameA, nameB))
}
