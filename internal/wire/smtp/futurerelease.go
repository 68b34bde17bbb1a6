package smtp

import (
	"strconv"
	"time"
)

// ParseHoldFor reads the HOLDFOR parameter: seconds, up to nine digits
// (RFC 4865 §4).
func ParseHoldFor(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || len(s) > 9 {
		return 0, ErrParam
	}
	return time.Duration(n) * time.Second, nil
}

// ParseHoldUntil reads the HOLDUNTIL parameter: an RFC 3339 time (RFC 4865 §4).
func ParseHoldUntil(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, ErrParam
	}
	return t, nil
}
