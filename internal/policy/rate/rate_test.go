package rate_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

func TestEachLimit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		rule string
		span time.Duration // and its slot
		says string
	}{
		{"messages_per_minute", 65 * time.Second, "This account has reached its limit of 3 messages within a minute: try again in about a minute, or ask"},
		{"messages_per_hour", 65 * time.Minute, "has reached its limit of 3 messages within an hour: try again in about 65 minutes"},
		{"messages_per_day", 25 * time.Hour, "has reached its limit of 3 messages within a day: try again in about 25 hours"},
		{"recipients_per_minute", 65 * time.Second, "has reached its limit of 3 recipients within a minute"},
		{"recipients_per_hour", 65 * time.Minute, "has reached its limit of 3 recipients within an hour"},
		{"recipients_per_day", 25 * time.Hour, "has reached its limit of 3 recipients within a day"},
		{"new_recipients_per_day", 25 * time.Hour, "has reached its limit of 3 new addresses within a day: try again in about 25 hours, write to those it knows, or ask"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int64{row.rule: 3})
			if got := w.sends(5); got != 3 {
				t.Fatalf("%d of 5 taken", got)
			}
			_, fault := w.begin(from(alice), to(9))
			if fault == nil || !strings.Contains(fault.Public, row.says) || fault.Code() != 450 || fault.Enhanced() != "4.7.1" {
				t.Errorf("said %v\nwant %q", fault, row.says)
			}
			if !w.send(from(bob), to(1)) {
				t.Error("another account is put off as well")
			}
			w.hands.pass(row.span)
			for i := range 5 {
				w.send(from(alice), to(100+i)) // addresses that are new again
			}
			if used := w.used(alice, row.rule); used != 3 {
				t.Errorf("%d count after the span, want 3", used)
			}
		})
	}
}

// TestLoweredLimit: who has sent more than a limit that was lowered since is not told
// that he has sent less.
func TestLoweredLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_hour": 10})
	w.sends(7)
	w.must(w.SetLimits(t.Context(), rate.ForAccount(alice), map[string]int64{"messages_per_hour": 3}))
	_, fault := w.begin(from(alice), to(1))
	if fault == nil || strings.Contains(fault.Public, "sent 3") || !strings.Contains(fault.Public, "has reached its limit of 3 messages within an hour: try again in about 65 minutes") {
		t.Errorf("said %v", fault)
	}
}

func (w *world) used(id mail.ID, rule string) int64 {
	w.t.Helper()
	return w.usedOf(rate.ForAccount(id), rule)
}

func (w *world) usedOf(n rate.Subject, rule string) int64 {
	w.t.Helper()
	list, err := w.Usage(context.Background(), n)
	w.must(err)
	for _, u := range list {
		if u.Rule == rule {
			return u.Used
		}
	}
	w.t.Fatalf("no rule %s", rule)
	return 0
}

func TestKnownRecipientsAreNotNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"new_recipients_per_day": 2})
	if !w.send(from(alice), to(1), to(2), to(1)) {
		t.Fatal("two new addresses, one of them twice, are put off")
	}
	if w.send(from(alice), to(3)) {
		t.Error("a third one is taken")
	}
	if !w.send(from(alice), to(1), to(2)) {
		t.Error("those that are known are put off")
	}
	w.hands.pass(29 * 24 * time.Hour)
	w.restart()
	w.must(w.Sweep(context.Background()))
	if !w.send(from(alice), to(1), to(2), to(3)) || w.used(alice, "new_recipients_per_day") != 1 {
		t.Error("after 29 days they should be known still")
	}
	w.hands.pass(32 * 24 * time.Hour)
	w.must(w.Sweep(context.Background()))
	w.restart()
	if w.send(from(alice), to(1), to(2), to(3)) || !w.send(from(alice), to(1), to(2)) {
		t.Error("after 32 days all should be new again")
	}
	if !w.send(from(bob), to(1)) || w.used(bob, "new_recipients_per_day") != 1 {
		t.Error("whom another account knows should be new to this one")
	}
}

func TestNothingIsRememberedWithoutALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sends(3)
	var n int
	w.must(w.db.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM send_contact"), nil, &n)
	}))
	if n != 0 {
		t.Errorf("%d contacts kept", n)
	}
}

func TestWhatIsNotAcceptedDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_day": 2, "recipients_per_day": 3})
	for range 10 {
		r, fault := w.open(from(alice), to(1), to(2))
		if fault != nil {
			t.Fatal(fault)
		}
		r.Withdraw()
		if fault := r.Keep(t.Context()); fault != nil {
			t.Fatal(fault)
		}
		err := w.db.Write(t.Context(), func(tx *db.Tx) error {
			w.must(w.Commit(tx, r))
			return errBroken // as a neighbour in the group
		})
		if err == nil {
			t.Fatal("committed")
		}
		r.Release()
		r.Release()
	}
	for _, rule := range []string{"messages_per_day", "recipients_per_day"} {
		if got := w.used(alice, rule); got != 0 {
			t.Errorf("%s: %d", rule, got)
		}
	}
	w.restart()
	if got := w.sends(5); got != 2 {
		t.Errorf("%d of 5 taken, want 2", got)
	}
}

func TestWithdrawGivesRoomBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"recipients_per_day": 2, "new_recipients_per_day": 2})
	r, fault := w.open(from(alice), to(1))
	if fault != nil {
		t.Fatal(fault)
	}
	for i := range 5 {
		if fault := r.Recipient(t.Context(), to(10+i)); fault != nil {
			t.Fatal(fault)
		}
		r.Withdraw()
	}
	if fault := r.Keep(t.Context()); fault != nil {
		t.Fatal(fault)
	}
	w.must(w.commit(r))
	if got := w.used(alice, "recipients_per_day"); got != 1 {
		t.Errorf("%d recipients count", got)
	}
	if got := w.used(alice, "new_recipients_per_day"); got != 1 {
		t.Errorf("%d new recipients count", got)
	}
}

// A commit whose answer was lost may come true after its session gave up.
func TestLateCommitCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_day": 1})
	r, fault := w.begin(from(alice), to(1))
	if fault != nil {
		t.Fatal(fault)
	}
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) error {
		tx.OnCommit(r.Release)
		return w.Commit(tx, r)
	}))
	if got := w.used(alice, "messages_per_day"); got != 1 {
		t.Errorf("%d messages count", got)
	}
}

// Transactions that only stand open neither count nor keep others from sending.
func TestOpenTransactionsAreInNobodysWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	one := domainOf(t, "one.test")
	a, b := rate.Sender{Account: alice, Domain: one}, rate.Sender{Account: bob, Domain: one}
	w.must(w.SetLimits(t.Context(), rate.ForDomain(one), map[string]int64{"messages_per_hour": 2, "recipients_per_hour": 5}))
	var open []*rate.Reservation
	for range 9 {
		r, fault := w.open(b, to(1), to(2), to(3))
		if fault != nil {
			t.Fatal(fault)
		}
		open = append(open, r)
	}
	for _, rule := range []string{"messages_per_hour", "recipients_per_hour"} {
		if n := w.usedOf(rate.ForDomain(one), rule); n != 0 {
			t.Errorf("%s: %d used by a domain that has sent nothing", rule, n)
		}
	}
	w.hands.pass(20 * time.Minute)
	for range 2 {
		if !w.send(a, to(1)) {
			t.Error("another account of the domain is put off")
		}
	}
	w.hands.pass(30 * time.Minute)
	for _, r := range open {
		if fault := r.Keep(t.Context()); fault == nil || !strings.Contains(fault.Public, "has reached its limit of 2 messages within an hour: try again in about 35 minutes") {
			t.Fatalf("beyond the limit: %v", fault)
		}
	}
}

// What is being accepted keeps its room, but is not told to be sent.
func TestCrowded(t *testing.T) {
	t.Parallel()
	const says = "This account has other messages under way that may fill its limit of 3 messages within an hour: try again in a minute"
	w := newWorld(t, map[string]int64{"messages_per_hour": 3})
	w.sends(1)
	first, fault := w.begin(from(alice), to(1))
	second, fault2 := w.begin(from(alice), to(1))
	if fault != nil || fault2 != nil {
		t.Fatal(fault, fault2)
	}
	third, fault := w.open(from(alice), to(1))
	if fault != nil {
		t.Fatalf("MAIL and RCPT: %v", fault)
	}
	if fault := third.Keep(t.Context()); fault == nil || fault.Public != says || fault.Code() != 450 || fault.Enhanced() != "4.7.1" {
		t.Errorf("said %v\nwant %q", fault, says)
	}
	if n := w.used(alice, "messages_per_hour"); n != 1 {
		t.Errorf("%d used", n)
	}
	w.must(w.commit(first))
	second.Release()
	if got := w.sends(5); got != 1 {
		t.Errorf("%d more taken, want 1", got)
	}
}

func TestParallelSessions(t *testing.T) {
	t.Parallel()
	const limit, sessions, each = 37, 50, 4
	w := newWorld(t, map[string]int64{"messages_per_day": limit, "new_recipients_per_day": limit + 5})
	var taken, failed atomic.Int64
	var all sync.WaitGroup
	for s := range sessions {
		all.Go(func() {
			for i := range each {
				r, fault := w.begin(from(alice), to(s*each+i))
				if fault != nil {
					continue
				}
				if (s+i)%5 == 0 {
					r.Release()
					failed.Add(1)
					continue
				}
				if err := w.commit(r); err != nil {
					t.Error(err)
				}
				r.Release()
				taken.Add(1)
			}
		})
	}
	all.Wait()
	for w.send(from(alice), to(1)) {
		taken.Add(1)
	}
	if taken.Load() != limit {
		t.Errorf("%d taken, want %d; %d gave up", taken.Load(), limit, failed.Load())
	}
	w.restart()
	if got := w.used(alice, "messages_per_day"); got != limit {
		t.Errorf("%d after a restart", got)
	}
}

// All of a group is one row for each subject.
func TestGroupIsOneRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	sender := rate.Sender{Account: alice, Domain: domainOf(t, "one.test"), Key: 77}
	var group []*rate.Reservation
	for i := range 20 {
		r, fault := w.begin(sender, to(i), to(i+1))
		if fault != nil {
			t.Fatal(fault)
		}
		group = append(group, r, nil)
	}
	w.must(w.commit(group...))
	var rows, messages, recipients int
	w.must(w.db.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*), max(messages), max(recipients) FROM send_count"), nil, &rows, &messages, &recipients)
	}))
	if rows != 3 || messages != 20 || recipients != 40 {
		t.Errorf("%d rows of %d messages, %d recipients", rows, messages, recipients)
	}
}

func TestDomainAndKeyHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	one := domainOf(t, "one.test")
	a := rate.Sender{Account: alice, Domain: one, Key: 77}
	b := rate.Sender{Account: bob, Domain: one}
	w.must(w.SetLimits(t.Context(), rate.ForDomain(one), map[string]int64{"messages_per_day": 3}))
	w.must(w.SetLimits(t.Context(), rate.ForKey(77), map[string]int64{"messages_per_day": 1}))
	if !w.send(a, to(1)) || w.send(a, to(1)) {
		t.Error("the key's limit of 1")
	}
	if _, fault := w.begin(a, to(1)); fault == nil || !strings.HasPrefix(fault.Public, "This API key has reached its limit of 1 message within") {
		t.Errorf("said %v", fault)
	}
	for i := range 3 {
		if taken := w.send(b, to(1)); taken != (i < 2) {
			t.Errorf("the domain's limit of 3: message %d taken %v", i+2, taken)
		}
	}
	if _, fault := w.begin(b, to(1)); fault == nil || !strings.HasPrefix(fault.Public, "The domain of this account has reached its limit of 3 messages") {
		t.Errorf("said %v", fault)
	}
}

func TestNobodyIsNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_day": 1})
	for range 3 {
		r, fault := w.begin(rate.Sender{}, to(1))
		if r != nil || fault != nil {
			t.Fatalf("%v, %v", r, fault)
		}
		r.Withdraw()
		w.must(w.commit(r))
		r.Release()
	}
	if fault := w.Check(t.Context(), rate.Sender{}, 1000); fault != nil {
		t.Error(fault)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_day": 2, "recipients_per_day": 10})
	for recipients, want := range map[int]bool{1: true, 10: true, 11: false, 1 << 40: false} {
		if fault := w.Check(t.Context(), from(alice), recipients); (fault == nil) != want {
			t.Errorf("%d recipients: %v", recipients, fault)
		}
	}
	w.sends(2)
	if fault := w.Check(t.Context(), from(alice), 0); fault == nil {
		t.Error("a third message could be sent")
	}
}

func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"new_recipients_per_day": 1})
	w.down.Store(true)
	if _, fault := w.Begin(t.Context(), from(alice)); fault == nil || fault.Code() != 451 || fault.Cause == nil ||
		fault.Public != "We cannot look up how much you may send, please try again later" {
		t.Errorf("said %v", fault)
	}
}
