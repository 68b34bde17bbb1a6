package event_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// history is a log on an empty database.
type history struct {
	*event.Log
	t   *testing.T
	db  db.DB
	ids *mail.IDs
}

func newHistory(t *testing.T) *history {
	t.Helper()
	return newHistoryOn(t, dbtest.New(t, event.Schema()))
}

func newHistoryOn(t *testing.T, d db.DB) *history {
	t.Helper()
	ids := mail.NewIDs(0, 0)
	return &history{Log: event.NewLog(d, ids), t: t, db: d, ids: ids}
}

// recorder writes into the history; m may be nil.
func (h *history) recorder(m *event.Metrics) *event.Recorder {
	h.t.Helper()
	classes, err := classify.New()
	if err != nil {
		h.t.Fatal(err)
	}
	return event.NewRecorder(h.ids, classes, m)
}

func (h *history) append(events ...event.Event) {
	h.t.Helper()
	h.write(func(tx *db.Tx) error { return event.Append(tx, h.ids, events) })
}

func (h *history) write(fn func(*db.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) trace(ref string) []event.Timeline {
	h.t.Helper()
	lines, err := h.Trace(h.t.Context(), ref)
	if err != nil {
		h.t.Fatalf("trace %q: %v", ref, err)
	}
	return lines
}

// kinds are the events of one message as words.
func (h *history) kinds(message mail.ID) string {
	h.t.Helper()
	var out []event.Kind
	for _, e := range h.trace(message.String())[0].Events {
		out = append(out, e.Kind)
	}
	return fmt.Sprint(out)
}

// accepted is the first event of a message.
func (h *history) accepted(messageID string) event.Event {
	return event.Event{
		Message: h.ids.Next(), Kind: event.Accepted, Key: event.KeyOf(messageID),
		Detail: event.Detail{MessageID: messageID},
	}
}

func (h *history) count() (n int) {
	h.t.Helper()
	err := h.db.Read(h.t.Context(), func(tx *db.Tx) error { return tx.Row(db.SQL("SELECT count(*) FROM event"), nil, &n) })
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// at is an id that was made at a time; n tells those of one millisecond apart.
func at(when time.Time, n int) mail.ID { return mail.FirstID(when) + mail.ID(n) }
