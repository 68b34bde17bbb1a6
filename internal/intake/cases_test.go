package intake_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

var origin = mail.Origin{Door: mail.DoorSMTP, Peer: netip.MustParseAddrPort("192.0.2.7:4321"), Helo: "client.test", Protocol: "ESMTP"}

const hello = "Message-ID: <one@b.test>\r\nSubject: one\r\n\r\nHello\r\n"

// begin starts a transaction and adds its recipients, all of which must be
// accepted.
func begin(t *testing.T, s *stack.Stack, to ...string) *intake.Transaction {
	t.Helper()
	return beginAt(t, s, mail.DoorSMTP, to...)
}

func beginAt(t *testing.T, s *stack.Stack, door mail.Door, to ...string) *intake.Transaction {
	t.Helper()
	at := origin
	at.Door = door
	tx := s.Intake.Begin(at, mail.Envelope{From: s.Address("a@b.test")})
	for _, rcpt := range to {
		if fault := add(t, s, tx, rcpt); fault != nil {
			t.Fatalf("recipient %s: %v", rcpt, fault)
		}
	}
	return tx
}

func add(t *testing.T, s *stack.Stack, tx *intake.Transaction, to string) *mail.Fault {
	t.Helper()
	target, fault := tx.Resolve(t.Context(), s.Address(to))
	if fault != nil {
		t.Fatal(fault)
	}
	return tx.Add(t.Context(), mail.Recipient{Address: s.Address(to)}, target)
}

// finish writes the content and commits.
func finish(t *testing.T, tx *intake.Transaction, content string) intake.Result {
	t.Helper()
	_, _ = tx.Write([]byte(content)) // its fault is that of Commit
	return tx.Commit(t.Context())
}

func said(f *mail.Fault) string {
	if f == nil {
		return "250"
	}
	return fmt.Sprintf("%d %s", f.Code(), f.Enhanced())
}

// want compares an outcome with "250" or "452 4.3.1".
func want(t *testing.T, r intake.Result, outcome string) {
	t.Helper()
	if got := said(r.Fault); got != outcome {
		t.Errorf("outcome %s (%v), want %s", got, r.Fault, outcome)
	}
	for i, f := range r.Each {
		if f != r.Fault {
			t.Errorf("recipient %d: %v", i, f)
		}
	}
}

func wantCopies(t *testing.T, s *stack.Stack, n int, owners ...string) {
	t.Helper()
	for _, owner := range owners {
		if got := s.Inbox(owner); len(got) != n {
			t.Errorf("%s has %d messages, want %d: %q", owner, len(got), n, got)
		}
	}
}

// sick is the engines with an error that a test can turn on.
type sick struct {
	db.DB
	blob.Store
	write, body, commit, record atomic.Pointer[error]
}

func (s *sick) options() stack.Options {
	return stack.Options{
		DB:    func(d db.DB) db.DB { s.DB = d; return sickDB{d, s} },
		Blobs: func(b blob.Store) blob.Store { s.Store = b; return sickBlobs{b, s} },
	}
}

func fail(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
}

type sickDB struct {
	db.DB
	s *sick
}

func (d sickDB) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if err := fail(&d.s.write); err != nil {
		return err
	}
	return d.DB.Write(ctx, fn)
}

type sickBlobs struct {
	blob.Store
	s *sick
}

func (b sickBlobs) Create() blob.Writer { return sickWriter{b.Store.Create(), b.s} }

func (b sickBlobs) Record(tx *db.Tx, bodies ...blob.Body) error {
	if err := fail(&b.s.record); err != nil {
		return err
	}
	return b.Store.Record(tx, bodies...)
}

type sickWriter struct {
	blob.Writer
	s *sick
}

func (w sickWriter) Write(p []byte) (int, error) {
	if err := fail(&w.s.body); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

func (w sickWriter) Commit(ctx context.Context, m blob.Meta) (blob.Body, error) {
	if err := fail(&w.s.commit); err != nil {
		w.Abort()
		return blob.Body{}, err
	}
	return w.Writer.Commit(ctx, m)
}

// Each test is a row of the table in doc.go.
func TestAllRecipientsFiledOrQueued(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	r := finish(t, begin(t, s, "alice@hayauma.test", "x@elsewhere.test", "bob@hayauma.test"), hello)
	want(t, r, "250")
	wantCopies(t, s, 1, "alice@hayauma.test", "bob@hayauma.test")
	if q := s.Queued(); len(q) != 1 || q[0].ID != r.ID || len(q[0].Recipients) != 1 || q[0].Recipients[0].State != queue.Held {
		t.Errorf("queue: %+v", q)
	}
	if got := s.Events(r.ID.String()); got != "accepted filed filed" {
		t.Errorf("events: %s", got)
	}
	if story := s.Timeline(r.ID.String()); story[0].Detail.Queued != 1 {
		t.Errorf("%d queued, it says", story[0].Detail.Queued)
	}
	if got := s.Events("<one@b.test>"); got != "accepted filed filed" {
		t.Errorf("events by Message-ID: %s", got)
	}
}

func TestContentRefused(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Messages: func(s *intake.Settings) { s.MessageSize, s.HeaderSize = 5000, 1000 }})
	s.Account("alice@hayauma.test", 0)
	for _, test := range []struct{ name, content, outcome string }{
		{"content too big", hello + strings.Repeat("x", 5000), "552 5.3.4"},
		{"header too big", "X: " + strings.Repeat("x", 1000) + "\r\n" + hello, "552 5.3.4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := finish(t, begin(t, s, "alice@hayauma.test"), test.content)
			want(t, r, test.outcome)
			// The next group records it.
			testkit.Eventually(t, 10*time.Second, "the refusal in the history", func() bool {
				return s.Events(r.ID.String()) == "rejected"
			})
		})
	}
	wantCopies(t, s, 0, "alice@hayauma.test")
}

func TestLoop(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	want(t, finish(t, begin(t, s, "alice@hayauma.test"), strings.Repeat("Received: x\r\n", 101)+hello), "554 5.4.6")
	wantCopies(t, s, 0, "alice@hayauma.test")
}

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	e := &sick{}
	s := stack.New(t, e.options())
	s.Account("alice@hayauma.test", 0)
	other := errors.New("something odd")
	for _, test := range []struct {
		name    string
		where   *atomic.Pointer[error]
		err     error
		outcome string
	}{
		{"body store full while writing", &e.body, blob.ErrFull, "452 4.3.1"},
		{"body store full at the commit", &e.commit, blob.ErrFull, "452 4.3.1"},
		{"body store sealed", &e.commit, blob.ErrSealed, "451 4.3.0"},
		{"body store: another error", &e.body, other, "451 4.3.0"},
		{"body not recorded", &e.record, other, "451 4.3.0"},
		{"database full", &e.write, db.ErrFull, "452 4.3.1"},
		{"database full, wrapped", &e.write, fmt.Errorf("write: %w", db.ErrFull), "452 4.3.1"},
		{"database overloaded", &e.write, db.ErrOverloaded, "451 4.3.0"},
		{"database: another error", &e.write, other, "451 4.3.0"},
	} {
		test.where.Store(&test.err)
		t.Run(test.name, func(t *testing.T) {
			want(t, finish(t, begin(t, s, "alice@hayauma.test", "x@elsewhere.test"), hello), test.outcome)
		})
		test.where.Store(nil)
		wantCopies(t, s, 0, "alice@hayauma.test")
		if q := s.Queued(); len(q) != 0 {
			t.Errorf("%s: queued %+v", test.name, q)
		}
	}
	// Nothing of the failures is remembered: not even as a repeat.
	want(t, finish(t, begin(t, s, "alice@hayauma.test"), hello), "250")
	wantCopies(t, s, 1, "alice@hayauma.test")
}

func TestVanishedAccounts(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	some := begin(t, s, "alice@hayauma.test", "bob@hayauma.test")
	all := begin(t, s, "alice@hayauma.test")
	remote := begin(t, s, "alice@hayauma.test", "x@elsewhere.test")
	if err := s.Directory.RemoveAccount(t.Context(), s.Address("alice@hayauma.test")); err != nil {
		t.Fatal(err)
	}
	r := finish(t, some, hello)
	want(t, r, "250")
	wantCopies(t, s, 1, "bob@hayauma.test")
	wantTold(t, s, r, "accepted filed failed bounced", "alice@hayauma.test")
	want(t, finish(t, all, hello), "451 4.3.0")
	want(t, finish(t, remote, hello), "250")
	tx := s.Intake.Begin(origin, mail.Envelope{})
	defer tx.Abort()
	if target, fault := tx.Resolve(t.Context(), s.Address("alice@hayauma.test")); fault != nil || len(target.Accounts) != 0 {
		t.Errorf("when the sender tries again: %+v, %v", target, fault)
	}
}

// wantTold waits for the history of a message, and until the sender has one report on
// a recipient in the queue.
func wantTold(t *testing.T, s *stack.Stack, r intake.Result, story, of string) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, "the report", func() bool { return s.Events(r.ID.String()) == story })
	q := s.Queued()
	if len(q) != 1 || !q[0].From.IsNull() || q[0].Recipients[0].Address.String() != "a@b.test" {
		t.Errorf("queue: %+v", q)
	}
	for _, e := range s.Timeline(r.ID.String()) {
		if e.Kind == event.Failed && (e.Recipient != of || e.Detail.Enhanced != "5.1.1") {
			t.Errorf("failed: %s %+v", e.Recipient, e.Detail)
		}
	}
	if n := s.Timeline(r.ID.String())[0].Detail.Queued; n != 1 {
		t.Errorf("%d queued, it says", n)
	}
}

// TestVanishedNever: who wants to hear nothing does not.
func TestVanishedNever(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	tx := begin(t, s, "bob@hayauma.test")
	target, _ := tx.Resolve(t.Context(), alice.Address)
	if fault := tx.Add(t.Context(), mail.Recipient{Address: alice.Address, Notify: mail.NotifyNever}, target); fault != nil {
		t.Fatal(fault)
	}
	if err := s.Directory.RemoveAccount(t.Context(), alice.Address); err != nil {
		t.Fatal(err)
	}
	r := finish(t, tx, hello)
	want(t, r, "250")
	testkit.Eventually(t, 10*time.Second, "the end of it", func() bool { return s.Events(r.ID.String()) == "accepted filed failed" && len(s.Queued()) == 0 })
}

// TestMemberThatLeadsNowhere: the sender hears of it as of any other failure, and of a
// group that was expanded.
func TestMemberThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("bob@hayauma.test", 0)
	s.Alias("team@hayauma.test", "bob@hayauma.test", "bobb@hayauma.test")
	s.Alias("all@hayauma.test", "bobb@hayauma.test", "team@hayauma.test")
	r := finish(t, begin(t, s, "team@hayauma.test", "all@hayauma.test"), hello)
	want(t, r, "250")
	wantCopies(t, s, 1, "bob@hayauma.test")
	wantTold(t, s, r, "accepted filed failed bounced", "bobb@hayauma.test")

	tx := s.Intake.Begin(origin, mail.Envelope{From: s.Address("a@b.test")})
	team := mail.Recipient{Address: s.Address("team@hayauma.test"), Notify: mail.NotifySuccess | mail.NotifyFailure}
	target, _ := tx.Resolve(t.Context(), team.Address)
	if fault := tx.Add(t.Context(), team, target); fault != nil {
		t.Fatal(fault)
	}
	both := finish(t, tx, "Message-ID: <s@b.test>\r\n\r\nx\r\n")
	want(t, both, "250")
	testkit.Eventually(t, 10*time.Second, "both reports", func() bool { return len(s.Queued()) == 3 })
	over := finish(t, beginAt(t, s, mail.DoorLMTP, "team@hayauma.test"), "Message-ID: <l@b.test>\r\n\r\nx\r\n")
	wantEach(t, over, "250")
	testkit.Eventually(t, 10*time.Second, "the report", func() bool { return s.Events(over.ID.String()) == "accepted filed failed bounced" })
}

// TestAliasThatGrewTooLong: its mail is put off, and the reply says why.
func TestAliasThatGrewTooLong(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("bob@hayauma.test", 0)
	groups := []string{"g0@hayauma.test", "g1@hayauma.test", "g2@hayauma.test"}
	s.Alias("all@hayauma.test", groups...)
	for i, group := range groups {
		var to []string
		for j := range 400 {
			to = append(to, fmt.Sprintf("n%d-%d@elsewhere.test", i, j))
		}
		s.Alias(group, to...)
	}
	_, fault := s.Intake.Resolve(t.Context(), s.Address("all@hayauma.test"))
	if said(fault) != "450 4.2.4" || !strings.Contains(fault.Public, "too many others") {
		t.Errorf("%v", fault)
	}
}

// TestVanishedOverLMTP: each recipient has a reply of its own (RFC 2033 §4.2); for a
// member of a group there is none.
func TestVanishedOverLMTP(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	for _, name := range []string{"alice", "bob", "carol"} {
		s.Account(name+"@hayauma.test", 0)
	}
	s.Alias("boss@hayauma.test", "alice@hayauma.test")
	s.Alias("team@hayauma.test", "bob@hayauma.test", "carol@hayauma.test")
	tx := beginAt(t, s, mail.DoorLMTP, "boss@hayauma.test", "team@hayauma.test", "alice@hayauma.test", "x@elsewhere.test")
	for _, name := range []string{"alice", "carol"} {
		if err := s.Directory.RemoveAccount(t.Context(), s.Address(name+"@hayauma.test")); err != nil {
			t.Fatal(err)
		}
	}
	r := finish(t, tx, hello)
	wantEach(t, r, "550 5.1.1", "250", "550 5.1.1", "250")
	wantCopies(t, s, 1, "bob@hayauma.test")
	testkit.Eventually(t, 10*time.Second, "the report on carol", func() bool {
		return s.Events(r.ID.String()) == "accepted failed filed failed bounced"
	})
}

// wantEach compares the outcomes of LMTP.
func wantEach(t *testing.T, r intake.Result, outcomes ...string) {
	t.Helper()
	for i, f := range r.Each {
		if got := said(f); got != outcomes[i] {
			t.Errorf("recipient %d: %s (%v), want %s", i, got, f, outcomes[i])
		}
	}
}

// A group of messages that cannot commit costs only the one that is to blame.
func TestOneBadEntryCostsItsNeighboursNothing(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	const n = 20
	results := make(chan intake.Result, n)
	bad := errors.New("bad rows")
	for i := range n {
		tx := begin(t, s, "alice@hayauma.test")
		if i == n/2 {
			tx.Also(func(*db.Tx) error { return bad })
		}
		go func() {
			_, _ = fmt.Fprintf(tx, "Subject: %d\r\n\r\nx\r\n", i) // its fault is that of Commit
			results <- tx.Commit(context.WithoutCancel(t.Context()))
		}()
	}
	failed := 0
	for range n {
		if r := <-results; r.Fault != nil {
			failed++
			want(t, r, "451 4.3.0")
		}
	}
	if failed != 1 {
		t.Errorf("%d failed, want 1", failed)
	}
	wantCopies(t, s, n-1, "alice@hayauma.test")
}

// TestMoreThanDeclared: SIZE is the client's word, what comes is measured.
func TestMoreThanDeclared(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	for i := range 2 {
		s.Account(fmt.Sprintf("tiny%d@hayauma.test", i), 2000)
	}
	s.Account("bob@hayauma.test", 0)
	n := 0
	content := func(octets int) string {
		n++
		return fmt.Sprintf("Message-ID: <%d@b.test>\r\n\r\n%s\r\n", n, strings.Repeat("x", octets))
	}
	// Each finds room at RCPT, where nothing was said of a size.
	first, second := begin(t, s, "tiny0@hayauma.test"), begin(t, s, "tiny0@hayauma.test")
	want(t, finish(t, begin(t, s, "tiny0@hayauma.test"), content(2000)), "552 5.2.2")
	want(t, finish(t, first, content(1000)), "250")
	want(t, finish(t, second, content(1000)), "452 4.2.2")
	wantCopies(t, s, 1, "tiny0@hayauma.test")
	// Of several, those without room wait.
	r := finish(t, begin(t, s, "tiny0@hayauma.test", "tiny1@hayauma.test", "bob@hayauma.test"), content(1000))
	want(t, r, "250")
	wantCopies(t, s, 1, "tiny0@hayauma.test", "tiny1@hayauma.test", "bob@hayauma.test")
	if q := s.Queued(); len(q) != 1 || len(q[0].Recipients) != 1 || q[0].Recipients[0].Address.String() != "tiny0@hayauma.test" {
		t.Errorf("queue: %+v", q)
	}
	// Over LMTP each has its own answer.
	r = finish(t, beginAt(t, s, mail.DoorLMTP, "tiny0@hayauma.test", "bob@hayauma.test", "tiny1@hayauma.test"), content(1000))
	wantEach(t, r, "452 4.2.2", "250", "452 4.2.2")
	if got := s.Events(r.ID.String()); got != "accepted failed failed filed" {
		t.Errorf("events: %s", got)
	}
	r = finish(t, beginAt(t, s, mail.DoorLMTP, "tiny0@hayauma.test", "tiny1@hayauma.test"), content(3000))
	wantEach(t, r, "552 5.2.2", "552 5.2.2")
	wantCopies(t, s, 2, "bob@hayauma.test")
	// What was kept free is free again.
	want(t, finish(t, begin(t, s, "tiny1@hayauma.test"), content(300)), "250")
}

// TestLargerThanTheQuota: for whom a message never finds room it does not wait, so that
// the sender hears of it at once.
func TestLargerThanTheQuota(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to       []string
		declared int64
	}{
		"more came than declared": {[]string{"tiny@hayauma.test", "bob@hayauma.test"}, 1},
		"a member of a group":     {[]string{"team@hayauma.test"}, 3000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{})
			s.Account("tiny@hayauma.test", 2000)
			s.Account("bob@hayauma.test", 0)
			s.Account("writer@hayauma.test", 0)
			s.Alias("team@hayauma.test", "tiny@hayauma.test", "bob@hayauma.test")
			tx := s.Intake.Begin(origin, mail.Envelope{From: s.Address("writer@hayauma.test"), Size: c.declared})
			for _, to := range c.to {
				if fault := add(t, s, tx, to); fault != nil {
					t.Fatal(to, fault)
				}
			}
			want(t, finish(t, tx, "Subject: big\r\n\r\n"+strings.Repeat("x", 3000)+"\r\n"), "250")
			testkit.Eventually(t, 20*time.Second, "the report", func() bool { return len(s.Inbox("writer@hayauma.test")) == 1 })
			got := s.Inbox("writer@hayauma.test")[0]
			if !strings.Contains(got, "\r\nStatus: 5.2.2\r\nDiagnostic-Code: x-hayauma; The message is larger than the whole mailbox may be\r\n") {
				t.Error(got)
			}
			wantCopies(t, s, 1, "bob@hayauma.test")
			wantCopies(t, s, 0, "tiny@hayauma.test")
		})
	}
}

// TestDefaultQuota: the setting bounds the accounts that have no quota of their own, also those
// that were there before it was changed.
func TestDefaultQuota(t *testing.T) {
	t.Parallel()
	var quota atomic.Int64
	s := stack.New(t, stack.Options{DefaultQuota: quota.Load})
	s.Account("poor@hayauma.test", 0)
	s.Account("rich@hayauma.test", 0)
	if err := s.Directory.SetQuota(t.Context(), s.Address("rich@hayauma.test"), 0); err != nil {
		t.Fatal(err)
	}
	to := func(address string) string {
		tx := s.Intake.Begin(origin, mail.Envelope{From: s.Address("x@elsewhere.test"), Size: 3000})
		defer tx.Abort()
		if fault := add(t, s, tx, address); fault != nil {
			return fault.Error()
		}
		return "taken"
	}
	for _, c := range []struct {
		quota      int64
		poor, rich string
	}{{0, "taken", "taken"}, {2000, "552 5.2.2 The message is larger than the whole mailbox may be", "taken"}, {4000, "taken", "taken"}} {
		quota.Store(c.quota)
		if got := [...]string{to("poor@hayauma.test"), to("rich@hayauma.test")}; got != [...]string{c.poor, c.rich} {
			t.Errorf("mail.quota %d: %q", c.quota, got)
		}
	}
}

// What was declared is set aside until the transaction ends.
func TestReservedQuota(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("tiny@hayauma.test", 1000)
	s.Account("bob@hayauma.test", 0)
	s.Alias("mixed@hayauma.test", "tiny@hayauma.test", "bob@hayauma.test")
	s.Alias("out@hayauma.test", "tiny@hayauma.test", "x@elsewhere.test")
	open := func() *intake.Transaction {
		return s.Intake.Begin(origin, mail.Envelope{From: s.Address("a@b.test"), Size: 600})
	}
	first := open()
	if fault := add(t, s, first, "tiny@hayauma.test"); fault != nil {
		t.Fatal(fault)
	}
	second := open()
	if fault := add(t, s, second, "tiny@hayauma.test"); fault == nil || fault.Code() != 452 {
		t.Errorf("beside a reservation: %v", fault)
	}
	for _, group := range []string{"mixed@hayauma.test", "out@hayauma.test"} {
		if fault := add(t, s, second, group); fault != nil {
			t.Errorf("%s with one member over quota: %v", group, fault)
		}
	}
	first.Abort()
	third := open()
	if fault := add(t, s, third, "tiny@hayauma.test"); fault != nil {
		t.Errorf("after the reservation ended: %v", fault)
	}
	third.Abort()
	want(t, finish(t, second, hello), "250")
	wantCopies(t, s, 1, "bob@hayauma.test")
	// Who had no room is served from the queue, and by now there is room.
	testkit.Eventually(t, 10*time.Second, "the copy from the queue", func() bool {
		return len(s.Inbox("tiny@hayauma.test")) == 1
	})
}

func TestOneCopyForAnAccountReachedTwice(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	s.Alias("chief@hayauma.test", "alice@hayauma.test")
	s.Alias("team@hayauma.test", "alice@hayauma.test", "chief@hayauma.test")
	r := finish(t, begin(t, s, "chief@hayauma.test", "alice@hayauma.test", "team@hayauma.test", "ALICE+x@hayauma.test"), hello)
	want(t, r, "250")
	wantCopies(t, s, 1, "alice@hayauma.test")
	if got := s.Inbox("alice@hayauma.test")[0]; !strings.Contains(got, "\r\nDelivered-To: chief@hayauma.test\r\n") {
		t.Errorf("the copy: %q", got)
	}
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	send := func(also *atomic.Int32) intake.Result {
		tx := begin(t, s, "alice@hayauma.test", "x@elsewhere.test")
		tx.Also(func(*db.Tx) error { also.Add(1); return nil })
		r := finish(t, tx, hello)
		want(t, r, "250")
		return r
	}
	var also atomic.Int32
	first := send(&also)
	second := send(&also)
	if second.ID != first.ID {
		t.Errorf("repeat of %s is %s", first.ID, second.ID)
	}
	wantCopies(t, s, 1, "alice@hayauma.test")
	if n := also.Load(); n != 1 {
		t.Errorf("what belongs to the commit was added %d times", n)
	}
	if q := s.Queued(); len(q) != 1 {
		t.Errorf("queued %d times", len(q))
	}
	s.Intake.Confirm(second.Receipt)
	s.Intake.Confirm(second.Receipt) // harmless
	if third := send(&also); third.ID == first.ID {
		t.Error("a confirmed transaction is taken for a repeat")
	}
	wantCopies(t, s, 2, "alice@hayauma.test")
}

// What one login sends does not repeat what another one sent.
func TestTheSameFromTwoLogins(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	send := func(login mail.ID) intake.Result {
		from := origin
		from.Account = login
		tx := s.Intake.Begin(from, mail.Envelope{})
		if fault := add(t, s, tx, "alice@hayauma.test"); fault != nil {
			t.Fatal(fault)
		}
		r := finish(t, tx, hello)
		want(t, r, "250")
		return r
	}
	if one, two, again := send(1), send(2), send(1); one.ID == two.ID || one.ID != again.ID {
		t.Errorf("ids %s and %s, and of the repeat %s", one.ID, two.ID, again.ID)
	}
}

// TestQuarantineIsNoSuccess: what a rule holds was passed on to nobody.
func TestQuarantineIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		s := stack.New(t, stack.Options{Asleep: true}) // the reporter would take the report before it is counted
		s.Account("alice@hayauma.test", 0)
		s.Account("bob@hayauma.test", 0)
		s.Alias("team@hayauma.test", "alice@hayauma.test", "bob@hayauma.test")
		tx := s.Intake.Begin(origin, mail.Envelope{From: s.Address("a@b.test")})
		target, fault := tx.Resolve(t.Context(), s.Address("team@hayauma.test"))
		if fault == nil {
			fault = tx.Add(t.Context(), mail.Recipient{Address: s.Address("team@hayauma.test"), Notify: mail.NotifySuccess}, target)
		}
		if fault != nil {
			t.Fatal(fault)
		}
		if held {
			tx.Quarantine()
		}
		want(t, finish(t, tx, hello), "250")
		served, err := s.Queue.Served(t.Context(), 0, 10)
		if err != nil || held && len(served) > 0 || !held && len(served) != 1 {
			t.Errorf("held %v: %d reports of success, %v", held, len(served), err)
		}
	}
}

// Twins that arrive at the same moment are one message as well.
func TestTwins(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	const n = 30
	ids := make(chan mail.ID, n)
	for range n {
		tx := begin(t, s, "alice@hayauma.test")
		go func() {
			_, _ = tx.Write([]byte(hello)) // its fault is that of Commit
			ids <- tx.Commit(context.WithoutCancel(t.Context())).ID
		}()
	}
	first := <-ids
	for range n - 1 {
		if id := <-ids; id != first {
			t.Errorf("twins %s and %s", first, id)
		}
	}
	wantCopies(t, s, 1, "alice@hayauma.test")
}

// Local recipients beyond the first hundred are queued for the site "local".
func TestManyLocalRecipients(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	const n = 104
	owners := make([]string, n)
	for i := range owners {
		owners[i] = fmt.Sprintf("user%03d@hayauma.test", i)
		s.Account(owners[i], 0)
	}
	s.Alias("all@hayauma.test", owners...)
	r := finish(t, begin(t, s, "all@hayauma.test"), hello)
	want(t, r, "250")
	q := s.Queued()
	if len(q) != 1 || len(q[0].Recipients) != n-100 || q[0].Recipients[0].Site != queue.SiteLocal {
		t.Fatalf("queue: %+v", q)
	}
	gone := q[0].Recipients[0].Address
	if err := s.Directory.RemoveAccount(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	s.Wake()
	// What stays is the report about the account that is gone.
	testkit.Eventually(t, 20*time.Second, "all to be settled", func() bool {
		q := s.Queued()
		return len(q) == 1 && q[0].From.IsNull() && q[0].Recipients[0].Address.String() == "a@b.test"
	})
	for _, owner := range owners {
		if owner == gone.String() {
			continue
		}
		got := s.Inbox(owner)
		if len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <a@b.test>\r\nDelivered-To: ") || !strings.HasSuffix(got[0], hello) {
			t.Errorf("%s: %q", owner, got)
		}
	}
	kinds, story := map[string]int{}, s.Timeline(r.ID.String())
	for _, e := range story {
		kinds[string(e.Kind)]++
	}
	if story[0].Detail.Queued != n-100 {
		t.Errorf("%d queued, it says", story[0].Detail.Queued)
	}
	if kinds["filed"] != 100 || kinds["delivered"] != n-101 || kinds["failed"] != 1 || kinds["bounced"] != 1 || kinds["accepted"] != 1 {
		t.Errorf("events: %v", kinds)
	}
}

func TestTransactionEndsOnce(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	s.Account("alice@hayauma.test", 0)
	tx := begin(t, s, "alice@hayauma.test")
	want(t, finish(t, tx, hello), "250")
	tx.Abort() // harmless
	want(t, tx.Commit(t.Context()), "451 4.3.0")
	aborted := begin(t, s, "alice@hayauma.test")
	aborted.Abort()
	want(t, aborted.Commit(t.Context()), "451 4.3.0")
	wantCopies(t, s, 1, "alice@hayauma.test")
}

// TestOurFaultsAtHome: what our disk or database does says nothing of the site "local", and
// is not told as if the mailbox were full.
func TestOurFaultsAtHome(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	a := s.Account("full@hayauma.test", 100)
	if ok, err := s.Mailboxes.Reserve(t.Context(), a.ID, 1, a.Quota); !ok || err != nil {
		t.Fatal(ok, err)
	}
	finish(t, begin(t, s, "a@elsewhere.test"), hello)
	body := s.Queued()[0].Body
	deliver := func(body mail.ID) (o queue.Outcome) {
		t.Helper()
		job := &queue.Job{Message: &queue.Message{ID: s.IDs.Next(), Body: body, Size: 100, Envelope: mail.Envelope{From: s.Address("a@b.test")}},
			Recipients: []queue.Recipient{{ID: s.IDs.Next(), Recipient: mail.Recipient{Address: a.Address}}}}
		jobs := []*queue.Job{job, nil}
		intake.NewLocal(s.Intake, nil).Deliver(t.Context(), queue.SiteLocal, func() *queue.Job {
			next := jobs[0]
			jobs = jobs[1:]
			return next
		}, func(_ *queue.Job, list []queue.Outcome) { o = list[0] })
		return o
	}
	wants := func(o queue.Outcome, said string, aside bool) {
		t.Helper()
		if o.Result != queue.TryLater || !strings.Contains(o.Reply, said) || o.Aside != aside {
			t.Errorf("%v, aside %v: %d %s %q", o.Result, o.Aside, o.Code, o.Enhanced, o.Reply)
		}
	}
	change := func(sql string) {
		t.Helper()
		err := s.DB.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(db.SQL(sql))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wants(deliver(body), "The mailbox is full", false)
	wants(deliver(1), "could not be read here", true)
	change("UPDATE mailbox_account SET erased = 1")
	wants(deliver(body), "could not be read here", true)
	change("ALTER TABLE account RENAME TO lost")
	wants(deliver(body), "not available", true)
}
