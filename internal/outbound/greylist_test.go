package outbound

import (
	"testing"
	"time"
)

// TestAgain: texts of hosts that greylist. Postgrey's is that of its manual page,
// "Service unavailable - try again later" that of Plesk's knowledge base; the others
// are ways to say it.
func TestAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code     int
		enhanced string
		text     string
		attempts int
		want     time.Duration
	}{
		{450, "4.2.0", "<a@dest.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/dest.test.html", 0, greylistWait},
		{450, "4.2.0", "<a@dest.test>: Recipient address rejected: Greylisted", 1, 0},
		{451, "4.7.1", "Greylisting in action, please come back in 00:10:00", 0, 10*time.Minute + afterAsked},
		{451, "4.7.1", "Greylisting in action, please come back in 00:03:20", 3, 3*time.Minute + 20*time.Second + afterAsked},
		{451, "4.7.1", "<a@dest.test>: Recipient address rejected: Greylisted, try again in 300 seconds", 0, 5*time.Minute + afterAsked},
		{450, "4.7.1", "Graylisted for 5 minutes", 0, 5*time.Minute + afterAsked},
		{451, "", "greylisted, wait another 30s", 0, leastAsked},
		{451, "", "greylisted, retry in 9999 hours", 0, mostAsked},
		{451, "", "greylisted, retry in 99:99:99", 0, mostAsked},
		{451, "", "greylisted, retry in 99999999999 hours", 0, greylistWait}, // no time that anybody means
		{451, "", "greylisted in", 0, greylistWait},
		{421, "4.7.0", "Greylisted, closing", 0, greylistWait}, // one of the two codes of RFC 6647 §5
		{451, "4.7.1", "Service unavailable - try again later", 0, greylistWait},
		{451, "4.7.1", "Service unavailable - try again later", 1, 0},
		{452, "4.2.2", "Mailbox full, try again later", 0, 0},
		{451, "4.3.0", "Local error, try again in 5 minutes", 0, 0},
		{550, "5.7.1", "Greylisted for ever", 0, 0},
		{250, "", "greylist", 0, 0},
	} {
		if got := again(c.code, c.enhanced, c.text, c.attempts); got != c.want {
			t.Errorf("%d %s %s (attempts before: %d): %v, want %v", c.code, c.enhanced, c.text, c.attempts, got, c.want)
		}
	}
}
