package bounce_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// taken is a deliverer whose remote takes everybody, and tells of success itself
// where its name says so.
func taken(_ *queue.Message, r queue.Recipient) queue.Outcome {
	return queue.Outcome{
		Result: queue.Delivered, Code: 250, Enhanced: "2.0.0", Host: "mx." + r.Address.Domain.ASCII, Reply: "Taken",
		Reports: strings.HasPrefix(r.Address.Domain.ASCII, "dsn."),
	}
}

// TestSuccess: who asked for it hears of each way in which a recipient is served,
// once, and nobody else hears anything.
func TestSuccess(t *testing.T) {
	t.Parallel()
	const all = mail.NotifySuccess | mail.NotifyFailure
	for name, c := range map[string]struct {
		to     string
		notify mail.Notify
		status []string
		text   string
	}{
		"in a mailbox": {"bob@hayauma.test", mail.NotifySuccess, []string{
			"Final-Recipient: rfc822; bob@hayauma.test\r\nAction: delivered\r\nStatus: 2.1.5"}, "delivered to the mailbox"},
		"through an alias": {"chief@hayauma.test", all, []string{
			"Final-Recipient: rfc822; chief@hayauma.test\r\nAction: delivered\r\nStatus: 2.1.5"}, "delivered to the mailbox"},
		"a group": {"team@hayauma.test", all, []string{
			"Final-Recipient: rfc822; team@hayauma.test\r\nAction: expanded\r\nStatus: 2.1.5"}, "passed on to the members of this group, of whom you will hear no more unless it fails"},
		"a group, only success": {"team@hayauma.test", mail.NotifySuccess, []string{
			"Final-Recipient: rfc822; team@hayauma.test\r\nAction: expanded\r\nStatus: 2.1.5"}, "you did not ask to hear of failures, so that you will not be told"},
		"relayed": {"x@elsewhere.test", mail.NotifySuccess, []string{
			"Final-Recipient: rfc822; x@elsewhere.test\r\nAction: relayed\r\nStatus: 2.0.0", "Remote-MTA: dns; mx.elsewhere.test",
			"Diagnostic-Code: smtp; 250 2.0.0 Taken"}, "taken by mx.elsewhere.test, which does not tell"},
		"forwarded":                    {"away@hayauma.test", mail.NotifySuccess, []string{"Final-Recipient: rfc822; me@elsewhere.test\r\nAction: relayed"}, "taken by"},
		"relayed to one that tells":    {"x@dsn.test", all, nil, ""},
		"only failure, here":           {"bob@hayauma.test", mail.NotifyFailure, nil, ""},
		"nothing said, elsewhere":      {"x@elsewhere.test", 0, nil, ""},
		"never":                        {"bob@hayauma.test", mail.NotifyNever, nil, ""},
		"a group that is not asked of": {"team@hayauma.test", mail.NotifyDelay, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: stack.Deliver(taken)})
			for _, a := range []string{"alice", "bob", "carol"} {
				s.Account(a+"@hayauma.test", 0)
			}
			s.Alias("chief@hayauma.test", "bob@hayauma.test")
			s.Alias("team@hayauma.test", "bob@hayauma.test", "carol@hayauma.test", "x@elsewhere.test")
			s.Alias("away@hayauma.test", "me@elsewhere.test")
			r := rcpt(s, c.to, c.notify)
			r.ORCPT = "rfc822;first@list.test"
			send(t, s, "alice@hayauma.test", r)
			testkit.Eventually(t, patience, "an empty queue", func() bool { return len(s.Queued()) == 0 })
			got := s.Inbox("alice@hayauma.test")
			if c.status == nil {
				if len(got) != 0 {
					t.Errorf("told of what nobody asked: %q", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d reports: %q", len(got), got)
			}
			report := read(t, got[0])
			wantAll(t, "status", report.status, append(c.status, "Original-Recipient: rfc822;first@list.test")...)
			wantAll(t, "text", report.text, c.text)
			if report.originalType != "text/rfc822-headers" || strings.Contains(report.original, "Hello") {
				t.Errorf("returned %s: %q", report.originalType, report.original)
			}
		})
	}
}

// TestSuccessOfABounce: nobody is told of the null sender's success.
func TestSuccessOfABounce(t *testing.T) {
	t.Parallel()
	var reports atomic.Int32
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
		if m.From.IsNull() && r.Notify&mail.NotifySuccess == 0 {
			reports.Add(1)
		}
		return taken(m, r)
	})})
	s.Account("bob@hayauma.test", 0)
	send(t, s, "", rcpt(s, "bob@hayauma.test", mail.NotifySuccess), rcpt(s, "x@elsewhere.test", mail.NotifySuccess))
	testkit.Eventually(t, patience, "an empty queue", func() bool { return len(s.Queued()) == 0 })
	if reports.Load() != 0 || len(s.Inbox("bob@hayauma.test")) != 1 {
		t.Errorf("%d reports, %q", reports.Load(), s.Inbox("bob@hayauma.test"))
	}
}
