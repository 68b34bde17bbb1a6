package outbound

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// TestTimesOfDeliverBy: what is told of the time that is left, and from when on a host
// cannot have the message.
func TestTimesOfDeliverBy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left, least time.Duration // what is left, and what the host needs
		by          string        // of a message that is worth nothing later
		code        string        // why it cannot have that
	}{
		{time.Hour, 0, "3600", ""},
		{time.Hour + 999*time.Millisecond, 0, "3600", ""},
		{4 * time.Minute, 4 * time.Minute, "240", ""},
		{4*time.Minute - time.Microsecond, 4 * time.Minute, "239", "5.4.7"},
		{5 * time.Minute, 4 * time.Minute, "300", ""},
		{time.Second, 0, "1", ""},
		{time.Second - time.Microsecond, 0, "0", "4.4.7"},
		{time.Second - time.Microsecond, 4 * time.Minute, "0", "4.4.7"}, // it may be over by our queue alone
		{-time.Minute, 0, "-60", "4.4.7"},
		{-time.Minute - time.Microsecond, 0, "-61", "4.4.7"},
	} {
		by := mail.DeliverBy{At: mail.Micros(now.Add(c.left)), Return: true}
		ext := extensions{deliverBy: true, minBy: c.least}
		if got, want := wishParams(mail.Envelope{By: by}, ext, now), " BY="+c.by+";R"; got != want {
			t.Errorf("%v left: %q, want %q", c.left, got, want)
		}
		code := ""
		if f := inTime(by, &client{ext: ext}, now); f != nil {
			code = f.Enhanced()
		}
		if code != c.code {
			t.Errorf("%v left, and the host needs %v: %q, want %q", c.left, c.least, code, c.code)
		}
		by.Return = false
		if f := inTime(by, &client{ext: ext}, now); f != nil {
			t.Errorf("%v left of a time after which it is only told: %v", c.left, f)
		}
	}
}
