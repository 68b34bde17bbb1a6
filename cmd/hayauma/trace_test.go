package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

func TestTimeline(t *testing.T) {
	t.Parallel()
	at := func(second int) int64 {
		return mail.Micros(time.Date(2026, 1, 2, 3, 4, second, 0, time.Local))
	}
	next := time.Date(2026, 1, 2, 3, 9, 0, 0, time.Local).Format(time.RFC3339)
	events := []event.Event{
		{At: at(5), Kind: event.Accepted, Detail: event.Detail{
			From: "a@one.test", Recipients: []string{"b@two.test"}, Door: "submission", Peer: "127.0.0.1:999", Helo: "me.test",
			Login: "a@one.test", TLS: "TLSv1.3 X", Size: 5120, MessageID: "<m@x>", Subject: "bad \x1b[31m", Queued: 1, Tags: []string{"news", "quarantine:odd"}, Held: "odd", Wishes: "TLS all the way",
		}},
		{At: at(7), Kind: event.Deferred, Recipient: "b@two.test", Detail: event.Detail{
			Host: "mx.two.test", Peer: "127.0.0.3:25", Local: "127.0.0.7", Code: 451, Enhanced: "4.7.1", Reply: "451 4.7.1 come\r\nlater", Class: "policy", Attempt: 1, Millis: 25, Next: next,
		}},
		{At: at(8), Kind: event.Failed, Recipient: "b@two.test", Detail: event.Detail{Ours: true, Code: 550, Enhanced: "5.4.4", Reply: "no such domain", Attempt: 2,
			Before: []string{time.Date(2026, 1, 2, 3, 4, 6, 0, time.Local).Format(time.RFC3339) + " mx.two.test[127.0.0.3]: 554 no \x07"},
		}},
		{At: at(9), Kind: event.Bounced, Recipient: "b@two.test", Detail: event.Detail{From: "a@one.test", Other: "0abc"}},
		{At: at(10), Kind: event.Bounced, Recipient: "a@one.test", Detail: event.Detail{Code: 550, Reply: "no", Reason: "he could not be told", Other: "0abc"}},
		{At: at(11), Kind: event.Accepted, Detail: event.Detail{Door: "bounce", Other: "0abb"}},
	}
	var out strings.Builder
	printTimeline(&out, event.Timeline{Message: 1, Events: events})
	want := `message 0000000000001
2026-01-02 03:04:05.000  accepted
    sender      a@one.test
    to          b@two.test
    queued      for 1 of them, held by the access rule odd: see 'hayauma queue list --state held'
    tags        news, quarantine:odd
    peer        127.0.0.1:999 helo me.test by submission
    login       a@one.test
    tls         TLSv1.3 X
    wishes      TLS all the way
    message-id  <m@x>
    subject     bad �[31m
    size        5.1 KB
2026-01-02 03:04:07.000  deferred b@two.test
    host        mx.two.test [127.0.0.3:25]
    from        127.0.0.7
    tls         none
    reply       451 4.7.1 come later
    class       policy
    attempt     1, took 25ms
    next try    2026-01-02 03:09:00
2026-01-02 03:04:08.000  failed b@two.test
    earlier     03:04:06 mx.two.test[127.0.0.3]: 554 no �
    finding     550 5.4.4 no such domain
    attempt     2, took 0s
2026-01-02 03:04:09.000  bounced b@two.test
    told        a@one.test
    report      message 0abc ('hayauma trace 0abc' tells its story)
2026-01-02 03:04:10.000  bounced a@one.test
    reply       550 no
    reason      he could not be told
    report      message 0abc ('hayauma trace 0abc' tells its story)
2026-01-02 03:04:11.000  accepted
    sender      <>
    peer        by bounce
    about       message 0abb ('hayauma trace 0abb' tells its story)
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
