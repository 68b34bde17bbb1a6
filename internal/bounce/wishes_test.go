package bounce_test

import (
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

// TestReportOfASecret: it is as safe as what it tells of, as urgent, and does not
// return the content (RFC 8689 §5, RFC 6710 §4.6).
func TestReportOfASecret(t *testing.T) {
	t.Parallel()
	reports := make(chan mail.Envelope, 1)
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
		if m.From.IsNull() {
			reports <- m.Envelope
			return taken(m, r)
		}
		return refused(m, r)
	})})
	s.Account("alice@hayauma.test", 0)
	secret := mail.Envelope{From: s.Address("alice@hayauma.test"), RequireTLS: true, Priority: 3, Ret: "FULL"}
	id := sendWith(t, s, secret, rcpt(s, "x@elsewhere.test", 0))
	settled(t, s, id, "accepted failed bounced")
	if r := read(t, s.Inbox("alice@hayauma.test")[0]); strings.Contains(r.original, "Hello") || r.originalType != "text/rfc822-headers" {
		t.Errorf("%s: %q", r.originalType, r.original)
	}
	secret.From = s.Address("me@far.test")
	sendWith(t, s, secret, rcpt(s, "x@elsewhere.test", 0))
	if got := <-reports; !got.RequireTLS || got.Priority != 3 {
		t.Errorf("report: %+v", got)
	}
}
