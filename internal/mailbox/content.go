package mailbox

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// NoDay is the SentDay of a message without a usable Date field.
const NoDay = int64(-1 << 40)

// Bounds of what a Content keeps.
const (
	maxReferences = 10
	maxIDBytes    = 1000
	maxSubject    = 2000
)

// Content is what all copies of one body share.
type Content struct {
	Body       mail.ID
	Structure  []byte   // mime.Marshal of the body's structure
	HeaderSize int64    // of the body, with its blank line
	MessageID  string   // with its angle brackets, empty if there is none
	References []string // message ids it answers or refers to, nearest first
	Subject    string   // unfolded, encoded words kept
	SentDay    int64    // of its Date field as written, days since 1970; NoDay
}

// Describe makes the Content of a body from its structure and the value of its
// References field, which may be empty.
func Describe(body mail.ID, part *mime.Part, references string) *Content {
	c := &Content{
		Body: body, Structure: mime.Marshal(part), HeaderSize: part.HeaderSize, SentDay: NoDay,
	}
	e := part.Envelope
	if e == nil {
		return c
	}
	if ids := messageIDs(e.MessageID); len(ids) > 0 {
		c.MessageID = ids[0]
	}
	c.Subject = strings.ToValidUTF8(e.Subject[:min(len(e.Subject), maxSubject)], "\ufffd")
	c.References = messageIDs(e.InReplyTo)
	refs := messageIDs(references)
	slices.Reverse(refs)
	c.References = append(c.References, refs...)
	c.References = c.References[:min(len(c.References), maxReferences)]
	if t, ok := mime.ParseDate(e.Date); ok {
		c.SentDay = dayOf(t)
	}
	return c
}

// messageIDs finds the ids in a field, with their angle brackets.
func messageIDs(text string) []string {
	var ids []string
	for {
		from := strings.IndexByte(text, '<')
		if from < 0 {
			return ids
		}
		n := strings.IndexByte(text[from:], '>')
		if n < 0 {
			return ids
		}
		if id := text[from : from+n+1]; len(id) > 2 && len(id) <= maxIDBytes {
			ids = append(ids, strings.ToValidUTF8(id, "\ufffd"))
		}
		text = text[from+n+1:]
	}
}

// dayOf counts the days from 1970 to the date that t shows in its zone.
func dayOf(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

// replyKey is what a message id is looked up by, 0 for none.
func replyKey(messageID string) int64 {
	if messageID == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(messageID))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

var insertContent = db.Insert{
	Into:     "mailbox_content",
	Columns:  []string{"body", "header", "sent_day", "message_id", "subject", "structure"},
	Conflict: "ON CONFLICT (body) DO NOTHING",
}

func (c *Content) row() []any {
	return []any{c.Body, c.HeaderSize, c.SentDay, c.MessageID, c.Subject, c.Structure}
}

// dropContent removes the contents of those bodies that no message has left.
func dropContent(tx *db.Tx, bodies []int64) error {
	slices.Sort(bodies)
	_, err := tx.ExecIn(db.SQL(`DELETE FROM mailbox_content WHERE body IN (@ids)
		AND NOT EXISTS (SELECT 1 FROM mailbox_message m WHERE m.body = mailbox_content.body)`),
		db.In{IDs: slices.Compact(bodies)})
	return err
}
