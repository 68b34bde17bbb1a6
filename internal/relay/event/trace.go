package event

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// ErrNoMessage says that no history is kept under a name.
var ErrNoMessage = errors.New("no message is known by this id or Message-ID: it was never accepted here, or its history is older than the retention")

// Log reads the history.
type Log struct {
	db  db.DB
	ids *mail.IDs
}

// NewLog returns a reader of the history in d.
func NewLog(d db.DB, ids *mail.IDs) *Log { return &Log{db: d, ids: ids} }

// Timeline is the history of one message, oldest event first.
type Timeline struct {
	Message mail.ID `json:"message"`
	Events  []Event `json:"events"`
}

// maxTimeline bounds the events and messages that one trace gives.
const (
	maxTimeline  = 10000
	maxTimelines = 20
)

const columns = "id, message, tenant, account, at, kind, stream, recipient, detail"

var sqlTrace = db.SQL("SELECT " + columns + " FROM event WHERE message = ? ORDER BY id LIMIT ?")

// Trace returns the timelines of a message id (13 letters and digits) or of
// every message with a Message-ID, newest message first. ErrNoMessage if there
// is none.
func (l *Log) Trace(ctx context.Context, ref string) ([]Timeline, error) {
	var out []Timeline
	err := l.db.Read(ctx, func(tx *db.Tx) error {
		out = nil
		if id, err := mail.ParseID(ref); err == nil && id != 0 {
			if out, err = read(tx, id); err != nil || len(out) > 0 {
				return err
			}
			// A Message-ID may look like an id of ours.
		}
		messages, err := find(tx, ref)
		if err != nil {
			return err
		}
		out, err = read(tx, messages...)
		return err
	})
	if err == nil && len(out) == 0 {
		err = ErrNoMessage
	}
	return out, err
}

// find returns the messages with a Message-ID.
func find(tx *db.Tx, ref string) ([]mail.ID, error) {
	want, key := bare(ref), KeyOf(ref)
	rows, err := tx.Query(sqlByKey, key, key, maxTimelines)
	if err != nil {
		return nil, err
	}
	var out []mail.ID
	err = db.Each(rows, func(r db.Rows) error {
		var id mail.ID
		var text string
		if err := r.Scan(&id, &text); err != nil {
			return err
		}
		var d Detail
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return err
		}
		if bare(d.MessageID) == want { // the key is only a hash
			out = append(out, id)
		}
		return nil
	})
	return out, err
}

// read returns the timelines of those messages that have events.
func read(tx *db.Tx, messages ...mail.ID) ([]Timeline, error) {
	var out []Timeline
	for _, m := range messages {
		events, err := eventsOf(tx, sqlTrace, m, maxTimeline)
		if err != nil {
			return nil, err
		}
		if len(events) > 0 {
			out = append(out, Timeline{Message: m, Events: events})
		}
	}
	return out, nil
}

// eventsOf returns what a query of the columns gives.
func eventsOf(tx *db.Tx, query db.Stmt, args ...any) ([]Event, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	var out []Event
	err = db.Each(rows, func(r db.Rows) error {
		var e Event
		var kind, detail string
		if err := r.Scan(&e.ID, &e.Message, &e.Tenant, &e.Account, &e.At, &kind, &e.Stream, &e.Recipient, &detail); err != nil {
			return err
		}
		e.Kind = Kind(kind)
		out = append(out, e)
		return json.Unmarshal([]byte(detail), &out[len(out)-1].Detail)
	})
	return out, err
}

var sqlMissed = db.SQL("SELECT DISTINCT message FROM event WHERE message IN (@ids) AND kind IN ('failed', 'expired', 'recalled', 'deleted')")

// Missed returns those of some messages that somebody did not get and will not: an attempt
// failed for good, the lifetime was over, or the message was taken out of the queue.
func Missed(tx *db.Tx, messages []int64) (map[mail.ID]bool, error) {
	out := map[mail.ID]bool{}
	err := tx.QueryIn(sqlMissed, db.In{IDs: messages}, func(r db.Rows) error {
		var id mail.ID
		err := r.Scan(&id)
		out[id] = true
		return err
	})
	return out, err
}

// Time returns when the event happened.
func (e Event) Time() time.Time { return mail.FromMicros(e.At) }

// MarshalJSON adds the time as RFC 3339 in UTC.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event
	return json.Marshal(struct {
		At string `json:"at"`
		plain
	}{e.Time().Format(time.RFC3339Nano), plain(e)})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (e *Event) UnmarshalJSON(b []byte) error {
	type plain Event
	v := struct {
		At time.Time `json:"at"`
		*plain
	}{plain: (*plain)(e)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	e.At = mail.Micros(v.At)
	return nil
}

var sqlPrune = db.SQL("DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id < ? ORDER BY id LIMIT ?) RETURNING COALESCE(key, 0)")

// pruneChunk keeps one write of Prune well under 20 ms.
const pruneChunk = 500

// Prune deletes events from before a time, in small writes, and returns how
// many went.
func (l *Log) Prune(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	limit := mail.FirstID(before)
	for ctx.Err() == nil {
		var keys []int64
		err := l.db.Write(ctx, func(tx *db.Tx) error {
			keys = keys[:0]
			rows, err := tx.Query(sqlPrune, int64(limit), pruneChunk)
			if err != nil {
				return err
			}
			err = db.Each(rows, func(r db.Rows) error {
				var key int64
				err := r.Scan(&key)
				keys = append(keys, key)
				return err
			})
			if err != nil {
				return err
			}
			return pruneKeys(tx, limit, keys)
		})
		if err != nil {
			return total, err
		}
		total += int64(len(keys))
		if len(keys) < pruneChunk {
			return total, nil
		}
	}
	return total, ctx.Err()
}
