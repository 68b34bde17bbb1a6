package mail

import (
	"fmt"
	"time"
)

// Micros returns t as stored everywhere: microseconds since 1970, UTC.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the inverse of Micros.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// About is a time to wait in words for people, rounded up.
func About(d time.Duration) string {
	whole := func(unit time.Duration) int64 { return int64((d + unit - 1) / unit) }
	switch {
	case d <= 90*time.Second:
		return "a minute"
	case d < 90*time.Minute:
		return fmt.Sprintf("%d minutes", whole(time.Minute))
	}
	return fmt.Sprintf("%d hours", whole(time.Hour))
}
