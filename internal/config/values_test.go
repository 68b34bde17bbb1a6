package config

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	good := map[string]Size{
		"0": 0, "1": 1, "17B": 17, "50MB": 50e6, "50mb": 50e6, "50 MB": 50e6, "3KB": 3000, "2GB": 2e9,
		"3KiB": 3072, "5MiB": 5 << 20, "1GiB": 1 << 30, "9223372036854775807": math.MaxInt64,
	}
	for in, want := range good {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MB", "-1", "+1", "1.5MB", "1e3", "5PB", "5 M B", " 5", "9223372036854775808", "9223372036854775807KB", "0x10"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q: accepted as %d", in, got)
		}
	}
}

func TestSizeString(t *testing.T) {
	t.Parallel()
	for in, want := range map[Size]string{
		0: "0", 1: "1", 1024: "1KiB", 1000: "1KB", 50e6: "50MB", 64 << 20: "64MiB", 3e9: "3GB", 1 << 30: "1GiB", 1001: "1001",
	} {
		if got := in.String(); got != want {
			t.Errorf("%d: %s, want %s", int64(in), got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	good := map[string]time.Duration{
		"5d": 5 * day, "1d12h": 36 * time.Hour, "0": 0, "0d": 0, "30s": 30 * time.Second, "1h30m": 90 * time.Minute,
		"250ms": 250 * time.Millisecond, "1.5h": 90 * time.Minute, "1d0": day, "106751d": 106751 * day,
	}
	for in, want := range good {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "d", "5", "-5m", "-1d", "+1d", "1d-1h", "1d+1h", "1.5d", "5 d", "1h1d", "1d1d", "106752d", "106751d24h", "5 days", "1w"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q: accepted as %v", in, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]string{
		0: "0", 5 * day: "5d", 36 * time.Hour: "1d12h", 4 * time.Hour: "4h", 5 * time.Minute: "5m", 90 * time.Second: "1m30s",
		time.Hour + time.Second: "1h0m1s", 10 * time.Second: "10s", 90 * time.Minute: "1h30m", time.Millisecond: "1ms", 20 * time.Hour: "20h",
	} {
		if got := FormatDuration(in); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}

func TestPrintedValuesReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 1000, 1024, 1e6, 1 << 20, 1e9, 1 << 30}).Draw(t, "unit")
		s := Size(rapid.Int64Range(0, math.MaxInt64/unit).Draw(t, "count") * unit)
		if got, err := ParseSize(s.String()); err != nil || got != s {
			t.Fatalf("%d prints as %s, reads as %d, %v", int64(s), s, got, err)
		}
		step := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour, day}).Draw(t, "step")
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64/int64(step)).Draw(t, "steps")) * step
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%d prints as %s, reads as %d, %v", d, FormatDuration(d), got, err)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"50MB", "1 GiB", "0", "99999999999GB", "B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); err == nil {
			if again, err := ParseSize(n.String()); n < 0 || err != nil || again != n {
				t.Fatalf("%q: %d, prints as %s, reads as %d, %v", s, int64(n), n, again, err)
			}
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"5d", "1d12h", "1h30m", "0", "106751d23h47m16.854775807s", "1d1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(FormatDuration(d)); d < 0 || err != nil || again != d {
				t.Fatalf("%q: %d, prints as %s, reads as %d, %v", s, d, FormatDuration(d), again, err)
			}
		}
	})
}

func TestFreeSpaceFloor(t *testing.T) {
	t.Parallel()
	cases := []struct {
		set   FreeSpace
		total uint64
		want  uint64
	}{
		{0, 1 << 30, 512 << 20}, {0, 1 << 40, (1 << 40) / 100}, {5, 1 << 40, 5}, {2e9, 1 << 30, 2e9},
	}
	for _, c := range cases {
		if got := c.set.Floor(c.total); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.set, c.total, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"hostname", "listen.smtp", "listen.imap", "limits.recipients", "tls.key_file"}
	for in, want := range map[string]string{
		"limits.recipents": "limits.recipients", "limits.recipient": "limits.recipients", "host_name": "hostname",
		"listen.stmp": "listen.smtp", "listen.lmap": "listen.imap", "key_file": "tls.key_file", "queue.recipients": "limits.recipients",
		"zzz": "", "": "", "a.very.long.name.that.is.nothing": "",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "abc"}: 3, {"abc", "abd"}: 1, {"abc", "acb"}: 1, {"kitten", "sitting"}: 3, {"abcd", "dcba"}: 3,
	} {
		if got := distance(pair[0], pair[1]); got != want {
			t.Errorf("%v: %d, want %d", pair, got, want)
		}
	}
}
