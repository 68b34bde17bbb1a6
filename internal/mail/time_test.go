package mail_test

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

func TestAbout(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour:                     "a minute",
		time.Second:                    "a minute",
		91 * time.Second:               "2 minutes",
		10*time.Minute - time.Second/2: "10 minutes",
		10*time.Minute + 1:             "11 minutes",
		89*time.Minute + 1:             "90 minutes",
		90 * time.Minute:               "2 hours",
		24*time.Hour - time.Second:     "24 hours",
	} {
		if got := mail.About(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
