package bounce_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

// TestLastAttempt: a report tells of the time of the attempt, which may lie far behind,
// and of none where there was none (RFC 3464 §2.3.7).
func TestLastAttempt(t *testing.T) {
	t.Parallel()
	bounce := func(s *stack.Stack) error {
		_, err := s.Queue.Bounce(t.Context(), queue.Filter{All: true})
		return err
	}
	for name, c := range map[string]struct {
		deliverer stack.Deliver
		notice    time.Duration
		attempt   string // the events after the attempt; empty = there is none
		then      func(*stack.Stack) error
		events    string
	}{
		"late":                 {late, time.Millisecond, "accepted deferred", nil, "accepted deferred delayed"},
		"refused":              {refused, 0, "accepted failed", nil, "accepted failed bounced"},
		"given up":             {late, 0, "accepted deferred", bounce, "accepted deferred failed bounced"},
		"given up without one": {late, 0, "", bounce, "accepted failed bounced"},
		"relayed":              {taken, 0, "accepted delivered", nil, "accepted delivered relayed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: c.deliverer, DelayNotice: c.notice, Asleep: true})
			s.Account("alice@hayauma.test", 0)
			id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", mail.NotifySuccess|mail.NotifyFailure|mail.NotifyDelay))
			var want string
			if c.attempt != "" {
				s.WakeQueue()
				settled(t, s, id, c.attempt)
				hourAgo(t, s)
				want = s.Timeline(id.String())[1].Time().Format(time.RFC1123Z)
			}
			if c.then != nil {
				if err := c.then(s); err != nil {
					t.Fatal(err)
				}
			}
			s.WakeReporter()
			settled(t, s, id, c.events)
			r := read(t, s.Inbox("alice@hayauma.test")[0])
			_, got, _ := strings.Cut(r.status, "Last-Attempt-Date: ")
			if got, _, _ = strings.Cut(got, "\r\n"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// hourAgo makes what has happened lie an hour back.
func hourAgo(t *testing.T, s *stack.Stack) {
	t.Helper()
	err := s.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE event SET at = at - 3600000000"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
