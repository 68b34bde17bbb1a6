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
		before   bool
		want     time.Duration
	}{
		{450, "4.2.0", "<a@dest.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/dest.test.html", false, greylistWait},
		{450, "4.2.0", "<a@dest.test>: Recipient address rejected: Greylisted", true, 0},
		{451, "4.7.1", "Greylisting in action, please come back in 00:10:00", false, 10*time.Minute + afterAsked},
		{451, "4.7.1", "Greylisting in action, please come back in 00:03:20", true, 3*time.Minute + 20*time.Second + afterAsked},
		{451, "4.7.1", "<a@dest.test>: Recipient address rejected: Greylisted, try again in 300 seconds", false, 5*time.Minute + afterAsked},
		{450, "4.7.1", "Graylisted for 5 minutes", false, 5*time.Minute + afterAsked},
		{451, "", "greylisted, wait another 30s", false, leastAsked},
		{451, "", "greylisted, retry in 9999 hours", false, mostAsked},
		{451, "", "greylisted, retry in 99:99:99", false, mostAsked},
		{451, "", "greylisted, retry in 99999999999 hours", false, greylistWait}, // no time that anybody means
		{451, "", "greylisted in", false, greylistWait},
		{421, "4.7.0", "Greylisted, closing", false, greylistWait}, // one of the two codes of RFC 6647 §5
		{451, "4.7.1", "Service unavailable - try again later", false, greylistWait},
		{451, "4.7.1", "Service unavailable - try again later", true, 0},
		{452, "4.2.2", "Mailbox full, try again later", false, 0},
		{451, "4.3.0", "Local error, try again in 5 minutes", false, 0},
		{550, "5.7.1", "Greylisted for ever", false, 0},
		{250, "", "greylist", false, 0},
	} {
		if got := again(c.code, c.enhanced, c.text, c.before); got != c.want {
			t.Errorf("%d %s %s (before: %v): %v, want %v", c.code, c.enhanced, c.text, c.before, got, c.want)
		}
	}
}
