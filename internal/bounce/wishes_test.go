package bounce_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

// sendWith is send with an envelope.
func sendWith(t *testing.T, s *stack.Stack, env mail.Envelope, to ...mail.Recipient) mail.ID {
	t.Helper()
	return sendContent(t, s, env, hello, to...)
}

// sendContent is sendWith with a content.
func sendContent(t *testing.T, s *stack.Stack, env mail.Envelope, content string, to ...mail.Recipient) mail.ID {
	t.Helper()
	tx := s.Intake.Begin(mail.Origin{Door: mail.DoorCommand}, env)
	for _, r := range to {
		target, fault := tx.Resolve(t.Context(), r.Address)
		if fault == nil {
			fault = tx.Add(t.Context(), r, target)
		}
		if fault != nil {
			t.Fatal(fault)
		}
	}
	_, _ = tx.Write([]byte(content)) // its fault is that of Commit
	r := tx.Commit(t.Context())
	if r.Fault != nil {
		t.Fatal(r.Fault)
	}
	return r.ID
}

// TestNotDeliveredInTime: with N the sender is told and it goes on, with R it comes
// back (RFC 2852 §4.1.3).
func TestNotDeliveredInTime(t *testing.T) {
	t.Parallel()
	for _, giveBack := range []bool{false, true} {
		s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), Asleep: true})
		s.Account("alice@hayauma.test", 0)
		id := sendWith(t, s, mail.Envelope{From: s.Address("alice@hayauma.test"), By: mail.DeliverBy{At: mail.Micros(time.Now()) + 1, Return: giveBack}},
			rcpt(s, "x@elsewhere.test", 0), rcpt(s, "y@elsewhere.test", mail.NotifyNever))
		s.WakeQueue()
		events, action, status, text := "accepted deferred deferred delayed", "delayed", "4.4.7", "not delivered by the time that you gave"
		if giveBack {
			events, action, status, text = "accepted expired expired bounced", "failed", "5.4.7", "given up: the time for delivery is over"
		}
		settled(t, s, id, strings.TrimSuffix(strings.TrimSuffix(events, " delayed"), " bounced"))
		s.WakeReporter()
		settled(t, s, id, events)
		r := read(t, s.Inbox("alice@hayauma.test")[0])
		wantAll(t, "text", r.text, text)
		wantAll(t, "status", r.status, "\r\nDeliver-By-Date: ", "Final-Recipient: rfc822; x@elsewhere.test\r\nAction: "+action+"\r\nStatus: "+status)
		if strings.Contains(r.status, "y@elsewhere.test") {
			t.Errorf("told of one of whom nothing is to be told: %s", r.status)
		}
	}
}

// TestNobodyWatchesTheTime: the sender hears where his wish ended (RFC 2852
// §4.1.4.2).
func TestNobodyWatchesTheTime(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome {
		return queue.Outcome{Result: queue.Delivered, Code: 250, Enhanced: "2.0.0", Host: "mx.elsewhere.test", Reply: "Taken"}
	})})
	s.Account("alice@hayauma.test", 0)
	id := sendWith(t, s, mail.Envelope{From: s.Address("alice@hayauma.test"), By: mail.DeliverBy{At: mail.Micros(time.Now().Add(time.Hour))}},
		rcpt(s, "x@elsewhere.test", mail.NotifyFailure), rcpt(s, "y@elsewhere.test", mail.NotifyNever))
	settled(t, s, id, "accepted delivered delivered relayed")
	r := read(t, s.Inbox("alice@hayauma.test")[0])
	wantAll(t, "text", r.text, "taken by mx.elsewhere.test, which goes on with it")
	wantAll(t, "status", r.status, "\r\nDeliver-By-Date: ", "Final-Recipient: rfc822; x@elsewhere.test\r\nAction: relayed")
}

// TestReportOfASecret: it does not return the content, and what leaves the server holds
// nothing of the message but its name, so that it may go by any way (RFC 8689 §5). It is
// as urgent as the message (RFC 6710 §4.6).
func TestReportOfASecret(t *testing.T) {
	t.Parallel()
	const secret = "From: boss@far.test\r\nSubject: takeover of Initech\r\nMessage-ID:\r\n <1@far.test>\r\n\r\nHello\r\n"
	for name, c := range map[string]struct {
		from string
		here bool
	}{
		"to a mailbox here":     {from: "alice@hayauma.test", here: true},
		"to a host elsewhere":   {from: "me@far.test"},
		"to an alias elsewhere": {from: "away@hayauma.test"},
		"to both":               {from: "both@hayauma.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reports, seen := make(chan *queue.Message), make(chan struct{})
			defer close(seen)
			s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
				if m.From.IsNull() {
					reports <- m
					<-seen // its body is there until then
					return taken(m, r)
				}
				return refused(m, r)
			})})
			s.Account("alice@hayauma.test", 0)
			s.Alias("away@hayauma.test", "me@far.test")
			s.Alias("both@hayauma.test", "me@far.test", "alice@hayauma.test")
			env := mail.Envelope{From: s.Address(c.from), RequireTLS: true, Priority: 3, Ret: "FULL"}
			id := sendContent(t, s, env, secret, rcpt(s, "x@elsewhere.test", 0))
			settled(t, s, id, "accepted failed bounced")
			if c.here {
				r := read(t, s.Inbox("alice@hayauma.test")[0])
				if strings.Contains(r.original, "Hello") || r.originalType != "text/rfc822-headers" || !strings.Contains(r.original, "Initech") {
					t.Errorf("%s: %q", r.originalType, r.original)
				}
				return
			}
			got := <-reports
			if got.RequireTLS || got.Priority != 3 {
				t.Errorf("report: %+v", got)
			}
			text := content(t, s, got)
			for _, word := range []string{"Initech", "Hello", "boss@far.test"} {
				if strings.Contains(text, word) {
					t.Errorf("the report tells of %q:\n%s", word, text)
				}
			}
			r := read(t, text)
			wantAll(t, "text", r.text, "<x@elsewhere.test>: refused by", "nothing else of the message is returned")
			if r.original != "Message-ID: <1@far.test>\r\n" || r.originalType != "text/rfc822-headers" {
				t.Errorf("%s: %q", r.originalType, r.original)
			}
		})
	}
}

// content is that of a message of the queue.
func content(t *testing.T, s *stack.Stack, m *queue.Message) string {
	t.Helper()
	body, err := s.Blobs.Open(t.Context(), m.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
