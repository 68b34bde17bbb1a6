package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// View is one session's frozen picture of a mailbox. Its methods are for one
// goroutine at a time. When the mailbox is deleted they return ErrNoMailbox.
type View struct {
	s        *Store
	box      *shared
	mailbox  Mailbox
	readOnly bool
	changed  func() // of OnChange; guarded by box.mu
	closed   bool

	uids   []uint32 // ascending; mostly the slice that all Views share
	gone   []uint32 // expunged, but still in uids; ascending
	top    uint32   // the largest UID that was ever in uids
	modseq int64    // of the change that the view is up to
	seen   int64    // value of box.changes that the view is up to
	recent []Range  // UIDs that are \Recent here; ascending

	own   map[int64]struct{}  // modseqs of this session's own Stores
	dirty map[uint32]struct{} // Stored on top of a change not yet reported
}

// closeWait bounds how long Close waits to remember what was \Recent.
const closeWait = 5 * time.Second

// Select opens a mailbox; ErrNoMailbox, ErrNoSelect. A View that is not
// read-only takes \Recent from new messages. It must be closed.
func (s *Store) Select(ctx context.Context, account mail.ID, name string, readOnly bool) (*View, error) {
	name, err := s.limits.lookUp(name)
	if err != nil {
		return nil, err
	}
	var b record
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		b, err = find(tx, account, name)
		return err
	})
	if err == nil && b.NoSelect {
		err = ErrNoSelect
	}
	if err != nil {
		return nil, fmt.Errorf("select mailbox: %w", err)
	}
	v := &View{
		s: s, readOnly: readOnly, seen: -1,
		own: make(map[int64]struct{}), dirty: make(map[uint32]struct{}),
	}
	v.box = s.hub.join(v, b.ID, account)
	if err := v.open(ctx); err != nil {
		s.hub.leave(v, v.box)
		return nil, fmt.Errorf("select mailbox: %w", err)
	}
	return v, nil
}

// open brings a new View up to date and takes what is \Recent.
func (v *View) open(ctx context.Context) error {
	if err := v.box.load(ctx, v.s.db); err != nil {
		return err
	}
	v.box.mu.Lock()
	v.uids, v.modseq, v.top = v.box.uids, v.box.modseq, v.box.top
	v.box.mu.Unlock()
	if from := v.box.claim(v.top+1, !v.readOnly); from <= v.top {
		v.recent = []Range{{First: from, Last: v.top}}
	}
	for more := true; more; {
		c, err := v.Poll(ctx, true)
		if err != nil {
			return err
		}
		more = c.More
	}
	if v.readOnly {
		return nil
	}
	return v.remember(ctx)
}

// remember writes down up to where messages have been \Recent.
func (v *View) remember(ctx context.Context) error {
	v.box.mu.Lock()
	mark, known := v.box.recent, v.box.written
	v.box.mu.Unlock()
	if mark <= known {
		return nil
	}
	// A SELECT must work on a full disk too: deleting begins with it.
	err := v.s.db.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(`UPDATE mailbox SET recent = ? WHERE id = ? AND recent < ?`), mark, v.box.id, mark)
		return err
	})
	if err != nil {
		return err
	}
	v.box.mu.Lock()
	v.box.written = max(v.box.written, mark)
	v.box.mu.Unlock()
	return nil
}

// Close ends the View. It may be called again.
func (v *View) Close() {
	if v.closed {
		return
	}
	v.closed = true
	if !v.readOnly {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		// Else the next session is told \Recent once more, which does no harm.
		if err := v.remember(ctx); err != nil && !errors.Is(err, db.ErrClosed) {
			v.s.log.Warn("recent messages are not remembered", slog.Any("mailbox", v.box.id), slog.Any("error", err))
		}
	}
	v.s.hub.leave(v, v.box)
}

// Mailbox is the mailbox as of the last Poll.
func (v *View) Mailbox() Mailbox { return v.mailbox }

// ReadOnly tells how the mailbox was opened.
func (v *View) ReadOnly() bool { return v.readOnly }

// OnChange lets f be called whenever the mailbox may have changed, at once if the
// view is behind: a hint to Poll. f comes from any goroutine and must neither
// block nor use the View. It is not called any more once OnChange has returned
// with another one, or nil for none.
func (v *View) OnChange(f func()) {
	v.box.mu.Lock()
	defer v.box.mu.Unlock()
	v.changed = f
	if v.seen != v.box.changes.Load() {
		v.nudge()
	}
}

// nudge is called with box.mu held.
func (v *View) nudge() {
	if v.changed != nil {
		v.changed()
	}
}

// Count is how many messages the view holds.
func (v *View) Count() uint32 { return uint32(len(v.uids)) }

// MaxUID is the UID of the view's last message, 0 if it is empty.
func (v *View) MaxUID() uint32 {
	if len(v.uids) == 0 {
		return 0
	}
	return v.uids[len(v.uids)-1]
}

// UID returns the UID of a sequence number.
func (v *View) UID(seq uint32) (uint32, bool) {
	if seq == 0 || seq > v.Count() {
		return 0, false
	}
	return v.uids[seq-1], true
}

// Seq returns the sequence number of a UID.
func (v *View) Seq(uid uint32) (uint32, bool) {
	i, ok := slices.BinarySearch(v.uids, uid)
	return uint32(i) + 1, ok
}

// Recent is how many messages of the view have \Recent.
func (v *View) Recent() uint32 {
	n := 0
	for _, r := range v.recent {
		from, to := between(v.uids, r)
		n += to - from
	}
	return uint32(n)
}

func (v *View) isRecent(uid uint32) bool {
	for _, r := range v.recent {
		if r.First <= uid && uid <= r.Last {
			return true
		}
	}
	return false
}

// addRecent adds UIDs that are larger than all before.
func (v *View) addRecent(r Range) {
	if r.First > r.Last {
		return
	}
	if n := len(v.recent); n > 0 && v.recent[n-1].Last+1 == r.First {
		v.recent[n-1].Last = r.Last
		return
	}
	v.recent = append(v.recent, r)
}

// FirstUnseen is the sequence number of the first message without \Seen, 0 if
// there is none.
func (v *View) FirstUnseen(ctx context.Context) (uint32, error) {
	var first uint32
	err := v.s.db.Read(ctx, func(tx *db.Tx) error {
		first = 0
		b, err := findID(tx, v.box.id)
		if err != nil || b.Unseen == 0 {
			return err
		}
		err = tx.Row(db.SQL(`SELECT uid FROM mailbox_message WHERE mailbox = ? AND (flags & ?) = 0 ORDER BY uid LIMIT 1`),
			[]any{v.box.id, int64(Seen)}, &first)
		if errors.Is(err, db.ErrNoRows) {
			err = nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("first unseen: %w", err)
	}
	seq, _ := v.Seq(first)
	if first == 0 || seq > v.Count() {
		return 0, nil
	}
	return seq, nil
}
