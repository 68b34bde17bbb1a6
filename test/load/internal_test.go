package load

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestPercentileIsByNearestRank(t *testing.T) {
	t.Parallel()
	hundred := make([]uint32, 100)
	for i := range hundred {
		hundred[i] = uint32(i+1) * 1000
	}
	for _, tc := range []struct {
		us   []uint32
		q    float64
		want float64
	}{
		{nil, 0.5, 0}, {[]uint32{7000}, 0.01, 7}, {[]uint32{7000}, 0.99, 7},
		{hundred, 0.50, 50}, {hundred, 0.95, 95}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
		{[]uint32{1000, 2000}, 0.5, 1}, {[]uint32{1000, 2000}, 0.51, 2}, {[]uint32{1500}, 1, 1.5},
	} {
		if got := percentile(tc.us, tc.q); got != tc.want {
			t.Errorf("percentile(%d values, %v) = %v, want %v", len(tc.us), tc.q, got, tc.want)
		}
	}
	if l := latencyOf([]uint32{3000, 1000, 2000}); l.P50 != 2 || l.Max != 3 {
		t.Errorf("unsorted samples: %+v", l)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   []float64
		want Spread
	}{
		{nil, Spread{}}, {[]float64{5}, Spread{5, 5, 5}},
		{[]float64{3, 1, 2}, Spread{1, 2, 3}}, {[]float64{4, 1, 2, 3}, Spread{1, 2, 4}},
	} {
		if got := spreadOf(tc.in); got != tc.want {
			t.Errorf("%v: %+v, want %+v", tc.in, got, tc.want)
		}
	}
}

func TestTemplateHasItsSizeAndCleanLines(t *testing.T) {
	t.Parallel()
	for size := 512; size < 1100; size++ {
		tm := newTemplate("abc", "a@b.test", size)
		body, ok := bytes.CutSuffix(tm.bytes, []byte(endOfData))
		if !ok || len(body) != size {
			t.Fatalf("size %d: %d bytes", size, len(body))
		}
		for line := range bytes.Lines(body) {
			if !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > 200 || line[0] == '.' {
				t.Fatalf("size %d: line %q", size, line)
			}
		}
	}
	tm := newTemplate("abc", "a@b.test", 600)
	for _, i := range []int{0, 7, 123456789} {
		tm.patch(i)
		if !bytes.Contains(tm.bytes, []byte("Message-ID: "+messageID("abc", i)+"\r\n")) {
			t.Errorf("message %d: %s", i, tm.bytes[:250])
		}
	}
}

func TestParseStatSkipsOddNames(t *testing.T) {
	t.Parallel()
	raw := "42 (a ) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7\n"
	got, ok := parseStat([]byte(raw))
	if !ok || got.parent != 7 || got.ticks != 100 {
		t.Errorf("%+v %v", got, ok)
	}
	for _, bad := range []string{"", "42 (x) S", "42 (x) S a b c d e f g h i j k l m n o"} {
		if _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestMeterWeighsChildren(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		t.Skip("needs /proc of Linux")
	}
	// The shell's child reads a line that never comes until its input is closed.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "cat; true")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		u, err := ReadUsage(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if u.Processes == 2 && u.RSS > 0 && u.PSS > 0 && u.PSS <= u.RSS {
			return
		}
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatalf("shell and cat: %+v", u)
		}
	}
}

func TestDescendantsSurviveALoop(t *testing.T) {
	t.Parallel()
	procs := map[int]procStat{1: {parent: 3}, 2: {parent: 1}, 3: {parent: 2}, 9: {parent: 0}}
	got := descendants(procs, []int{1, 2, 77})
	slices.Sort(got)
	if !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("%v", got)
	}
}

func TestLineWatchSeesALineInPieces(t *testing.T) {
	t.Parallel()
	var to bytes.Buffer
	l := &lineWatch{to: &to, want: "ready", seen: make(chan struct{})}
	for _, piece := range []string{"not ready\nre", "ad", "y"} {
		if _, err := l.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.seen:
			t.Fatalf("seen too early, after %q", piece)
		default:
		}
	}
	if _, err := l.Write([]byte("\nmore")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.seen:
	default:
		t.Error("not seen")
	}
	if to.String() != "not ready\nready\nmore" {
		t.Errorf("copied %q", to.String())
	}
}

func TestNameserverLeadsEveryDomainToLoopback(t *testing.T) {
	t.Parallel()
	ns, err := startNameserver(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.stop)
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network}
		for _, tc := range []struct {
			name string
			kind uint16
			want string
		}{
			{"dest.test.", dns.TypeMX, mxHost}, {mxHost, dns.TypeA, "127.0.0.1"},
			{mxHost, dns.TypeAAAA, ""}, {"dest.test.", dns.TypeTXT, ""},
		} {
			q := new(dns.Msg)
			q.SetQuestion(tc.name, tc.kind)
			in, _, err := c.ExchangeContext(t.Context(), q, ns.addr)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(in.Answer) > 0 {
				got = in.Answer[0].String()
			}
			if in.Rcode != dns.RcodeSuccess || !strings.HasSuffix(got, tc.want) || (tc.want == "") != (got == "") {
				t.Errorf("%s %s %s = %q", network, tc.name, dns.TypeToString[tc.kind], got)
			}
		}
	}
}

func TestReportTables(t *testing.T) {
	t.Parallel()
	runs := func(rates ...float64) (all []*Result) {
		for _, r := range rates {
			all = append(all, &Result{PerSecond: r, Usage: Usage{RSS: 50 << 20, PSS: 100 << 20, Processes: 1}})
		}
		return all
	}
	rep := &benchReport{Rows: []*benchRow{
		{Name: "ceiling", Runs: runs(20000)},
		{Name: "postfix-accept", Runs: runs(900, 1000, 1100)},
		{Name: "hayauma-accept", Runs: runs(8000, 5500, 6000)},
		{Name: "postfix-relay", Missing: "not installed"},
		{Name: "hayauma-relay", Runs: runs(3000)},
		{Name: "dovecot-memory-idle", Kind: kindMemory, Runs: runs(1)},
		{Name: "hayauma-memory-idle", Kind: kindMemory, Runs: runs(1)},
		{Name: "hayauma-calls", Kind: kindCalls, Runs: []*Result{{Calls: []call{
			{Name: allCalls, Counted: 21.5, Strace: 24}, {Name: "read", Counted: 8, Strace: 5, Errors: 1.25}}}}},
		{Name: "hayauma-allocs", Kind: kindAllocs, Runs: []*Result{{Allocs: []alloc{
			{Site: "smtpd.data", Count: 2, Bytes: 64}, {Site: "smtpd.ehlo", Count: 0.01, Bytes: 8}}}}},
	}}
	rep.Rows[1].Runs[0].CPUPer1000, rep.Rows[1].Runs[1].CPUPer1000, rep.Rows[1].Runs[2].CPUPer1000 = 1.96, 1.96, 1.96
	for _, r := range rep.Rows[2].Runs {
		r.CPUPer1000 = 0.16
	}
	for _, markdown := range []bool{false, true} {
		var out bytes.Buffer
		rep.print(&out, markdown)
		flat := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "|", " ")), " ")
		for _, want := range []string{
			"hayauma-accept postfix-accept 6.00 5.00 7 short by 14 %", "postfix-relay not installed",
			"hayauma-relay postfix-relay not run 8", "hayauma-memory-idle dovecot-memory-idle 2.00 2.00",
			"postfix-accept 900 1000 1100", "hayauma-memory-idle RSS, MiB 50.0 40 short by 20 %",
			"hayauma-calls system calls for a message 21.5 20 short by 7 %", "all 21.50 24.00", "read 8.00 5.00 (1.2)",
			"hayauma-accept p99, ms 0.0 0.0 20 met",
			// Half as fast a machine: 1960 and not 980 µs for Postfix.
			"message, µs 160 1960 100 short by 38 % 0.082 0.102 met", "smtpd.data 2.0 64 the rest 0.0 8 all 2.0 72",
		} {
			if !strings.Contains(flat, want) {
				t.Errorf("markdown %v: %q is not in\n%s", markdown, want, out.String())
			}
		}
	}
	if rep.failure() != nil {
		t.Error("a missing peer is no failure")
	}
	rep.Rows[0].Error = strconv.Quote("boom")
	if rep.failure() == nil {
		t.Error("a failed row is a failure")
	}
}

func TestParseCalls(t *testing.T) {
	t.Parallel()
	table := "    calls    errors syscall\n--------- --------- ----------------\n   600        20 read\n   400           write\n" +
		"--------- --------- ----------------\n  1000        20 total\n"
	got, err := parseCalls([]byte(table), 100)
	want := []call{{Name: "read", Strace: 6, Errors: 0.2}, {Name: "write", Strace: 4}, {Name: allCalls, Strace: 10, Errors: 0.2}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseCalls([]byte("attach: Operation not permitted"), 1); err == nil {
		t.Error("no table is no error")
	}
}

func TestParseAllocs(t *testing.T) {
	t.Parallel()
	got := parseAllocs(`heap profile: 1: 8 [9: 99] @ heap/2
0: 0 [3: 96] @ 0x1 0x2
#	0x1	strings.Clone+0x1	/usr/local/go/src/strings/clone.go:23
#	0x2	github.com/hayauma/hayauma/internal/smtpd.data+0x2	/x/data.go:9
#	0x3	github.com/hayauma/hayauma/internal/smtpd.(*session).run+0x3	/x/session.go:9

1: 8 [2: 16] @ 0x2
#	0x2	github.com/hayauma/hayauma/internal/smtpd.data+0x9	/x/data.go:11

0: 0 [5: 500] @ 0x4 0x5
#	0x4	github.com/hayauma/hayauma/internal/app.x+0x1	/x.go:1
#	0x5	net/http/pprof.Index+0x1	/x.go:1

0: 0 [1: 7] @ 0x6
#	0x6	net.read+0x1	/x.go:1
#	0x7	runtime.main+0x1	/x.go:1

# runtime.MemStats
# Alloc = 5
`)
	want := map[string]alloc{
		"smtpd.data": {Site: "smtpd.data", Count: 5, Bytes: 112}, "(runtime.main)": {Site: "(runtime.main)", Count: 1, Bytes: 7},
	}
	if !maps.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
