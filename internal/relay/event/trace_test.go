package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// full is an event in which nothing is left out.
func full(message mail.ID) event.Event {
	return event.Event{
		Message: message, Tenant: 3, Account: 4, At: 1_700_000_000_123_456, Kind: event.Deferred,
		Stream: "bulk", Recipient: "bob@elsewhere.test",
		Detail: event.Detail{
			From: "alice@hayauma.test", Recipients: []string{"bob@elsewhere.test", "zoë@elsewhere.test"},
			MessageID: "<one@hayauma.test>", Subject: "Grüße", Size: 5000, Door: "submission", Session: "s",
			Peer: "192.0.2.1:25", Helo: "client", Login: "alice@hayauma.test", TLS: "TLSv1.3",
			Account: "alice@hayauma.test", Mailbox: "INBOX", UID: 7, Host: "mx.elsewhere.test", Code: 451,
			Enhanced: "4.7.1", Reply: "Come \"again\"\nlater", Ours: true, Attempt: 2,
			Next: "2026-01-02T03:04:05Z", Millis: 12, Other: "other", Reason: "because",
		},
	}
}

func TestAppendAndTraceRoundTrip(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	first := h.accepted("<one@hayauma.test>")
	e := full(first.Message)
	before := mail.Micros(time.Now())
	h.append(first, e)

	lines := h.trace(first.Message.String())
	if len(lines) != 1 || lines[0].Message != first.Message || len(lines[0].Events) != 2 {
		t.Fatalf("%d timelines, want one of two events: %+v", len(lines), lines)
	}
	got := lines[0].Events
	if got[0].At < before || got[0].ID == 0 || got[0].ID >= got[1].ID {
		t.Errorf("missing ids and times are not filled in: %+v", got[0])
	}
	e.ID = got[1].ID
	if diff := cmp.Diff(e, got[1]); diff != "" {
		t.Errorf("an event came back changed (-written +read):\n%s", diff)
	}
	if !got[1].Time().Equal(time.UnixMicro(e.At)) {
		t.Errorf("time %v", got[1].Time())
	}
	// People copy ids in capitals, too.
	if diff := cmp.Diff(lines, h.trace(strings.ToUpper(first.Message.String()))); diff != "" {
		t.Errorf("the id in capitals gives something else:\n%s", diff)
	}
}

func TestAppendKeepsTheOrderGiven(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	message := h.ids.Next()
	h.append(event.Event{Message: message, Kind: event.Accepted}, event.Event{Message: message, Kind: event.Filed},
		event.Event{Message: message, Kind: event.Deferred}, event.Event{Message: message, Kind: event.Delivered})
	if got := h.kinds(message); got != "[accepted filed deferred delivered]" {
		t.Errorf("the timeline is %s", got)
	}
	h.append() // none is none, not an error
}

func TestTraceByMessageID(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	e := h.accepted("<one@hayauma.test>")
	other := h.accepted("<two@hayauma.test>")
	h.append(e, event.Event{Message: e.Message, Kind: event.Filed}, other)
	for _, ref := range []string{"<one@hayauma.test>", "one@hayauma.test", " <one@hayauma.test>\n"} {
		lines := h.trace(ref)
		if len(lines) != 1 || lines[0].Message != e.Message || len(lines[0].Events) != 2 {
			t.Errorf("%q: %+v", ref, lines)
		}
	}
}

func TestTraceOfAMessageIDThatLooksLikeAnID(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	const looks = "0123456789abc"
	if _, err := mail.ParseID(looks); err != nil {
		t.Fatalf("%s is to look like an id: %v", looks, err)
	}
	e := h.accepted("<" + looks + ">")
	h.append(e)
	for _, ref := range []string{looks, "<" + looks + ">"} {
		if lines := h.trace(ref); len(lines) != 1 || lines[0].Message != e.Message {
			t.Errorf("%q: %+v", ref, lines)
		}
	}
}

func TestTraceTellsEqualKeysApart(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	mine, theirs := h.accepted("<mine@hayauma.test>"), h.accepted("<theirs@hayauma.test>")
	h.append(mine, theirs)
	// No two texts with one hash are at hand, so a row gets the other's by hand.
	h.write(func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE event_key_fresh SET key = ?"), mine.Key)
		return err
	})
	if lines := h.trace("<mine@hayauma.test>"); len(lines) != 1 || lines[0].Message != mine.Message {
		t.Errorf("the hash alone decided: %+v", lines)
	}
	if _, err := h.Trace(t.Context(), "<theirs@hayauma.test>"); !errors.Is(err, event.ErrNoMessage) {
		t.Errorf("found under a key that no row has: %v", err)
	}
}

func TestTraceNewestMessageFirst(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	const most = 20
	var want []mail.ID
	for range most + 5 {
		e := h.accepted("<again@hayauma.test>")
		h.append(e, event.Event{Message: e.Message, Kind: event.Filed})
		want = append([]mail.ID{e.Message}, want...)
	}
	var got []mail.ID
	for _, l := range h.trace("again@hayauma.test") {
		got = append(got, l.Message)
		if len(l.Events) != 2 {
			t.Errorf("message %v has %d events, want 2", l.Message, len(l.Events))
		}
	}
	if diff := cmp.Diff(want[:most], got); diff != "" {
		t.Errorf("the newest %d, newest first (-want +got):\n%s", most, diff)
	}
}

func TestTraceOfNobody(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.append(h.accepted("")) // a message without a Message-ID is found by its id alone
	for _, ref := range []string{"", " ", "<>", "nobody@hayauma.test", h.ids.Next().String(), strings.Repeat("x", 1<<20)} {
		if lines, err := h.Trace(t.Context(), ref); !errors.Is(err, event.ErrNoMessage) || len(lines) != 0 {
			t.Errorf("%.30q: %d timelines, %v", ref, len(lines), err)
		}
	}
}

func TestTraceIsBounded(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	e := h.accepted("<large@hayauma.test>")
	events := []event.Event{e}
	for range 10500 {
		events = append(events, event.Event{Message: e.Message, Kind: event.Filed})
	}
	h.append(events...)
	if got := h.trace(e.Message.String())[0].Events; len(got) != 10000 || got[0].Kind != event.Accepted {
		t.Errorf("%d events, the first %v", len(got), got[0].Kind)
	}
}

func TestKeyOf(t *testing.T) {
	t.Parallel()
	if event.KeyOf("<a@b>") != event.KeyOf(" a@b ") {
		t.Error("brackets or space change the key")
	}
	if event.KeyOf("<a@b>") == event.KeyOf("<a@c>") {
		t.Error("different Message-IDs have one key")
	}
	for _, none := range []string{"", "<>", "  ", "< >"} {
		if k := event.KeyOf(none); k != 0 {
			t.Errorf("%q has a key: %d", none, k)
		}
	}
	for i := range 1000 {
		if k := event.KeyOf(fmt.Sprintf("<%d@hayauma.test>", i)); k <= 0 {
			t.Fatalf("key %d of message %d is not positive", k, i)
		}
	}
}

func TestEventJSON(t *testing.T) {
	t.Parallel()
	e := full(mail.NewIDs(0, 0).Next())
	e.ID = mail.NewIDs(0, 0).Next()
	text, err := json.Marshal(event.Timeline{Message: e.Message, Events: []event.Event{e}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `"at":"2023-11-14T22:13:20.123456Z"`; !strings.Contains(string(text), want) {
		t.Errorf("%s lacks %s", text, want)
	}
	if want := `"message":"` + e.Message.String() + `"`; strings.Count(string(text), want) != 2 {
		t.Errorf("%s names its message otherwise than %s", text, want)
	}
	var got event.Timeline
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := e
	want.Tenant, want.Account = 0, 0 // the owner is not told
	if diff := cmp.Diff([]event.Event{want}, got.Events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{"at":"yesterday"}`, `{"id":"?"}`, `[]`, `{"detail":{"code":"x"}}`} {
		if err := json.Unmarshal([]byte(bad), new(event.Event)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	limit := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	var events []event.Event
	old := h.accepted("<old@hayauma.test>")
	for i := range 1203 { // two full chunks and a part
		events = append(events, event.Event{ID: at(limit.Add(-time.Hour), i), Message: old.Message, Kind: event.Filed})
	}
	events[0].Kind, events[0].Key, events[0].Detail = old.Kind, old.Key, old.Detail
	kept := h.accepted("<kept@hayauma.test>")
	kept.ID = at(limit, 0) // the very first that is not before it
	last := event.Event{ID: at(limit.Add(-time.Millisecond), 1<<22-1), Message: old.Message, Kind: event.Filed}
	h.append(append(events, kept, last)...)

	n, err := h.Prune(t.Context(), limit)
	if err != nil || n != 1204 {
		t.Fatalf("%d events went, want 1204: %v", n, err)
	}
	if got := h.kinds(kept.Message); got != "[accepted]" || h.count() != 1 {
		t.Errorf("left: %s, %d rows", got, h.count())
	}
	for _, ref := range []string{old.Message.String(), "<old@hayauma.test>"} {
		if _, err := h.Trace(t.Context(), ref); !errors.Is(err, event.ErrNoMessage) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if n, err := h.Prune(t.Context(), limit); n != 0 || err != nil {
		t.Errorf("a second time: %d, %v", n, err)
	}
	if n, err := h.Prune(t.Context(), time.Unix(0, 0)); n != 0 || err != nil {
		t.Errorf("before the first id that there can be: %d, %v", n, err)
	}
}

func TestPruneEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.append(h.accepted("<a@hayauma.test>"))
	ctx, cancel := contextOf(t)
	cancel()
	if n, err := h.Prune(ctx, time.Now().Add(time.Hour)); n != 0 || err == nil {
		t.Errorf("%d events went, %v", n, err)
	}
}
