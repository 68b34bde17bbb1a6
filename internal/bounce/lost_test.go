package bounce_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

// logged is a log whose lines are waited for.
type logged chan string

func (l logged) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default: // more than any test reads
	}
	return len(b), nil
}

// logger gives what is written to it from a level on.
func (l logged) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// line waits for one with all the words.
func (l logged) line(t *testing.T, words ...string) {
	t.Helper()
	end := time.After(patience)
	var seen []string
	for {
		select {
		case line := <-l:
			seen = append(seen, line)
			missing := false
			for _, w := range words {
				missing = missing || !strings.Contains(line, w)
			}
			if !missing {
				return
			}
		case <-end:
			t.Fatalf("no line with %q in %q", words, seen)
		}
	}
}

// TestReportLost: a report that cannot be delivered is told of nobody, but the log and
// the message that it was about say so.
func TestReportLost(t *testing.T) {
	t.Parallel()
	for name, delayed := range map[string]bool{"of a failure": false, "of a delay": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := make(logged, 100)
			o := stack.Options{Logger: log.logger(slog.LevelWarn), Deliverer: stack.Deliver(refused)}
			first := "accepted failed bounced"
			if delayed {
				first = "accepted deferred delayed"
				o.DelayNotice, o.Asleep = time.Millisecond, true
				o.Deliverer = stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
					if m.From.IsNull() {
						return refused(m, r)
					}
					return late(m, r)
				})
			}
			s := stack.New(t, o)
			id := send(t, s, "stranger@far.test", rcpt(s, "x@elsewhere.test", 0))
			if delayed {
				s.WakeQueue()
				settled(t, s, id, "accepted deferred")
				s.WakeReporter()
			}
			settled(t, s, id, first+" bounced")
			events := s.Timeline(id.String())
			report := events[2].Detail.Other
			lost := events[3]
			if d := lost.Detail; lost.Recipient != "stranger@far.test" || d.From != "" || d.Other != report || d.Code != 550 ||
				!strings.Contains(d.Reply, "stranger is unknown") || !strings.Contains(d.Reason, "could not be told") {
				t.Errorf("event: %+v", lost)
			}
			if of := s.Timeline(report); len(of) != 2 || of[0].Detail.Other != id.String() {
				t.Errorf("the report's own: %+v", of)
			}
			log.line(t, "level=WARN", "message="+report, "about="+id.String(), "recipient=stranger@far.test", "550 5.1.1 Sorry, stranger is unknown")
			if len(s.Queued()) != 0 && !delayed {
				t.Errorf("queue: %+v", s.Queued())
			}
		})
	}
}

// TestOthersLost: mail without a sender that is no report of ours is logged as well.
func TestOthersLost(t *testing.T) {
	t.Parallel()
	log := make(logged, 100)
	s := stack.New(t, stack.Options{Logger: log.logger(slog.LevelWarn), Deliverer: stack.Deliver(refused)})
	id := send(t, s, "", rcpt(s, "x@elsewhere.test", mail.NotifyNever))
	settled(t, s, id, "accepted failed")
	log.line(t, "level=WARN", "mail without a sender", "message="+id.String(), "recipient=x@elsewhere.test", "550 5.1.1 Sorry, x is unknown")
}

// TestReportOfTheForgotten: a report is settled whose message has no history any more.
func TestReportOfTheForgotten(t *testing.T) {
	t.Parallel()
	log := make(logged, 100)
	hold := make(chan struct{})
	s := stack.New(t, stack.Options{Logger: log.logger(slog.LevelWarn), Deliverer: stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
		if m.From.IsNull() {
			<-hold
		}
		return refused(m, r)
	})})
	id := send(t, s, "stranger@far.test", rcpt(s, "x@elsewhere.test", 0))
	settled(t, s, id, "accepted failed bounced")
	if _, err := s.History.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	close(hold)
	log.line(t, "level=WARN", "mail without a sender", "recipient=stranger@far.test")
	if n := len(s.Queued()); n != 0 {
		t.Errorf("%d in the queue", n)
	}
}
