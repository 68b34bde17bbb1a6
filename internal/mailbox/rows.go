package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

const (
	selectRow     = `SELECT m.uid, m.flags, m.keywords, m.modseq, m.size, m.date, m.message, m.thread`
	selectBody    = selectRow + `, m.body, m.prefix, c.header, c.sent_day`
	selectParts   = selectBody + `, c.structure`
	fromMessage   = ` FROM mailbox_message m`
	withContent   = fromMessage + ` JOIN mailbox_content c ON c.body = m.body`
	byUIDs        = ` WHERE m.mailbox = ? AND m.uid IN (@ids) ORDER BY m.uid`
	sliceOctets   = 1 << 20 // of prefixes and structures in one slice of rows
	microsPerDay  = 24 * 60 * 60 * 1_000_000
	partsExpected = 4
)

// errSliceFull ends a slice early.
var errSliceFull = errors.New("the slice is full")

// rawRow is a row with its structure as stored.
type rawRow struct {
	Row
	structure []byte
}

func scanRow(r db.Rows, row *Row, want Want) error {
	var raw rawRow
	err := raw.scan(r, want)
	*row = raw.Row
	return err
}

func (m *rawRow) scan(r db.Rows, want Want) error {
	var flags int64
	var keywords string
	dest := make([]any, 0, 13)
	dest = append(dest, &m.UID, &flags, &keywords, &m.Modseq, &m.Size, &m.Date, &m.Message, &m.Thread)
	if want != 0 {
		dest = append(dest, &m.Body, &m.Prefix, &m.Header, &m.SentDay)
	}
	if want&WantStructure != 0 {
		dest = append(dest, &m.structure)
	}
	if err := r.Scan(dest...); err != nil {
		return err
	}
	m.Flags, m.Keywords = Flags(flags), splitKeywords(keywords)
	m.Header += int64(len(m.Prefix))
	if want != 0 && m.SentDay == NoDay {
		m.SentDay = floorDay(m.Date)
	}
	return nil
}

// floorDay is the day of a time in microseconds, in UTC.
func floorDay(micros int64) int64 {
	day := micros / microsPerDay
	if micros%microsPerDay < 0 {
		day--
	}
	return day
}

// Rows yields messages in ascending order. It reads them in slices, each of
// one moment; nothing is held while yield runs. Messages that are gone are left
// out. uids must be ascending, as UIDs and BySeq give them.
func (v *View) Rows(ctx context.Context, uids []uint32, want Want, yield func(Row) error) error {
	for len(uids) > 0 {
		list, n, err := v.readRows(ctx, uids[:min(len(uids), chunk)], want)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		uids = uids[n:]
		for i := range list {
			row, err := v.finish(&list[i], want)
			if err != nil {
				return fmt.Errorf("read message: %w", err)
			}
			if row.Seq == 0 {
				continue
			}
			if err := yield(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// readRows reads a slice and returns how many of uids it settles.
func (v *View) readRows(ctx context.Context, uids []uint32, want Want) ([]rawRow, int, error) {
	sql := selectRow + fromMessage + byUIDs
	switch {
	case want&WantStructure != 0:
		sql = selectParts + withContent + byUIDs
	case want != 0:
		sql = selectBody + withContent + byUIDs
	}
	var list []rawRow
	done := len(uids)
	err := v.s.db.Read(ctx, func(tx *db.Tx) error {
		list, done = make([]rawRow, 0, len(uids)), len(uids)
		octets := 0
		err := tx.QueryIn(db.SQL(sql), db.In{Before: []any{v.box.id}, IDs: ids(uids)}, func(r db.Rows) error {
			var m rawRow
			if err := m.scan(r, want); err != nil {
				return err
			}
			list = append(list, m)
			if octets += len(m.Prefix) + len(m.structure); octets > sliceOctets {
				return errSliceFull
			}
			return nil
		})
		if errors.Is(err, errSliceFull) {
			at, _ := slices.BinarySearch(uids, list[len(list)-1].UID)
			done, err = at+1, nil
		}
		return err
	})
	return list, done, err
}

func (v *View) finish(m *rawRow, want Want) (Row, error) {
	if seq, in := v.Seq(m.UID); in {
		m.Seq = seq
	}
	m.Recent = v.isRecent(m.UID)
	if want&WantStructure != 0 {
		part, err := mime.Unmarshal(m.structure)
		if err != nil {
			return Row{}, fmt.Errorf("structure of body %v: %w", m.Body, err)
		}
		prepend(part, m.Prefix)
		m.Structure = part
	}
	return m.Row, nil
}

// prepend makes the structure of a body that of prefix and body.
func prepend(root *mime.Part, prefix []byte) {
	n := int64(len(prefix))
	if n == 0 {
		return
	}
	root.HeaderSize += n
	root.HeaderLines += int64(bytes.Count(prefix, []byte("\n")))
	stack := make([]*mime.Part, 0, partsExpected)
	for stack = append(stack, root); len(stack) > 0; {
		part := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for i := range part.Children {
			part.Children[i].Offset += n
			stack = append(stack, &part.Children[i])
		}
	}
	if root.Envelope != nil {
		overlay(root.Envelope, prefix)
	}
}

// overlay puts those values into an envelope that the prefix has: its fields
// stand first, and the first field of a name counts. Most prefixes are trace
// fields alone and change nothing.
func overlay(e *mime.Envelope, prefix []byte) {
	var top *mime.Envelope
	for field := range mime.Header(prefix).All() {
		name := envelopeField(string(field.Name))
		if name == "" {
			continue
		}
		if top == nil {
			if top = mime.ParseBytes(prefix, mime.Limits{}).Envelope; top == nil {
				return
			}
		}
		overlayField(e, top, name)
	}
}

// envelopeField is the name of an envelope's field in lower case, empty for
// other fields.
func envelopeField(name string) string {
	for _, known := range [...]string{"date", "subject", "from", "sender", "reply-to", "in-reply-to", "message-id", "to", "cc", "bcc"} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

func overlayField(e, top *mime.Envelope, name string) {
	switch name {
	case "date":
		e.Date = top.Date
	case "subject":
		e.Subject = top.Subject
	case "from":
		e.From = top.From
	case "sender":
		e.Sender = top.Sender
	case "reply-to":
		e.ReplyTo = top.ReplyTo
	case "in-reply-to":
		e.InReplyTo = top.InReplyTo
	case "message-id":
		e.MessageID = top.MessageID
	case "to":
		e.To, top.To = append(top.To, e.To...), nil // once, however often it stands there
	case "cc":
		e.Cc, top.Cc = append(top.Cc, e.Cc...), nil
	case "bcc":
		e.Bcc, top.Bcc = append(top.Bcc, e.Bcc...), nil
	}
}
