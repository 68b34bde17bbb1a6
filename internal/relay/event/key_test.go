package event_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// rows counts those of a table.
func (h *history) rows(table string) (n int) {
	h.t.Helper()
	err := h.db.Read(h.t.Context(), func(tx *db.Tx) error { return tx.Row(db.SQL("SELECT count(*) FROM "+table), nil, &n) })
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestSortKeys: a message is found by its Message-ID before, while and after the
// keys are sorted.
func TestSortKeys(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	before := func(i int) string { return fmt.Sprintf("<%d@before.test>", i) }
	var events []event.Event
	for i := range 10_001 {
		events = append(events, h.accepted(before(i)))
	}
	for len(events) > 0 {
		n := min(len(events), 500)
		h.append(events[:n]...)
		events = events[n:]
	}
	find := func(when string) {
		t.Helper()
		for _, i := range []int{0, 1234, 10_000} {
			if lines := h.trace(before(i)); len(lines) != 1 || lines[0].Events[0].Detail.MessageID != before(i) {
				t.Errorf("%s: %s: %+v", when, before(i), lines)
			}
		}
	}
	find("fresh")
	// As after a crash between the two: a key stands at both places.
	h.write(func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO event_key (key, event) SELECT key, event FROM event_key_fresh WHERE event % 2 = 0"))
		return err
	})
	find("at both places")
	if n, err := h.SortKeys(t.Context()); n != 10_001 || err != nil {
		t.Fatalf("%d sorted, %v", n, err)
	}
	if fresh, sorted := h.rows("event_key_fresh"), h.rows("event_key"); fresh != 0 || sorted != 10_001 {
		t.Errorf("%d fresh, %d sorted", fresh, sorted)
	}
	find("sorted")
	// What comes next stays where it is while it is little.
	h.append(h.accepted("<after@x.test>"))
	if n, err := h.SortKeys(t.Context()); n != 0 || err != nil || len(h.trace("<after@x.test>")) != 1 {
		t.Errorf("%d sorted, %v", n, err)
	}
	// All go with their events.
	if _, err := h.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if fresh, sorted := h.rows("event_key_fresh"), h.rows("event_key"); fresh != 0 || sorted != 0 {
		t.Errorf("left of no event: %d fresh keys, %d sorted", fresh, sorted)
	}
}

// TestPruneKeepsOtherKeys: of messages with one Message-ID, the younger is found.
func TestPruneKeepsOtherKeys(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	limit := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	old, young := h.accepted("<same@x.test>"), h.accepted("<same@x.test>")
	old.ID, young.ID = mail.FirstID(limit.Add(-time.Hour)), mail.FirstID(limit)
	h.append(old, young)
	h.write(func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO event_key (key, event) SELECT key, event FROM event_key_fresh"))
		return err
	})
	if n, err := h.Prune(t.Context(), limit); n != 1 || err != nil {
		t.Fatalf("%d pruned, %v", n, err)
	}
	if lines := h.trace("<same@x.test>"); len(lines) != 1 || lines[0].Message != young.Message {
		t.Errorf("%+v", lines)
	}
	if n := h.rows("event_key") + h.rows("event_key_fresh"); n != 2 {
		t.Errorf("%d keys, want one at each place", n)
	}
}
