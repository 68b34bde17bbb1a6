package smtpd_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// TestFutureRelease: nobody gets the message before its time, here or elsewhere.
func TestFutureRelease(t *testing.T) {
	t.Parallel()
	sent := make(chan time.Time, 1)
	r := newRig(t, stack.Options{Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome {
		sent <- time.Now()
		return queue.Outcome{Result: queue.Delivered, Code: 250}
	})})
	c := r.open("3")
	if got := c.say("EHLO client.test", "250"); !strings.Contains(got, "250-FUTURERELEASE 2592000 20") {
		t.Error(got)
	}
	c.say("AUTH PLAIN "+plainAlice, "235")
	for _, wrong := range []string{"HOLDFOR=0", "HOLDFOR=1d", "HOLDFOR=2592001", "HOLDUNTIL=soon", "HOLDFOR=5 HOLDUNTIL=2030-01-31T12:00:00Z", "HOLDUNTIL=2999-01-31T12:00:00Z"} {
		c.say("MAIL FROM:<alice@hayauma.test> "+wrong, "501 5.5.4")
	}
	until := time.Now().Add(2 * time.Second).Truncate(time.Second)
	c.say(fmt.Sprintf("MAIL FROM:<alice@hayauma.test> HOLDUNTIL=%s", until.UTC().Format(time.RFC3339)), "250")
	c.say("RCPT TO:<bob@hayauma.test>", "250")
	c.say("RCPT TO:<x@elsewhere.test>", "250")
	c.say("DATA", "354")
	c.say("Subject: later\r\n\r\nx\r\n.", "250")
	waiting := r.Queued()
	if len(waiting) != 1 || len(waiting[0].Recipients) != 2 || waiting[0].Recipients[0].Next != mail.Micros(until) || waiting[0].Recipients[0].State != queue.Queued || !waiting[0].Until {
		t.Errorf("queue: %+v", waiting)
	}
	if at := <-sent; at.Before(until) {
		t.Errorf("sent %v too early", until.Sub(at))
	}
	testkit.Eventually(t, 20*time.Second, "the copy", func() bool { return len(r.Inbox("bob@hayauma.test")) == 1 })

	stranger := r.open("1")
	stranger.say("EHLO x.test", "250")
	stranger.say("MAIL FROM:<a@b.test> HOLDFOR=60", "555 5.5.4")
}

// TestUndo: what a user sends is kept for a while, and can be taken back.
func TestUndo(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	r := newRig(t, stack.Options{Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome {
		sent.Add(1)
		return queue.Outcome{Result: queue.Delivered, Code: 250}
	})})
	r.change(func(s *smtpd.Settings) { s.Hold = time.Hour })
	c := r.open("3")
	c.say("EHLO client.test", "250")
	c.say("AUTH PLAIN "+plainAlice, "235")
	send := func(params string) (reply string) {
		c.say("MAIL FROM:<alice@hayauma.test>"+params, "250")
		c.say("RCPT TO:<bob@hayauma.test>", "250")
		c.say("RCPT TO:<x@elsewhere.test>", "250")
		c.say("DATA", "354")
		return c.say("Subject: oops\r\n\r\nx\r\n.", "250")
	}
	id := func(reply string) mail.ID {
		word, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(reply), "250 2.0.0 Accepted as "), ",")
		id, err := mail.ParseID(word)
		if err != nil {
			t.Fatalf("%q: %v", reply, err)
		}
		return id
	}
	kept := send("")
	if !strings.Contains(kept, ", goes out in 1h0m0s") && !strings.Contains(kept, ", goes out in 59m") {
		t.Error(kept)
	}
	if n, err := r.Queue.Recall(t.Context(), id(kept), 0); n != 2 || err != nil {
		t.Errorf("recall: %d, %v", n, err)
	}
	if got := r.Events(id(kept).String()); got != "accepted recalled recalled" {
		t.Errorf("events %q", got)
	}
	own := send(" HOLDFOR=7200")
	if !strings.Contains(own, ", goes out in 2h0m0s") && !strings.Contains(own, ", goes out in 1h59m") {
		t.Error(own)
	}
	if urgent := send(" BY=60;R"); strings.Contains(urgent, "goes out") {
		t.Error(urgent)
	}
	testkit.Eventually(t, 20*time.Second, "the one that cannot wait", func() bool { return len(r.Inbox("bob@hayauma.test")) == 1 && sent.Load() == 1 })

	stranger := r.open("1")
	stranger.say("EHLO x.test", "250")
	stranger.say("MAIL FROM:<a@b.test>", "250")
	stranger.say("RCPT TO:<bob@hayauma.test>", "250")
	stranger.say("DATA", "354")
	if got := stranger.say("Subject: x\r\n\r\nx\r\n.", "250"); strings.Contains(got, "goes out") {
		t.Error(got)
	}
}
