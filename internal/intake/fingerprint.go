package intake

import (
	"context"
	"math"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// Schema returns the tables of this package: the fingerprints of transactions
// whose 250 the sender has not been seen to receive.
func Schema() db.Schema {
	return db.Schema{Package: "intake", Steps: []db.Stmt{db.SQL(`
CREATE TABLE fingerprint (
	mark    INTEGER PRIMARY KEY,
	message INTEGER NOT NULL,
	at      INTEGER NOT NULL
);
CREATE INDEX fingerprint_at ON fingerprint (at);
`), db.SQL("DROP INDEX fingerprint_at")}}
}

var (
	sqlKnown  = db.SQL("SELECT mark, message FROM fingerprint WHERE mark IN (@ids)")
	sqlLift   = db.SQL("DELETE FROM fingerprint WHERE mark IN (@ids)")
	sqlOld    = db.SQL("SELECT mark FROM fingerprint WHERE mark > ? AND at < ? ORDER BY mark LIMIT ?")
	insertNew = db.Insert{Into: "fingerprint", Columns: []string{"mark", "message", "at"}}
)

// fingerprints lifts what was confirmed, finds the repeats in a group, and
// writes the marks of the others.
func (in *Intake) fingerprints(tx *db.Tx, group []*entry, lift []Receipt) (map[*entry]mail.ID, error) {
	if _, err := tx.ExecIn(sqlLift, db.In{IDs: plain(lift)}); err != nil {
		return nil, err
	}
	marks := make([]int64, 0, len(group))
	for _, e := range group {
		if e.receipt != 0 {
			marks = append(marks, int64(e.receipt))
		}
	}
	known, err := knownMarks(tx, marks)
	if err != nil {
		return nil, err
	}
	repeats := map[*entry]mail.ID{}
	now := mail.Micros(time.Now())
	rows := make([][]any, 0, len(marks))
	for _, e := range group {
		mark := int64(e.receipt)
		if mark == 0 {
			continue
		}
		if id, repeat := known[mark]; repeat {
			repeats[e] = id
			continue
		}
		known[mark] = e.id // a twin in the same group is a repeat as well
		rows = append(rows, []any{mark, int64(e.id), now})
	}
	return repeats, tx.Insert(insertNew, rows...)
}

// knownMarks returns the messages of marks that stand. Those of a message that somebody
// did not get, and will not, are lifted: whoever was told of that, or took the message
// back, means it when he sends it again.
func knownMarks(tx *db.Tx, marks []int64) (map[int64]mail.ID, error) {
	known := map[int64]mail.ID{}
	var messages []int64
	err := tx.QueryIn(sqlKnown, db.In{IDs: marks}, func(r db.Rows) error {
		var mark int64
		var id mail.ID
		err := r.Scan(&mark, &id)
		known[mark] = id
		messages = append(messages, int64(id))
		return err
	})
	if err != nil || len(messages) == 0 {
		return known, err
	}
	missed, err := event.Missed(tx, messages)
	if err != nil {
		return nil, err
	}
	var over []int64
	for mark, id := range known {
		if missed[id] {
			over = append(over, mark)
			delete(known, mark)
		}
	}
	_, err = tx.ExecIn(sqlLift, db.In{IDs: over})
	return known, err
}

// Confirm tells that a sender was seen to know of our 250, so that it will not
// repeat the transaction on its own account (RFC 1047).
func (in *Intake) Confirm(r Receipt) {
	if r != 0 {
		in.confirm(r)
	}
}

func (in *Intake) confirm(receipts ...Receipt) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.confirmed) < maxConfirmed {
		in.confirmed = append(in.confirmed, receipts...)
	}
}

func plain(receipts []Receipt) []int64 {
	out := make([]int64, len(receipts))
	for i, r := range receipts {
		out[i] = int64(r)
	}
	return out
}

func (in *Intake) takeConfirmed() []Receipt {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := min(len(in.confirmed), 4*maxGroup)
	out := in.confirmed[:n:n]
	if in.confirmed = in.confirmed[n:]; len(in.confirmed) == 0 {
		in.confirmed = nil
	}
	return out
}

// lift forgets confirmed fingerprints when no message comes to carry them.
func (in *Intake) lift(ctx context.Context) {
	for marks := in.takeConfirmed(); len(marks) > 0; marks = in.takeConfirmed() {
		err := in.o.DB.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecIn(sqlLift, db.In{IDs: plain(marks)})
			return err
		})
		if err != nil {
			in.confirm(marks...)
			in.o.Logger.Warn("confirmed fingerprints stay for now", "error", err)
			return
		}
	}
}

// pruneFingerprints forgets what no sender repeats any more, in small writes. It
// looks at all of them, which are few: most are lifted soon after they were made.
func (in *Intake) pruneFingerprints(ctx context.Context) {
	before := mail.Micros(time.Now().Add(-keepFingerprint))
	after := int64(math.MinInt64)
	for ctx.Err() == nil {
		old, err := in.oldFingerprints(ctx, after, before)
		if err == nil && len(old) > 0 {
			after = old[len(old)-1]
			err = in.o.DB.Write(ctx, func(tx *db.Tx) error {
				_, err := tx.ExecIn(sqlLift, db.In{IDs: old})
				return err
			})
		}
		if err != nil {
			in.o.Logger.Warn("old fingerprints stay for now", "error", err)
			return
		}
		if len(old) < pruneChunk {
			return
		}
	}
}

func (in *Intake) oldFingerprints(ctx context.Context, after, before int64) ([]int64, error) {
	var marks []int64
	err := in.o.DB.Read(ctx, func(tx *db.Tx) error {
		marks = marks[:0]
		rows, err := tx.Query(sqlOld, after, before, pruneChunk)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var mark int64
			err := r.Scan(&mark)
			marks = append(marks, mark)
			return err
		})
	})
	return marks, err
}

// pruneChunk keeps one write well under 20 ms.
const pruneChunk = 1000

// rejected has the next group record that a message was refused after its
// content was read. The refusal stands even if nobody can record it now.
func (in *Intake) rejected(t *Transaction, f *mail.Fault) {
	in.o.Metrics.outcome(f)
	e := t.acceptedEvent()
	e.Kind, e.Key = event.Rejected, 0
	e.Detail.Size = t.content.size
	e.Detail.Code, e.Detail.Enhanced, e.Detail.Reply = f.Code(), f.Enhanced(), f.Public
	select {
	case in.waiting <- &entry{id: t.id, accepted: e, refused: true, done: make(chan struct{})}:
	default:
		in.o.Logger.Warn("a refused message has no event: too many messages wait", "message", t.id.String(), "fault", f.Error())
	}
}
