package crash

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
	"github.com/hayauma/hayauma/test/node"
)

// balance is what became of all recipients, by "Message-ID recipient".
type balance struct {
	w       *relayWorld
	taken   map[string][]taken // at the sink
	mail    *found             // in the mailboxes of the second server
	waiting *found             // in both queues
	reports map[string]int     // in the sender's mailbox
	wrong   []string

	recipients, delivered, bounced, queued               int
	cuts, cutTwice, killedTwice, mailTwice, reportsTwice int
}

// taken is a copy of a message that the sink has kept.
type taken struct {
	host     string    // who brought it
	begun    time.Time // of the transaction: its end may lie in buffers when that process is gone
	answered bool
}

// account looks at all places where a message may be.
func (w *relayWorld) account(t *testing.T, sizes map[string]int) *balance {
	t.Helper()
	empty := func() *found {
		return &found{at: map[string]int{}, sizes: sizes, sums: map[string][32]byte{}}
	}
	b := &balance{w: w, taken: map[string][]taken{}, mail: empty(), waiting: empty(), reports: map[string]int{}}
	for n := range accounts {
		b.mail.readMail(t, w.b.IMAP, nextAccount(n))
	}
	b.waiting.readQueue(t, admin(w.a))
	b.waiting.readQueue(t, admin(w.b))
	b.readReports(t)
	for _, m := range w.sink.Messages() {
		b.take(t, m, true)
	}
	for i, m := range w.sink.Refused() {
		// The sink died before its reply: every second time before it had the
		// message as well.
		b.cuts++
		if i%2 == 0 {
			b.take(t, m, false)
		}
	}
	return b
}

func (b *balance) take(t *testing.T, m testkit.MXMessage, answered bool) {
	t.Helper()
	id, err := b.mail.verifyLoad(m.Data)
	if err != nil {
		t.Errorf("at the sink, %q: %v", id, err)
	}
	for _, r := range m.Recipients {
		key := id + " " + r.Address
		b.taken[key] = append(b.taken[key], taken{m.Helo, m.Begun, answered})
	}
}

// readReports counts who was reported to the sender, by message.
func (b *balance) readReports(t *testing.T) {
	t.Helper()
	s, err := readback.DialIMAP(t.Context(), b.w.a.IMAP, "reports", relaySender, password)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := s.ReadAll()
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	original := regexp.MustCompile(`(?m)^Message-ID: (<[a-z]+\.\d{10}@load\.invalid>)\r$`)
	recipient := regexp.MustCompile(`(?m)^Final-Recipient: rfc822; (\S+)\r$`)
	for _, m := range messages {
		id := original.FindSubmatch(m.Body)
		if id == nil || !bytes.Contains(m.Body, []byte("multipart/report")) {
			t.Errorf("uid %d of the sender is no report:\n%s", m.UID, m.Body)
			continue
		}
		for _, r := range recipient.FindAllSubmatch(m.Body, -1) {
			b.reports[string(id[1])+" "+string(r[1])]++
		}
	}
}

// compare finds the one fate of each recipient of what was confirmed.
func (b *balance) compare(t *testing.T, got *confirmed) {
	t.Helper()
	for _, m := range got.messages {
		for _, r := range m.Recipients {
			b.recipients++
			b.judge(t, m.MessageID, r)
		}
	}
	if sum := b.delivered + b.bounced + b.queued; sum != b.recipients {
		b.wrong = append(b.wrong, fmt.Sprintf("%d recipients were accepted, %d have a fate", b.recipients, sum))
	}
	if len(b.wrong) > 0 {
		t.Errorf("%d faults, the first:\n%s", len(b.wrong), strings.Join(b.wrong[:min(len(b.wrong), 20)], "\n"))
	}
	if b.delivered == 0 || b.bounced == 0 || b.queued == 0 || b.cuts == 0 {
		t.Error("a fate is missing altogether: this proved too little")
	}
}

func (b *balance) judge(t *testing.T, id, recipient string) {
	t.Helper()
	key := id + " " + recipient
	domain := recipient[strings.IndexByte(recipient, '@')+1:]
	at := map[string]int{
		"the sink": len(b.taken[key]), "a mailbox": b.mail.at[key], "a report": b.reports[key], "a queue": b.waiting.at[key],
	}
	expected := "the sink"
	switch domain {
	case nextDomain:
		expected = "a mailbox"
	case unknownDomain, goneDomain, lostDomain:
		expected = "a report"
	case neverDomain:
		expected = "a queue"
	}
	copies := at[expected]
	delete(at, expected)
	for place, n := range at {
		if n > 0 {
			b.fault("%s is in %s", key, place)
		}
	}
	if copies == 0 {
		b.fault("lost: %s", key)
		return
	}
	switch expected {
	case "a queue":
		b.queued++
	case "a report":
		b.bounced++
	default:
		b.delivered++
	}
	if copies > 1 {
		b.twice(t, id, recipient, copies)
	}
}

func (b *balance) fault(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// twice tells whether more than one copy was to be expected. SMTP cannot rule it
// out where a reply was lost, or a result was not yet written down when its
// process died; all else is a fault.
func (b *balance) twice(t *testing.T, id, recipient string, copies int) {
	t.Helper()
	key := id + " " + recipient
	path := []*node.Node{b.w.a}
	switch domain := recipient[strings.IndexByte(recipient, '@')+1:]; domain {
	case viaDomain:
		path = append(path, b.w.b)
	case nextDomain:
		b.mailTwice += copies - 1
	case lostDomain:
		path = append(path, b.w.b)
		b.reportsTwice += copies - 1
	case unknownDomain, goneDomain:
		b.reportsTwice += copies - 1 // a report and its message are one commit; see told
	case neverDomain:
		b.fault("%d times: %s", copies, key) // that is one commit
	}
	for _, n := range path {
		b.told(t, n, id, recipient)
	}
	all := b.taken[key]
	slices.SortFunc(all, func(x, y taken) int { return x.begun.Compare(y.begun) })
	for i := 1; i < len(all); i++ {
		switch first := all[i-1]; {
		case !first.answered:
			b.cutTwice++
		case b.died(path, first, all[i]):
			b.killedTwice++
		default:
			b.fault("%s came to the sink from %s and, %v later, from %s, though nobody had died", key, first.host, all[i].begun.Sub(first.begun), all[i].host)
		}
	}
}

// died tells whether there is a death behind two copies: of who brought the first
// one, since then, or of the server before it on the path, which gave it the
// message twice.
func (b *balance) died(path []*node.Node, first, second taken) bool {
	return slices.ContainsFunc(b.w.kills, func(k killed) bool {
		onPath := slices.ContainsFunc(path, func(n *node.Node) bool { return n.Host == k.host })
		return onPath && k.at.Before(second.begun) && (k.host != first.host || k.at.After(first.begun))
	})
}

// told sees to it that a server has written down no more than one delivery of a
// message to a recipient: whose result is durable does not go again. The first
// server has each message once, since its senders repeat themselves in words that
// it knows; but for one that had failed when its sender, who lost our reply, came again.
func (b *balance) told(t *testing.T, n *node.Node, id, recipient string) {
	t.Helper()
	stories, err := control.Ask(t.Context(), admin(n), control.Trace, control.MessageName{Message: id})
	if err != nil {
		t.Errorf("trace of %s at %s: %v", id, n.Host, err)
		return
	}
	if n == b.w.a && !b.failedBefore(stories) {
		b.fault("%s was accepted %d times at %s", id, len(stories), n.Host)
	}
	for _, s := range stories {
		count := 0
		for _, e := range s.Events {
			if e.Kind == event.Delivered && e.Recipient == recipient {
				count++
			}
		}
		if count > 1 {
			b.fault("%s has %d deliveries of %s to %s", n.Host, count, id, recipient)
		}
	}
}

// failedBefore tells whether of a message that the first server took more than once each
// but the last had failed when it was taken again, after a death of that server.
func (b *balance) failedBefore(stories []event.Timeline) bool {
	slices.SortFunc(stories, func(x, y event.Timeline) int { return cmp.Compare(x.Events[0].At, y.Events[0].At) })
	for i, s := range stories[:len(stories)-1] {
		began, again := s.Events[0].Time(), stories[i+1].Events[0].Time()
		failed := slices.ContainsFunc(s.Events, func(e event.Event) bool { return e.Kind == event.Failed && e.Time().Before(again) })
		died := slices.ContainsFunc(b.w.kills, func(k killed) bool {
			return k.host == b.w.a.Host && k.at.After(began) && k.at.Before(again)
		})
		if !failed || !died {
			return false
		}
	}
	return len(stories) > 0
}
