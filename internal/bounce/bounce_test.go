package bounce_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-message"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

const hello = "From: Alice <alice@hayauma.test>\r\nTo: x@elsewhere.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <one@hayauma.test>\r\n\r\nHello\r\n"

// patience is how long a report may take to be written and filed.
const patience = 20 * time.Second

// send hands a message from a sender of ours to the queue.
func send(t *testing.T, s *stack.Stack, from string, to ...mail.Recipient) mail.ID {
	t.Helper()
	env := mail.Envelope{}
	if from != "" {
		env.From = s.Address(from)
	}
	return sendWith(t, s, env, to...)
}

func rcpt(s *stack.Stack, address string, n mail.Notify) mail.Recipient {
	return mail.Recipient{Address: s.Address(address), Notify: n}
}

// refused is a deliverer whose remote refuses everybody.
func refused(_ *queue.Message, r queue.Recipient) queue.Outcome {
	return queue.Outcome{Result: queue.Refused, Code: 550, Enhanced: "5.1.1", Host: "mx.elsewhere.test",
		Reply: "Sorry, " + r.Address.Local + " is unknown\nAsk <postmaster>"}
}

// late is one that puts everybody off.
func late(*queue.Message, queue.Recipient) queue.Outcome {
	return queue.Outcome{Result: queue.TryLater, Code: 451, Enhanced: "4.7.1", Host: "mx.elsewhere.test", Reply: "Greylisted, come again"}
}

// settled waits until the reporter has nothing left to do: no recipient has
// failed that is not settled.
func settled(t *testing.T, s *stack.Stack, id mail.ID, events string) {
	t.Helper()
	testkit.Eventually(t, patience, "the events "+events, func() bool { return s.Events(id.String()) == events })
}

// report is what a reader makes of a multipart/report.
type report struct {
	header                   message.Header
	text, status, original   string
	statusType, originalType string
}

func read(t *testing.T, raw string) report {
	t.Helper()
	e, err := message.Read(strings.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	r := report{header: e.Header}
	parts := e.MultipartReader()
	if parts == nil {
		t.Fatalf("not multipart: %q", raw)
	}
	for i := 0; ; i++ {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			if i != 3 {
				t.Errorf("%d parts in %q", i, raw)
			}
			return r
		}
		if err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(p.Body); err != nil {
			t.Fatal(err)
		}
		kind, _, err := p.Header.ContentType()
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0:
			r.text = b.String()
		case 1:
			r.status, r.statusType = b.String(), kind
		case 2:
			r.original, r.originalType = b.String(), kind
		}
	}
}

func wantAll(t *testing.T, where, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", where, part, text)
		}
	}
}

func TestBounce(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused)})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0), rcpt(s, "y@elsewhere.test", mail.NotifyFailure))
	settled(t, s, id, "accepted failed failed bounced bounced")
	got := s.Inbox("alice@hayauma.test")
	if len(got) != 1 {
		t.Fatalf("INBOX: %q", got)
	}
	if !strings.HasPrefix(got[0], "Return-Path: <>\r\n") {
		t.Errorf("reverse-path: %.60q", got[0])
	}
	r := read(t, got[0])
	if r.header.Get("Auto-Submitted") != "auto-replied" || r.header.Get("To") != "<alice@hayauma.test>" || r.header.Get("Message-Id") == "" {
		t.Errorf("header: %v", r.header)
	}
	wantAll(t, "text", r.text, "<x@elsewhere.test>: refused by mx.elsewhere.test", "550 5.1.1 Sorry, x is unknown\r\n    Ask <postmaster>",
		"550 5.1.1 Sorry, y is unknown", "Subject: Grüße", "Our id: "+id.String())
	wantAll(t, "status", r.status, "Reporting-MTA: dns; "+stack.Hostname, "Final-Recipient: rfc822; x@elsewhere.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
		"Final-Recipient: rfc822; y@elsewhere.test", "Remote-MTA: dns; mx.elsewhere.test", "Diagnostic-Code: smtp; 550 5.1.1 Sorry, x is unknown")
	wantAll(t, "original", r.original, "Received: ", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n")
	if strings.Contains(r.original, "Hello") || r.statusType != "message/delivery-status" || r.originalType != "text/rfc822-headers" {
		t.Errorf("original %s: %q", r.originalType, r.original)
	}
	if len(s.Queued()) != 0 {
		t.Errorf("queue: %+v", s.Queued())
	}
}

// TestTurnedReplies: a reply that the operator made final, or temporary, is told of in the
// class of what became of the recipient, and about what it was about, in its own words.
func TestTurnedReplies(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, reply, enhanced, final, late string }{
		{"with a code", "Not now", "4.7.1", "5.7.1", "4.7.1"},
		{"with one that says little", "Not now", "4.0.0", "5.0.0", "4.0.0"},
		{"with none", "Not now", "", "5.0.0", "4.0.0"},
		{"of a success", "Not now", "2.1.5", "5.0.0", "4.0.0"},
		{"refused", "Never", "5.7.1", "5.7.1", "4.7.1"},
	}
	for _, test := range tests {
		code := 450
		if test.enhanced == "5.7.1" {
			code = 554
		}
		said := func(result queue.Result) stack.Deliver {
			return func(*queue.Message, queue.Recipient) queue.Outcome {
				return queue.Outcome{Result: result, Code: code, Enhanced: test.enhanced, Host: "mx.elsewhere.test", Reply: test.reply}
			}
		}
		words := strings.Join(strings.Fields(strconv.Itoa(code)+" "+test.enhanced+" "+test.reply), " ")
		t.Run(test.name+", final", func(t *testing.T) {
			t.Parallel()
			explain := func(string, string) string { return "It is explained." }
			s := stack.New(t, stack.Options{Deliverer: said(queue.Refused), Explain: explain})
			s.Account("alice@hayauma.test", 0)
			settled(t, s, send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0)), "accepted failed bounced")
			meaning := "What that means: It is explained."
			if code == 450 {
				meaning = "here a rule says that such a reply is final."
			}
			r := read(t, s.Inbox("alice@hayauma.test")[0])
			wantAll(t, "status", r.status, "Action: failed\r\nStatus: "+test.final+"\r\n", "Diagnostic-Code: smtp; "+words+"\r\n")
			wantAll(t, "text", r.text, "refused by mx.elsewhere.test:\r\n    "+words, meaning)
		})
		t.Run(test.name+", temporary", func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: said(queue.TryLater), DelayNotice: time.Millisecond, Asleep: true})
			s.Account("alice@hayauma.test", 0)
			id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
			s.WakeQueue()
			settled(t, s, id, "accepted deferred")
			s.WakeReporter()
			settled(t, s, id, "accepted deferred delayed")
			r := read(t, s.Inbox("alice@hayauma.test")[0])
			wantAll(t, "status", r.status, "Action: delayed\r\nStatus: "+test.late+"\r\n", "Diagnostic-Code: smtp; "+words+"\r\n")
		})
	}
}

// TestOurOwnFinding: what this server found itself is no reply of a host, and is explained in
// the language of the account as one would be.
func TestOurOwnFinding(t *testing.T) {
	t.Parallel()
	for language, cannot := range map[string]string{
		"en": "cannot be delivered:\r\n    The domain takes no mail (null MX)\r\n    What that means: 556 5.1.10 The domain takes no mail (null MX) in en\r\n",
		"ja": "配送できません:\r\n    The domain takes no mail (null MX)\r\n    意味: 556 5.1.10 The domain takes no mail (null MX) in ja\r\n",
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Explain: func(reply, language string) string { return reply + " in " + language },
				Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome {
					return queue.Outcome{Result: queue.Refused, Code: 556, Enhanced: "5.1.10", Ours: true, Reply: "The domain takes no mail (null MX)"}
				})})
			s.Account("alice@hayauma.test", 0)
			if err := s.Directory.SetLanguage(t.Context(), s.Address("alice@hayauma.test"), language); err != nil {
				t.Fatal(err)
			}
			id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
			settled(t, s, id, "accepted failed bounced")
			r := read(t, s.Inbox("alice@hayauma.test")[0])
			wantAll(t, "text", r.text, cannot)
			wantAll(t, "status", r.status, "Status: 5.1.10", "Diagnostic-Code: x-hayauma; The domain takes no mail")
			if strings.Contains(r.status, "Remote-MTA") {
				t.Errorf("status: %s", r.status)
			}
		})
	}
}

// Those to whom nobody must write: a bounce's sender, a sender who asked for
// silence, and one who does not exist.
func TestSilence(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from string
		notify     mail.Notify
		events     string
	}{
		{"never a bounce of a bounce", "", 0, "accepted failed bounced"},
		{"NOTIFY=NEVER", "alice@hayauma.test", mail.NotifyNever, "accepted failed"},
		{"only success wanted", "alice@hayauma.test", mail.NotifySuccess, "accepted failed"},
		{"the sender does not exist here", "nobody@hayauma.test", 0, "accepted failed bounced"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused)})
			s.Account("alice@hayauma.test", 0)
			id := send(t, s, test.from, rcpt(s, "x@elsewhere.test", test.notify))
			testkit.Eventually(t, patience, "an empty queue", func() bool { return len(s.Queued()) == 0 })
			if got := s.Events(id.String()); got != test.events {
				t.Errorf("events %q, want %q", got, test.events)
			}
			if got := s.Inbox("alice@hayauma.test"); len(got) != 0 {
				t.Errorf("INBOX: %q", got)
			}
		})
	}
}

// A sender over quota still hears of what was not delivered.
func TestSenderOverQuota(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused)})
	s.Account("alice@hayauma.test", int64(len(hello))) // what it takes with its trace is more
	s.Account("bob@hayauma.test", 0)
	send(t, s, "bob@hayauma.test", rcpt(s, "alice@hayauma.test", 0)) // fills it
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	other := send(t, s, "bob@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	settled(t, s, id, "accepted failed bounced")
	settled(t, s, other, "accepted failed bounced")
	if got := s.Inbox("alice@hayauma.test"); len(got) != 2 {
		t.Errorf("INBOX: %q", got)
	}
}

// A sender elsewhere gets the report by the queue, with the null reverse-path. This one
// cannot be told, which is the last that the history has.
func TestSenderElsewhere(t *testing.T) {
	t.Parallel()
	var reports atomic.Int32
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
		if m.From.IsNull() && r.Address.String() == "me@far.test" && r.Notify == mail.NotifyNever {
			reports.Add(1)
		}
		return refused(m, r)
	})})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "me@far.test", rcpt(s, "x@elsewhere.test", 0))
	settled(t, s, id, "accepted failed bounced bounced")
	testkit.Eventually(t, patience, "an empty queue", func() bool { return len(s.Queued()) == 0 })
	if reports.Load() != 1 {
		t.Errorf("%d reports", reports.Load())
	}
}

func TestDelayNoticeOnce(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), DelayNotice: time.Millisecond, Asleep: true})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0), rcpt(s, "y@elsewhere.test", mail.NotifyFailure))
	s.WakeQueue()
	settled(t, s, id, "accepted deferred deferred")
	s.WakeReporter()
	settled(t, s, id, "accepted deferred deferred delayed")
	// The next attempt fails as well; nobody hears of it a second time.
	if n, err := s.Queue.Retry(t.Context(), queue.Filter{All: true}); err != nil || n.All() != 2 {
		t.Fatalf("retry: %d, %v", n, err)
	}
	testkit.Eventually(t, patience, "the second attempt", func() bool {
		return strings.HasPrefix(s.Events(id.String()), "accepted deferred deferred delayed deferred deferred")
	})
	if late, err := s.Queue.Delayed(t.Context(), 10); err != nil || len(late) != 0 {
		t.Errorf("still to be told: %+v, %v", late, err)
	}
	got := s.Inbox("alice@hayauma.test")
	if len(got) != 1 {
		t.Fatalf("INBOX: %q", got)
	}
	r := read(t, got[0])
	wantAll(t, "text", r.text, "not delivered so far:\r\n    451 4.7.1 Greylisted", "We try until ")
	wantAll(t, "status", r.status, "Final-Recipient: rfc822; x@elsewhere.test\r\nAction: delayed\r\nStatus: 4.7.1", "Will-Retry-Until: ")
	if strings.Contains(r.text, "y@elsewhere.test>:") {
		t.Errorf("tells of a recipient for whom only failure counts: %s", r.text)
	}
}

// TestDelayNoticeBeforeTheFirstAttempt: who rests for long before an attempt is late as well.
func TestDelayNoticeBeforeTheFirstAttempt(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), DelayNotice: time.Millisecond, Asleep: true})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	err := s.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE queue_recipient SET state = 1, owner = 0, next = received + 3600000000")) // as a rate has it rest
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.WakeReporter()
	settled(t, s, id, "accepted delayed")
	r := read(t, s.Inbox("alice@hayauma.test")[0])
	wantAll(t, "status", r.status, "Action: delayed\r\nStatus: 4.0.0", "Will-Retry-Until: ")
	if strings.Contains(r.status, "Last-Attempt-Date") {
		t.Errorf("tells of an attempt: %s", r.status)
	}
}

// TestDelayNoticeSaysUntilWhen: each recipient is told until when it is tried, by what is
// said of its domain.
func TestDelayNoticeSaysUntilWhen(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), DelayNotice: time.Millisecond, Asleep: true,
		Schedule: func(_ *queue.Message, to mail.Domain) ([]time.Duration, time.Duration, bool) {
			if to.ASCII != "elsewhere.test" {
				return nil, 0, false
			}
			return nil, 30 * 24 * time.Hour, true
		}})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0), rcpt(s, "y@far.test", 0))
	sent := time.Now()
	s.WakeQueue()
	settled(t, s, id, "accepted deferred deferred")
	s.WakeReporter()
	settled(t, s, id, "accepted deferred deferred delayed delayed")
	r := read(t, s.Inbox("alice@hayauma.test")[0])
	for domain, days := range map[string]int{"elsewhere.test": 30, "far.test": 5} {
		_, told, _ := strings.Cut(r.status, "@"+domain)
		_, told, _ = strings.Cut(told, "Will-Retry-Until: ")
		told, _, _ = strings.Cut(told, "\r\n")
		until, err := time.Parse(time.RFC1123Z, told)
		if d := until.Sub(sent.AddDate(0, 0, days)).Abs(); err != nil || d > time.Hour || !strings.Contains(r.text, told) {
			t.Errorf("%s: %q, %v", domain, told, err)
		}
	}
}

// TestDelayNoticeBehindTheEnd: of what waits for its last attempt no time is told that is past.
func TestDelayNoticeBehindTheEnd(t *testing.T) {
	t.Parallel()
	over := func(*queue.Message, mail.Domain) ([]time.Duration, time.Duration, bool) {
		return nil, time.Nanosecond, true
	}
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), DelayNotice: time.Millisecond, Asleep: true, Schedule: over})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	err := s.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE queue_recipient SET state = 1, owner = 0, next = received + 3600000000"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.WakeReporter()
	settled(t, s, id, "accepted delayed")
	r := read(t, s.Inbox("alice@hayauma.test")[0])
	if strings.Contains(r.status, "Will-Retry-Until") || strings.Contains(r.text, "We try until") {
		t.Errorf("%s\n%s", r.text, r.status)
	}
}

// overtaking is an engine where a statement overtakes the next write, once it is given.
type overtaking struct {
	db.DB
	next *atomic.Pointer[db.Stmt]
}

func (o overtaking) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if s := o.next.Swap(nil); s != nil {
		err := o.DB.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(*s)
			return err
		})
		if err != nil {
			return err
		}
	}
	return o.DB.Write(ctx, fn)
}

// TestDelayNoticeOfWhoHasIt: a recipient that is delivered between the look and the
// notice is not told of; the others are.
func TestDelayNoticeOfWhoHasIt(t *testing.T) {
	t.Parallel()
	var next atomic.Pointer[db.Stmt]
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), DelayNotice: time.Millisecond, Asleep: true,
		DB: func(d db.DB) db.DB { return overtaking{d, &next} }})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0), rcpt(s, "y@elsewhere.test", 0))
	s.WakeQueue()
	settled(t, s, id, "accepted deferred deferred")
	delivered := db.SQL("DELETE FROM queue_recipient WHERE address = 'y@elsewhere.test'")
	next.Store(&delivered)
	s.WakeReporter()
	settled(t, s, id, "accepted deferred deferred delayed")
	got := s.Inbox("alice@hayauma.test")
	if len(got) != 1 || next.Load() != nil {
		t.Fatalf("INBOX: %q", got)
	}
	r := read(t, got[0])
	wantAll(t, "status", r.status, "Final-Recipient: rfc822; x@elsewhere.test\r\nAction: delayed")
	if strings.Contains(r.status, "y@elsewhere.test") || strings.Contains(r.text, "<y@elsewhere.test>") {
		t.Errorf("tells of the delay of one who has it: %s", r.text)
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(late), Lifetime: time.Microsecond})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	settled(t, s, id, "accepted expired bounced")
	r := read(t, s.Inbox("alice@hayauma.test")[0])
	wantAll(t, "text", r.text, "given up: the time for delivery is over:\r\n    451 4.7.1 Greylisted, come again")
	wantAll(t, "status", r.status, "Action: failed\r\nStatus: 5.4.7\r\n", "Diagnostic-Code: smtp; 451 4.7.1 Greylisted")
}

// TestGivenUpByHand: the report says who gave the recipient up, and what the last attempt
// had found, if there was one.
func TestGivenUpByHand(t *testing.T) {
	t.Parallel()
	type report struct {
		events, text string
		status       []string
	}
	full := queue.Outcome{Result: queue.TryLater, Code: 452, Enhanced: "4.2.2", Host: "mx.elsewhere.test", Reply: "The mailbox of x is full"}
	ours := queue.Outcome{Result: queue.TryLater, Ours: true, Code: 451, Enhanced: "4.4.1", Reply: "No host answers"}
	const here = ": given up by the administrator:\r\n    "
	for name, c := range map[string]struct {
		outcome  queue.Outcome // none: it is not tried
		language string
		want     report
	}{
		"after a reply": {full, "en", report{"accepted deferred", here + "452 4.2.2 The mailbox of x is full\r\n    What that means: It is explained.",
			[]string{"Action: failed\r\nStatus: 5.2.2\r\n", "Remote-MTA: dns; mx.elsewhere.test\r\n", "Diagnostic-Code: smtp; 452 4.2.2 The mailbox of x is full\r\n"}}},
		"in Japanese": {full, "ja", report{"accepted deferred", ": 管理者が配送を取りやめました:\r\n    452 4.2.2 The mailbox of x is full\r\n    意味: It is explained.",
			[]string{"Status: 5.2.2\r\n"}}},
		"after a finding of ours": {ours, "en", report{"accepted deferred", here + "No host answers",
			[]string{"Status: 5.4.1\r\n", "Diagnostic-Code: x-hayauma; No host answers\r\n"}}},
		"without an attempt": {queue.Outcome{}, "en", report{"accepted", here + "Returned by the administrator",
			[]string{"Status: 5.0.0\r\n", "Diagnostic-Code: x-hayauma; Returned by the administrator\r\n"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Asleep: true, Explain: func(string, string) string { return "It is explained." },
				Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome { return c.outcome })})
			s.Account("alice@hayauma.test", 0)
			if err := s.Directory.SetLanguage(t.Context(), s.Address("alice@hayauma.test"), c.language); err != nil {
				t.Fatal(err)
			}
			id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
			if c.outcome.Result != 0 {
				s.WakeQueue()
			}
			settled(t, s, id, c.want.events)
			if _, err := s.Queue.Bounce(t.Context(), queue.Filter{All: true}); err != nil {
				t.Fatal(err)
			}
			s.WakeReporter()
			settled(t, s, id, c.want.events+" failed bounced")
			r := read(t, s.Inbox("alice@hayauma.test")[0])
			wantAll(t, "text", r.text, c.want.text)
			wantAll(t, "status", r.status, c.want.status...)
		})
	}
}

// breaking is an engine that fails the n-th write of intake after its functions
// have run, as a crash between them and the commit would.
type breaking struct {
	db.DB
	on    *atomic.Bool
	broke *atomic.Int32
}

func (b breaking) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if !b.on.Load() {
		return b.DB.Write(ctx, fn)
	}
	b.broke.Add(1)
	return b.DB.Write(ctx, func(tx *db.Tx) error {
		return errors.Join(fn(tx), errors.New("the power is gone"))
	})
}

// A crash between "failed" and "bounced" leads to one report, not to none and
// not to two.
func TestCrashBeforeTheReport(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	var broke atomic.Int32
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused), Asleep: true,
		DB: func(d db.DB) db.DB { return breaking{d, &on, &broke} }})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	on.Store(true)
	s.WakeQueue()
	settled(t, s, id, "accepted failed")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Reporter.Run(ctx)
	}()
	testkit.Eventually(t, patience, "the first try to break", func() bool { return broke.Load() > 0 })
	cancel()
	<-ended
	if got := s.Inbox("alice@hayauma.test"); len(got) != 0 {
		t.Fatalf("a report without its commit: %q", got)
	}
	on.Store(false)
	s.WakeReporter() // as after the next start
	settled(t, s, id, "accepted failed bounced")
	if got := s.Inbox("alice@hayauma.test"); len(got) != 1 || len(s.Queued()) != 0 {
		t.Errorf("%d reports, queue %+v", len(got), s.Queued())
	}
}

// A report that is larger than a message may be is given up, not tried for
// ever; the trace says so.
func TestReportRefusedHere(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused),
		Messages: func(s *intake.Settings) { s.MessageSize = int64(len(hello)) }})
	s.Account("alice@hayauma.test", 0)
	id := send(t, s, "alice@hayauma.test", rcpt(s, "x@elsewhere.test", 0))
	settled(t, s, id, "accepted failed bounced")
	events := s.Timeline(id.String())
	if got := events[len(events)-1].Detail; got.Reason == "" || got.Other != "" {
		t.Errorf("last event: %+v", got)
	}
	if len(s.Queued()) != 0 || len(s.Inbox("alice@hayauma.test")) != 0 {
		t.Errorf("queue %+v, INBOX %q", s.Queued(), s.Inbox("alice@hayauma.test"))
	}
}

// TestLanguage: a report speaks the language of the account that reads it; what is
// for machines, and what the remote said, stays as it is.
func TestLanguage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, subject, text string }{
		"not set":      {"alice@hayauma.test", "Undelivered mail returned to sender", "<x@elsewhere.test>: refused by mx.elsewhere.test:\n    550 5.1.1 Sorry, x is unknown"},
		"English":      {"bob@hayauma.test", "Undelivered mail returned to sender", "    What that means: in en\n"},
		"Japanese":     {"taro@hayauma.test", "メールを配送できませんでした", "<x@elsewhere.test>: mx.elsewhere.test が受け取りを拒否しました:\n    550 5.1.1 Sorry, x is unknown"},
		"explained":    {"taro@hayauma.test", "メールを配送できませんでした", "    意味: in ja\n"},
		"by his alias": {"boss@hayauma.test", "メールを配送できませんでした", "お送りになったメール:\n    From: "},
		"of a group":   {"team@hayauma.test", "Undelivered mail returned to sender", "The message was:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused), Explain: func(_, language string) string { return "in " + language }})
			for a, language := range map[string]string{"alice": "", "bob": "en", "taro": "ja"} {
				s.Account(a+"@hayauma.test", 0)
				if language == "" {
					continue
				}
				if err := s.Directory.SetLanguage(t.Context(), s.Address(a+"@hayauma.test"), language); err != nil {
					t.Fatal(err)
				}
			}
			s.Alias("boss@hayauma.test", "taro@hayauma.test")
			s.Alias("team@hayauma.test", "taro@hayauma.test", "alice@hayauma.test")
			id := send(t, s, c.from, rcpt(s, "x@elsewhere.test", 0))
			settled(t, s, id, "accepted failed bounced")
			to := c.from
			if local := s.Address(to).Local; local == "boss" || local == "team" {
				to = "taro@hayauma.test"
			}
			r := read(t, s.Inbox(to)[0])
			if subject, err := r.header.Text("Subject"); err != nil || subject != c.subject {
				t.Errorf("subject %q, %v", subject, err)
			}
			wantAll(t, "text", strings.ReplaceAll(r.text, "\r\n", "\n"), c.text)
			wantAll(t, "status", r.status, "Final-Recipient: rfc822; x@elsewhere.test\r\nAction: failed", "Diagnostic-Code: smtp; 550 5.1.1 Sorry, x is unknown")
		})
	}
}

// TestOneReportOfMany: a message to many domains that do not exist, which are found out
// one after the other, gives its sender one report.
func TestOneReportOfMany(t *testing.T) {
	t.Parallel()
	const many = 60
	rest := make(chan struct{})
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(m *queue.Message, r queue.Recipient) queue.Outcome {
		if r.Address.Domain.ASCII == "d59.test" {
			<-rest
		}
		return refused(m, r)
	})})
	s.Account("alice@hayauma.test", 0)
	var to []mail.Recipient
	for i := range many {
		to = append(to, rcpt(s, "x@d"+strconv.Itoa(i)+".test", 0))
	}
	id := send(t, s, "alice@hayauma.test", to...)
	settled(t, s, id, "accepted"+strings.Repeat(" failed", many-1))
	if got := s.Inbox("alice@hayauma.test"); len(got) != 0 {
		t.Fatalf("%d reports while one is under way", len(got))
	}
	close(rest)
	settled(t, s, id, "accepted"+strings.Repeat(" failed", many)+strings.Repeat(" bounced", many))
	got := s.Inbox("alice@hayauma.test")
	if len(got) != 1 {
		t.Fatalf("%d reports", len(got))
	}
	if n := strings.Count(read(t, got[0]).status, "Final-Recipient: "); n != many {
		t.Errorf("it tells of %d", n)
	}
}
