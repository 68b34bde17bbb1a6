package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New(`a duration is a number with a unit d, h, m, s or ms, like "5d", "1h30m" or "30s", and is never negative`)

// ParseDuration reads what time.ParseDuration reads, with whole days in front
// ("5d", "1d12h"). Negative durations are errors.
func ParseDuration(s string) (time.Duration, error) {
	var days time.Duration
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 32)
		if err != nil || time.Duration(n) > math.MaxInt64/day {
			return 0, errDuration
		}
		days, s = time.Duration(n)*day, after
		if s == "" {
			return days, nil
		}
		if s[0] == '+' || s[0] == '-' {
			return 0, errDuration
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || days > math.MaxInt64-d {
		return 0, errDuration
	}
	return days + d, nil
}

// FormatDuration writes d in the shortest form that ParseDuration reads: 5d, 4h, 1d12h.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	out := ""
	if d >= day {
		out = strconv.FormatInt(int64(d/day), 10) + "d"
		d %= day
		if d == 0 {
			return out
		}
	}
	rest := d.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return out + rest
}
