package imapd

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// search serves SEARCH and UID SEARCH (RFC 3501 §6.4.4).
func search(ctx context.Context, s *session, req imap.Search) reply {
	text, err := searchText(req.Charset)
	if errors.Is(err, errCharset) {
		return no(imap.CodeBadCharset("US-ASCII", "UTF-8"), "That charset is not known here")
	}
	query, err := (&searching{text: text}).query(req.Key)
	if err != nil {
		return bad("A text does not follow its charset")
	}
	found, err := s.sel.view.Search(ctx, query)
	if err != nil {
		return s.failed("SEARCH", err)
	}
	if !req.UID {
		found = s.sequence(found)
	}
	s.enc.Search(found)
	return ok("Done")
}

// sequence turns UIDs of the view into sequence numbers, in place.
func (s *session) sequence(uids []uint32) []uint32 {
	out := uids[:0]
	for _, uid := range uids {
		if seq, in := s.sel.view.Seq(uid); in {
			out = append(out, seq)
		}
	}
	return out
}

// searching turns keys into a query.
type searching struct {
	text func(string) (string, error)
}

func (q *searching) query(k imap.Key) (mailbox.Query, error) {
	switch k.Op {
	case imap.KeyAnd, imap.KeyOr, imap.KeyNot:
		return q.combined(k)
	case imap.KeySeq:
		return mailbox.Seqs{Set: storeSet(k.Set)}, nil
	case imap.KeyUID:
		return mailbox.UIDs{Set: storeSet(k.Set)}, nil
	case imap.KeyFlag:
		return flagQuery(k.Flag), nil
	case imap.KeyNoFlag:
		return mailbox.Not{Query: flagQuery(k.Flag)}, nil
	case imap.KeyBefore, imap.KeyOn, imap.KeySince:
		from, to := days(k.Op, k.Date)
		return mailbox.Date{From: from, To: to}, nil
	case imap.KeySentBefore, imap.KeySentOn, imap.KeySentSince:
		from, to := days(k.Op, k.Date)
		return mailbox.Sent{From: from, To: to}, nil
	case imap.KeyLarger:
		return mailbox.Larger(k.Size), nil
	case imap.KeySmaller:
		return mailbox.Smaller(k.Size), nil
	case imap.KeyAll:
		return mailbox.All{}, nil
	}
	return q.texts(k)
}

func (q *searching) combined(k imap.Key) (mailbox.Query, error) {
	parts := make([]mailbox.Query, len(k.Keys))
	for i, key := range k.Keys {
		var err error
		if parts[i], err = q.query(key); err != nil {
			return nil, err
		}
	}
	switch k.Op {
	case imap.KeyNot:
		return mailbox.Not{Query: parts[0]}, nil
	case imap.KeyOr:
		return mailbox.Or(parts), nil
	}
	return mailbox.And(parts), nil
}

// texts is the keys that look for a text.
func (q *searching) texts(k imap.Key) (mailbox.Query, error) {
	text, err := q.text(k.Text)
	if err != nil {
		return nil, err
	}
	field := ""
	switch k.Op {
	case imap.KeyFrom:
		field = "From"
	case imap.KeyTo:
		field = "To"
	case imap.KeyCc:
		field = "Cc"
	case imap.KeyBcc:
		field = "Bcc"
	case imap.KeySubject:
		field = "Subject"
	case imap.KeyHeader:
		field = k.Field
	}
	switch {
	case field != "":
		return mailbox.Header{Name: field, Contains: text}, nil
	case text == "":
		return mailbox.All{}, nil // every text has nothing in it
	case k.Op == imap.KeyBody:
		return mailbox.Body(text), nil
	}
	return mailbox.Text(text), nil
}

func flagQuery(f imap.Flag) mailbox.Query {
	if f == imap.FlagRecent {
		return mailbox.IsRecent{}
	}
	if bit := systemBit(f); bit != 0 {
		return mailbox.HasFlags(bit)
	}
	return mailbox.HasKeyword(f)
}

// days are the days since 1970 that a key asks for: from one up to, not
// including, another.
func days(op imap.KeyOp, date time.Time) (from, to int64) {
	day := date.Unix() / (24 * 60 * 60)
	switch op {
	case imap.KeyBefore, imap.KeySentBefore:
		return math.MinInt64, day
	case imap.KeyOn, imap.KeySentOn:
		return day, day + 1
	}
	return day, math.MaxInt64
}
