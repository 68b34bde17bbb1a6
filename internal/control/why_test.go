package control

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

func TestWhy(t *testing.T) {
	t.Parallel()
	now := mail.Micros(time.Now())
	later := now + time.Hour.Microseconds()
	l := &look{held: map[mail.ID]string{7: "too much"}, removed: map[mail.ID]bool{8: false, 9: true}, sites: func(r *queue.Recipient) (waits, busy string) {
		switch r.Site {
		case "down.test":
			return "it is down", ""
		case "busy.test":
			return "", "there are many"
		}
		return "", ""
	}, full: func(*queue.Message) string { return "" }}
	ruled := queue.Message{Tags: []string{intake.QuarantineTag + "odd names"}}
	for _, c := range []struct {
		message   queue.Message
		recipient queue.Recipient
		want      string
	}{
		{queue.Message{Received: now}, queue.Recipient{State: queue.Queued, NotBefore: now}, "its turn comes"},
		{queue.Message{Received: now}, queue.Recipient{State: queue.Queued, NotBefore: later}, "its time has not come"},
		{queue.Message{}, queue.Recipient{State: queue.Leased}, "an attempt is under way"},
		{queue.Message{}, queue.Recipient{State: queue.Leased, Site: "busy.test"}, "an attempt is under way, or its turn comes: there are many"},
		{queue.Message{}, queue.Recipient{State: queue.Leased, Site: "down.test", Wished: "deleted"}, "an attempt is under way; it is to be deleted, unless that delivers it"},
		{queue.Message{}, queue.Recipient{State: queue.Queued, Site: "busy.test"}, "its turn comes: there are many"},
		{queue.Message{}, queue.Recipient{State: queue.Deferred, Next: now, Site: "busy.test"}, "its turn comes: there are many"},
		{queue.Message{}, queue.Recipient{State: queue.Deferred, Next: later, Site: "busy.test"}, "a temporary failure"},
		{queue.Message{}, queue.Recipient{State: queue.Deferred, Site: "down.test"}, "it is down"},
		{queue.Message{}, queue.Recipient{State: queue.Queued, Site: "down.test"}, "it is down"},
		{queue.Message{}, queue.Recipient{State: queue.Queued, Next: later, Site: "down.test"}, "it is down"},
		{queue.Message{}, queue.Recipient{State: queue.Queued, Next: later}, "it was not to be tried when its turn came"},
		{queue.Message{}, queue.Recipient{State: queue.Queued, NotBefore: later, Site: "down.test"}, "its time has not come"},
		{queue.Message{}, queue.Recipient{State: queue.Held, Site: "down.test"}, "held until it is released"},
		{queue.Message{}, queue.Recipient{State: queue.Deferred, Next: later, NotBefore: later}, "a temporary failure"},
		{queue.Message{}, queue.Recipient{State: queue.Failed}, "its report is written"},
		{queue.Message{}, queue.Recipient{State: queue.Served}, "its report is written"},
		{queue.Message{}, queue.Recipient{State: queue.Held}, "held until it is released"},
		{queue.Message{Account: 7}, queue.Recipient{State: queue.Held}, "held until it is released"},
		{queue.Message{Account: 7}, queue.Recipient{State: queue.Held, Holder: queue.HeldWithAccount}, "held with its account: too much"},
		{queue.Message{Account: 7}, queue.Recipient{State: queue.Held, Holder: queue.HeldByHand}, "held by the operator"},
		{queue.Message{Account: 8}, queue.Recipient{State: queue.Held, Holder: queue.HeldWithAccount}, "held with its account, which may send again"},
		{queue.Message{Account: 9}, queue.Recipient{State: queue.Held, Holder: queue.HeldWithAccount}, "held with its account " + mail.ID(9).String() + ", which was removed"},
		{queue.Message{Account: 9}, queue.Recipient{State: queue.Held, Holder: queue.HeldByHand}, "held by the operator"},
		{queue.Message{Account: 7, Tags: []string{intake.QuarantineTag + "odd names"}}, queue.Recipient{State: queue.Held, Holder: queue.HeldWithAccount},
			"held with its account: too much"},
		{queue.Message{}, queue.Recipient{State: queue.Held, Holder: queue.HeldByHand}, "held by the operator"},
		{queue.Message{}, queue.Recipient{State: queue.Held, Holder: queue.HeldBySetting}, "held by the setting queue.hold"},
		{queue.Message{}, queue.Recipient{State: queue.Held, Holder: queue.HeldUndeletable}, "held: it was to be deleted when the server died, and may be delivered"},
		{queue.Message{Account: 8}, queue.Recipient{State: queue.Held}, "held until it is released"},
		{queue.Message{Account: 7, Tags: []string{"news", intake.QuarantineTag + "odd names"}}, queue.Recipient{State: queue.Held, Holder: queue.HeldAsItCame},
			"held by the access rule odd names"},
		{queue.Message{Tags: []string{"news"}}, queue.Recipient{State: queue.Held, Holder: queue.HeldAsItCame}, "held until it is released"},
		{ruled, queue.Recipient{State: queue.Held, Holder: queue.HeldByHand}, "held by the operator"},
		{ruled, queue.Recipient{State: queue.Held, Holder: queue.HeldBySetting}, "held by the setting queue.hold"},
		{ruled, queue.Recipient{State: queue.Held, Holder: queue.HeldUndeletable}, "held: it was to be deleted when the server died, and may be delivered"},
		{ruled, queue.Recipient{State: queue.Held}, "held until it is released"},
	} {
		if got := l.why(&c.message, &c.recipient); got != c.want {
			t.Errorf("%v: %q, want %q", c.recipient.State, got, c.want)
		}
	}
	l.full = func(*queue.Message) string { return "all are busy" }
	if got := l.why(&queue.Message{}, &queue.Recipient{State: queue.Queued, Site: "busy.test"}); got != "its turn comes: all are busy" {
		t.Errorf("%q", got)
	}
}

func TestHoldsNewMail(t *testing.T) {
	t.Parallel()
	const account = "the account is on hold: too much; 'hayauma account hold release' ends that"
	const setting = "new mail is held by the setting queue.hold; 'hayauma queue release' lets it go"
	for _, c := range []struct {
		account mail.ID
		setting bool
		want    string
	}{
		{0, false, ""}, {8, false, ""}, {7, false, account}, {8, true, setting}, {7, true, account + "; " + setting},
	} {
		if got := holds(map[mail.ID]string{7: "too much"}, c.account, c.setting); got != c.want {
			t.Errorf("%d, %v: %q", c.account, c.setting, got)
		}
	}
}
