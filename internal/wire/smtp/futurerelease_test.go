package smtp_test

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestHold(t *testing.T) {
	t.Parallel()
	if d, err := smtp.ParseHoldFor("86400"); err != nil || d != 24*time.Hour {
		t.Errorf("%v, %v", d, err)
	}
	for _, in := range []string{"", "0", "-1", "+1", "1.5", "1h", "9999999999"} {
		if d, err := smtp.ParseHoldFor(in); err == nil {
			t.Errorf("%q: %v", in, d)
		}
	}
	if at, err := smtp.ParseHoldUntil("2026-11-25T12:00:00+09:00"); err != nil || at.UTC().Hour() != 3 {
		t.Errorf("%v, %v", at, err)
	}
	for _, in := range []string{"", "2026-11-25", "2026-11-25 12:00:00Z", "tomorrow"} {
		if at, err := smtp.ParseHoldUntil(in); err == nil {
			t.Errorf("%q: %v", in, at)
		}
	}
}
