package control_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// four puts four recipients of three messages on hold: one of nobody to
// a.test, one of alice to a.test and b.test, one of bob to b.test.
func four(t *testing.T, w way) (ids [3]string) {
	t.Helper()
	w.stack.Account("alice@hayauma.test", 0)
	w.stack.Account("bob@hayauma.test", 0)
	for i, o := range []control.Outgoing{
		{Recipients: []string{"x@a.test"}},
		{From: "alice@hayauma.test", Recipients: []string{"x@a.test", "y@b.test"}},
		{From: "bob@hayauma.test", Recipients: []string{"z@b.test"}},
	} {
		o.Message = strings.NewReader(letter)
		ids[i] = send(t, w, o).Message
	}
	return ids
}

// states are recipients with their states, "x@a.test held".
func states(t *testing.T, w way, f control.QueueFilter) string {
	t.Helper()
	var out []string
	for _, e := range ask(t, w, control.QueueList, f) {
		out = append(out, e.Recipient+" "+e.State)
	}
	return strings.Join(out, ", ")
}

func TestQueueFilters(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		if list := ask(t, w, control.QueueList, control.QueueFilter{All: true}); list == nil || len(list) != 0 {
			t.Errorf("an empty queue is %+v", list)
		}
		ids := four(t, w)
		list := ask(t, w, control.QueueList, control.QueueFilter{All: true})
		if len(list) != 4 || len(list[0].ID) != 13 || list[0].Message != ids[0] || list[0].Size < int64(len(letter)) ||
			list[0].Received == "" || list[0].Expires <= list[0].Received || list[0].Next != "" {
			t.Fatalf("list %+v", list)
		}
		const all = "x@a.test held, x@a.test held, y@b.test held, z@b.test held"
		for want, f := range map[string]control.QueueFilter{
			all:                            {All: true},
			"x@a.test held, x@a.test held": {Domain: "A.test"},
			"x@a.test held, y@b.test held": {Sender: "Alice@hayauma.test"},
			"x@a.test held":                {Sender: "<>"},
			"z@b.test held":                {Sender: "bob@hayauma.test", Domain: "b.test", State: "held"},
			"y@b.test held":                {IDs: []string{list[2].ID}},
			"x@a.test held, z@b.test held": {IDs: []string{ids[0], strings.ToUpper(ids[2])}},
			"":                             {State: "deferred"},
			all + " ":                      {State: "held"},
			all + "  ":                     {All: true, Limit: 100},
		} {
			if got := states(t, w, f); got != strings.TrimRight(want, " ") {
				t.Errorf("%+v: %s, want %s", f, got, want)
			}
		}
		if got := states(t, w, control.QueueFilter{All: true, Limit: 3}); strings.Count(got, "held") != 3 {
			t.Errorf("three of four are %s", got)
		}
		if got := states(t, w, control.QueueFilter{Tenant: "main"}); got != all {
			t.Errorf("of the tenant: %s", got)
		}
		if got := states(t, w, control.QueueFilter{Provider: "b.test"}); got != "y@b.test held, z@b.test held" {
			t.Errorf("of a provider: %s", got)
		}
		for _, f := range []control.QueueFilter{{Stream: "none"}, {Account: "alice@hayauma.test"}, {Account: ids[0]}} {
			if got := states(t, w, f); got != "" {
				t.Errorf("%+v: %s", f, got)
			}
		}
		refused(t, w, control.QueueList, control.QueueFilter{Tenant: "mine"}, `mine: there is no such tenant`)
		refused(t, w, control.QueueList, control.QueueFilter{Account: "alice"}, `alice: not a valid mail address`)
		refused(t, w, control.QueueList, control.QueueFilter{Account: "carol@hayauma.test"}, `carol@hayauma.test: there is no such account`)
		refused(t, w, control.QueueList, control.QueueFilter{}, "say which messages: ids, a domain, a route, a sender, a state, a host, a provider, a reply, a class, a tag, a stream, an account, a tenant, an age, or all")
		refused(t, w, control.QueueList, control.QueueFilter{IDs: []string{"x"}}, `"x": not an id (13 letters and digits)`)
		refused(t, w, control.QueueList, control.QueueFilter{Domain: "a b"}, `"a b": not a valid domain name`)
		refused(t, w, control.QueueList, control.QueueFilter{Sender: "@"}, `"@": not a valid mail address`)
		refused(t, w, control.QueueList, control.QueueFilter{State: "lost"},
			`"lost" is no state: use queued, leased, deferred, failed, held or served`)
	})
}

// TestRemovedAccount: what an account sent that was removed while it was on hold is told
// of, and goes on or out by the verbs of the queue.
func TestRemovedAccount(t *testing.T) {
	t.Parallel()
	o := options()
	o.Deliverer = stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome { return queue.Outcome{Result: queue.TryLater} })
	both(t, o, func(t *testing.T, w way) {
		const eve = "eve@hayauma.test"
		acc := w.stack.Account(eve, 0)
		id := acc.ID.String()
		for _, to := range []string{"x@far.test", "y@far.test", "z@far.test"} {
			tx := w.stack.Intake.Begin(mail.Origin{Door: mail.DoorSubmission, Account: acc.ID}, mail.Envelope{From: acc.Address})
			if fault := tx.Add(t.Context(), mail.Recipient{Address: w.stack.Address(to)}, account.Target{Kind: account.Elsewhere}); fault != nil {
				t.Fatal(fault)
			}
			_, _ = tx.Write([]byte(letter)) // its fault is that of Commit
			if r := tx.Commit(t.Context()); r.Fault != nil {
				t.Fatal(r.Fault)
			}
			if to == "y@far.test" {
				if n, err := w.stack.Queue.HoldAccount(t.Context(), acc.ID); n.All() != 2 || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		got := ask(t, w, control.AccountRemove, control.AccountName{Address: eve})
		if want := (control.AccountLeft{ID: id, Waiting: 3, Held: 2}); !cmp.Equal(got, want) {
			t.Errorf("it leaves %+v, want %+v", got, want)
		}
		theirs := control.QueueFilter{Account: id}
		held := ask(t, w, control.QueueList, theirs)[0]
		if want := "held with its account " + id + ", which was removed"; held.Why != want ||
			ask(t, w, control.QueueShow, control.MessageName{Message: held.Message}).Entries[0].Why != want {
			t.Errorf("%q, want %q", held.Why, want)
		}
		ask(t, w, control.QueueRelease, control.QueueFilter{IDs: []string{held.Message}})
		if got := states(t, w, theirs); got != "x@far.test queued, y@far.test held, z@far.test queued" {
			t.Errorf("one is released: %s", got)
		}
		if got := ask(t, w, control.QueueRelease, theirs); got.Recipients != 1 {
			t.Errorf("%d were left to release", got.Recipients)
		}
		if got := ask(t, w, control.QueueDelete, theirs); got.Recipients != 3 {
			t.Errorf("%d were left to delete", got.Recipients)
		}
	})
}

func TestQueueShow(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		ids := four(t, w)
		got := ask(t, w, control.QueueShow, control.MessageName{Message: ids[1]})
		if len(got.Entries) != 2 || got.Entries[0].Sender != "alice@hayauma.test" {
			t.Errorf("recipients %+v", got.Entries)
		}
		if !strings.Contains(got.Header, "Subject: Hello\r\n") || !strings.HasPrefix(got.Header, "Received: ") || strings.Contains(got.Header, "\r\n\r\n") {
			t.Errorf("header %q", got.Header)
		}
		refused(t, w, control.QueueShow, control.MessageName{Message: "one@hayauma.test"},
			`"one@hayauma.test": not an id (13 letters and digits)`)
		refused(t, w, control.QueueShow, control.MessageName{Message: w.stack.IDs.Next().String()},
			"the queue holds no message or recipient with this id")

		bare := send(t, w, control.Outgoing{Recipients: []string{"x@a.test"}, Message: strings.NewReader("Subject: Only a header\r\n")})
		if got := ask(t, w, control.QueueShow, control.MessageName(bare)); !strings.Contains(got.Header, "Only a header") {
			t.Errorf("header %q", got.Header)
		}
	})
}

func TestQueueVerbs(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		ids := four(t, w)
		all := control.QueueFilter{All: true}
		touched := func(call control.Call[control.QueueFilter, control.Touched], f control.QueueFilter, n int, want string) {
			t.Helper()
			if got := ask(t, w, call, f).Recipients; got != n {
				t.Errorf("%s %+v touched %d, want %d", call.Name, f, got, n)
			}
			if got := states(t, w, all); got != want {
				t.Errorf("after %s %+v: %s, want %s", call.Name, f, got, want)
			}
		}
		touched(control.QueueRelease, control.QueueFilter{Domain: "a.test"}, 2, "x@a.test queued, x@a.test queued, y@b.test held, z@b.test held")
		touched(control.QueueHold, control.QueueFilter{IDs: ids[:2]}, 2, "x@a.test held, x@a.test held, y@b.test held, z@b.test held")
		touched(control.QueueRelease, control.QueueFilter{Sender: "<>"}, 1, "x@a.test queued, x@a.test held, y@b.test held, z@b.test held")
		touched(control.QueueRetry, all, 0, "x@a.test queued, x@a.test held, y@b.test held, z@b.test held")
		touched(control.QueueBounce, control.QueueFilter{Sender: "bob@hayauma.test"}, 1, "x@a.test queued, x@a.test held, y@b.test held, z@b.test failed")
		touched(control.QueueDelete, control.QueueFilter{State: "held"}, 2, "x@a.test queued, z@b.test failed")
		if got := w.stack.Events(ids[1]); got != "accepted released held deleted deleted" {
			t.Errorf("events %s", got)
		}
		w.stack.WakeReporter()
		testkit.Eventually(t, patience, "bob's report", func() bool { return len(w.stack.Inbox("bob@hayauma.test")) == 1 })
	})
}

// What is under way is not done yet: the verbs count it apart, and the list says what is
// to become of it.
func TestQueueVerbsUnderWay(t *testing.T) {
	t.Parallel()
	const under = "an attempt is under way; it is to be deleted, unless that delivers it"
	goOn := make(chan struct{})
	w := dialled(t, stack.Options{Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome {
		<-goOn
		return queue.Outcome{Result: queue.Delivered, Code: 250}
	})})
	sent := send(t, w, control.Outgoing{Recipients: []string{"x@a.test"}, Message: strings.NewReader(letter)})
	leased := control.QueueFilter{State: "leased"}
	testkit.Eventually(t, patience, "an attempt", func() bool { return len(ask(t, w, control.QueueList, leased)) == 1 })
	for _, call := range []control.Call[control.QueueFilter, control.Touched]{control.QueueHold, control.QueueBounce, control.QueueDelete} {
		for _, dry := range []bool{true, false} {
			got := ask(t, w, call, control.QueueFilter{IDs: []string{sent.Message}, DryRun: dry})
			if want := (control.Touched{UnderWay: 1, Untold: 1}); got != want {
				t.Errorf("%s, dry %v: %+v, want %+v", call.Name, dry, got, want)
			}
		}
	}
	if got := ask(t, w, control.QueueList, leased)[0].Why; got != under {
		t.Errorf("why: %s, want %s", got, under)
	}
	close(goOn)
	testkit.Eventually(t, patience, "an empty queue", func() bool { return states(t, w, control.QueueFilter{All: true}) == "" })
	if got := w.stack.Events(sent.Message); got != "accepted delivered" {
		t.Errorf("events %s", got)
	}
}

func TestRecall(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		ids := four(t, w)
		if got := ask(t, w, control.Recall, control.MessageName{Message: ids[1]}).Recipients; got != 2 {
			t.Errorf("%d recipients", got)
		}
		if got := w.stack.Events(ids[1]); got != "accepted recalled recalled" {
			t.Errorf("events %s", got)
		}
		refused(t, w, control.Recall, control.MessageName{Message: ids[1]}, "no message with this id waits: it has arrived everywhere, was never taken, or was taken back already; see 'hayauma trace'")
		refused(t, w, control.Recall, control.MessageName{Message: "one"}, `"one": not an id (13 letters and digits)`)
	})
}

// TestRecallOfWhatIsFiled: what is in a mailbox here cannot be taken back from those who
// still wait for it.
func TestRecallOfWhatIsFiled(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("bob@hayauma.test", 0)
		id := send(t, w, control.Outgoing{Recipients: []string{"bob@hayauma.test", "x@a.test"}, Message: strings.NewReader(letter)}).Message
		refused(t, w, control.Recall, control.MessageName{Message: id}, queue.ErrTooLate.Error())
		if got := states(t, w, control.QueueFilter{All: true}); got != "x@a.test held" {
			t.Errorf("the queue: %s", got)
		}
		if got := w.stack.Events(id); got != "accepted filed" {
			t.Errorf("events %s", got)
		}
	})
}

func TestQueueVerbsOnNothing(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		ids := four(t, w)
		for _, call := range []control.Call[control.QueueFilter, control.Touched]{
			control.QueueRetry, control.QueueHold, control.QueueRelease, control.QueueBounce, control.QueueDelete,
		} {
			refused(t, w, call, control.QueueFilter{}, "say which messages: ids, a domain, a route, a sender, a state, a host, a provider, a reply, a class, a tag, a stream, an account, a tenant, an age, or all")
			refused(t, w, call, control.QueueFilter{Before: "monday"}, `"monday" is no time: parsing time "monday" as "2006-01-02T15:04:05Z07:00": cannot parse "monday" as "2006"`)
			refused(t, w, call, control.QueueFilter{IDs: []string{w.stack.IDs.Next().String()}},
				"no such message or recipient in the queue, or its state does not allow this")
			refused(t, w, call, control.QueueFilter{State: "lost"}, `"lost" is no state: use queued, leased, deferred, failed, held or served`)
			if n := ask(t, w, call, control.QueueFilter{Domain: "nobody.test"}).Recipients; n != 0 {
				t.Errorf("%s touched %d of nobody's", call.Name, n)
			}
		}
		refused(t, w, control.QueueRetry, control.QueueFilter{IDs: ids[:1]}, // it is on hold
			"no such message or recipient in the queue, or its state does not allow this")
	})
}

func TestQueueRetryOfDeferred(t *testing.T) {
	t.Parallel()
	both(t, stack.Options{Deliverer: stack.Deliver(later)}, func(t *testing.T, w way) {
		deferred := control.QueueFilter{State: "deferred"}
		sent := send(t, w, control.Outgoing{Recipients: []string{"x@a.test"}, Message: strings.NewReader(letter)})
		await := func(attempts int) control.QueueEntry {
			t.Helper()
			var list []control.QueueEntry
			testkit.Eventually(t, patience, "an attempt", func() bool {
				list = ask(t, w, control.QueueList, deferred)
				return len(list) == 1 && list[0].Attempts == attempts
			})
			return list[0]
		}
		got := await(1)
		want := control.QueueEntry{Message: sent.Message, State: "deferred", Why: "a temporary failure", Recipient: "x@a.test", Attempts: 1, Code: 451, Enhanced: "4.7.1", Reply: "Come again", Host: "mx.elsewhere.test", Class: "policy",
			ID: got.ID, Size: got.Size, Received: got.Received, Next: got.Next, Expires: got.Expires, Sender: got.Sender}
		if diff := cmp.Diff(want, got); diff != "" || got.Next <= got.Received || strings.Trim(got.Sender, "<>") != "" {
			t.Errorf("entry %+v (-want +got):\n%s", got, diff)
		}
		for class, want := range map[string]int{"policy": 1, "full": 0} {
			if n := len(ask(t, w, control.QueueList, control.QueueFilter{Class: class})); n != want {
				t.Errorf("%d are %s", n, class)
			}
			if n := ask(t, w, control.QueueHold, control.QueueFilter{Class: class, DryRun: true}).Recipients; n != want {
				t.Errorf("%d that are %s would be held", n, class)
			}
		}
		refused(t, w, control.QueueBounce, control.QueueFilter{Class: "fool"}, `"fool" is no class: use one of `+control.Classes())
		if n := ask(t, w, control.QueueRetry, control.QueueFilter{IDs: []string{sent.Message}}).Recipients; n != 1 {
			t.Errorf("touched %d", n)
		}
		await(2)
	})
}

// The verbs and an alias to nobody known: what is listed is what was sent.
func TestQueueOfAnAliasThatLeadsAway(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		ask(t, w, control.AliasAdd, account.Alias{Address: "away@hayauma.test", Targets: []string{"x@a.test", "y@b.test"}})
		send(t, w, control.Outgoing{Recipients: []string{"away@hayauma.test"}, Message: strings.NewReader(letter)})
		if got := states(t, w, control.QueueFilter{All: true}); got != "x@a.test held, y@b.test held" {
			t.Errorf("queue %s", got)
		}
	})
}
