package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

var (
	sqlBegin = db.SQL("SELECT " + columns + " FROM event WHERE message = ? ORDER BY id LIMIT 1")
	sqlTold  = db.SQL("SELECT " + columns + ` FROM event WHERE message = ?
		AND kind IN ('delivered', 'returned', 'reported', 'complained') ORDER BY id LIMIT ?`)
	sqlLatest = db.SQL(`SELECT detail FROM (SELECT id, kind, recipient, detail FROM event WHERE message = ? ORDER BY id DESC LIMIT ?) AS latest
		WHERE kind = 'deferred' AND recipient = ? ORDER BY id DESC LIMIT 1`)
	// What somebody gave up by hand has failed without an attempt.
	sqlTried = db.SQL(`SELECT recipient, MAX(at) FROM (SELECT id, kind, recipient, at, detail FROM event WHERE message = ? ORDER BY id DESC LIMIT ?) AS latest
		WHERE kind IN ('deferred', 'expired', 'delivered', 'filed') OR kind = 'failed' AND detail LIKE '%"attempt":%' GROUP BY recipient`)
)

// Accepted returns the event with which we took responsibility for a message;
// ErrNoMessage if no history of it is kept.
func (l *Log) Accepted(ctx context.Context, id mail.ID) (Event, error) {
	var found []Event
	err := l.db.Read(ctx, func(tx *db.Tx) (err error) {
		found, err = accepted(tx, id)
		return err
	})
	if err != nil {
		return Event{}, fmt.Errorf("how message %s was accepted: %w", id, err)
	}
	if len(found) == 0 {
		return Event{}, ErrNoMessage
	}
	return found[0], nil
}

// AcceptedAs returns those events for the messages with a Message-ID, the newest
// first.
func (l *Log) AcceptedAs(ctx context.Context, messageID string) ([]Event, error) {
	var found []Event
	err := l.db.Read(ctx, func(tx *db.Tx) error {
		found = nil
		ids, err := find(tx, messageID)
		if err != nil {
			return err
		}
		one, err := accepted(tx, ids...)
		found = append(found, one...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the messages with a Message-ID: %w", err)
	}
	return found, nil
}

func accepted(tx *db.Tx, ids ...mail.ID) ([]Event, error) {
	var out []Event
	for _, id := range ids {
		first, err := eventsOf(tx, sqlBegin, int64(id))
		if err != nil {
			return nil, err
		}
		if len(first) == 1 && first[0].Kind == Accepted {
			out = append(out, first[0])
		}
	}
	return out, nil
}

// Told returns who took the message over, and what others told of it later, oldest
// first.
func (l *Log) Told(ctx context.Context, id mail.ID) ([]Event, error) {
	var out []Event
	err := l.db.Read(ctx, func(tx *db.Tx) (err error) {
		out, err = eventsOf(tx, sqlTold, int64(id), maxTimeline)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("what is told of message %s: %w", id, err)
	}
	return out, nil
}

// maxLatest bounds how many events of a message are looked through for one of a recipient.
const maxLatest = 1000

// LastSource returns the address of ours from which a message was tried in vain for a
// recipient last. It is not valid if that is not known, or lies too far back.
func (l *Log) LastSource(ctx context.Context, id mail.ID, to mail.Address) (netip.Addr, error) {
	var text string
	err := l.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(sqlLatest, []any{int64(id), maxLatest, to.String()}, &text)
	})
	if errors.Is(err, db.ErrNoRows) {
		return netip.Addr{}, nil
	}
	var d Detail
	if err == nil {
		err = json.Unmarshal([]byte(text), &d)
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("from where message %s was tried last: %w", id, err)
	}
	from, _ := netip.ParseAddr(d.Local) // empty where there was no connection
	return from, nil
}

// Tried returns when each recipient of a message was tried last, with success or without.
// Who is not there was not, or it lies too far back.
func (l *Log) Tried(ctx context.Context, id mail.ID) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := l.db.Read(ctx, func(tx *db.Tx) error {
		rows, err := tx.Query(sqlTried, int64(id), maxTimeline)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var recipient string
			var at int64
			err := r.Scan(&recipient, &at)
			out[recipient] = mail.FromMicros(at)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("when message %s was tried: %w", id, err)
	}
	return out, nil
}
