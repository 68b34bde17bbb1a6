package mailbox

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Delivery is one message for one mailbox.
type Delivery struct {
	Account  mail.ID
	Mailbox  mail.ID // 0 is the account's INBOX
	Message  mail.ID // kept over COPY and MOVE
	Body     mail.ID
	Prefix   []byte
	Size     int64 // octets of prefix and body
	Date     int64 // internal date, microseconds
	Flags    Flags
	Keywords []string
	Content  *Content // of the body; shared by all its deliveries

	// Set by File.
	UIDValidity, UID uint32
	Err              error // ErrNoMailbox, ErrBadKeyword: nothing was filed
}

// filing is a delivery on its way.
type filing struct {
	*Delivery
	box      mail.ID
	modseq   int64
	uid      int64
	thread   mail.ID
	keywords string
}

// File adds messages to mailboxes with a handful of statements for all of
// them. A delivery whose account or mailbox is gone gets an Err, the others go
// on. Those of one mailbox get their UIDs in the order given.
func (s *Store) File(tx *db.Tx, deliveries []*Delivery) error {
	files := make([]*filing, 0, len(deliveries))
	for _, d := range deliveries {
		d.UID, d.UIDValidity, d.Err = 0, 0, nil
		keywords, err := cleanKeywords(d.Keywords)
		if err != nil {
			d.Err = err
			continue
		}
		files = append(files, &filing{Delivery: d, thread: d.Message, keywords: joinKeywords(keywords)})
	}
	files, err := takeModseqs(tx, files)
	if err != nil {
		return fmt.Errorf("file messages: %w", err)
	}
	boxes, files, err := takeUIDs(tx, files)
	if err != nil {
		return fmt.Errorf("file messages: %w", err)
	}
	if len(files) == 0 {
		return nil
	}
	if err := findThreads(tx, files); err != nil {
		return fmt.Errorf("find threads: %w", err)
	}
	if err := insertFilings(tx, files); err != nil {
		return fmt.Errorf("file messages: %w", err)
	}
	tx.OnCommit(func() { s.announce(boxes...) })
	return nil
}

// takeModseqs changes the accounts and returns the filings whose account exists.
func takeModseqs(tx *db.Tx, files []*filing) ([]*filing, error) {
	at := make(map[mail.ID]int, len(files))
	var deltas []accountDelta
	for _, f := range files {
		i, ok := at[f.Account]
		if !ok {
			i = len(deltas)
			at[f.Account] = i
			deltas = append(deltas, accountDelta{account: f.Account})
		}
		deltas[i].used += f.Size
		deltas[i].messages++
	}
	states, err := changeAccounts(tx, deltas)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(files, func(f *filing) bool {
		state, ok := states[f.Account]
		if !ok {
			f.Err = ErrNoMailbox
			return true
		}
		f.modseq, f.box = state.modseq, f.Mailbox
		if f.box == 0 {
			f.box = state.inbox
		}
		return false
	}), nil
}

// takeUIDs changes the mailboxes and returns them, and the filings whose
// mailbox exists. What the others had added to their account is taken back.
func takeUIDs(tx *db.Tx, files []*filing) ([]mail.ID, []*filing, error) {
	at := make(map[mail.ID]int, len(files))
	var deltas []mailboxDelta
	for _, f := range files {
		i, ok := at[f.box]
		if !ok {
			i = len(deltas)
			at[f.box] = i
			deltas = append(deltas, mailboxDelta{mailbox: f.box, account: f.Account, modseq: f.modseq})
		}
		if deltas[i].account != f.Account {
			continue // somebody else's mailbox
		}
		deltas[i].uids++
		deltas[i].count(f.Flags, f.Size, 1)
		f.uid = deltas[i].uids
	}
	counts := make(map[mail.ID]int64, len(deltas))
	for _, d := range deltas {
		counts[d.mailbox] = d.uids
	}
	states, err := changeMailboxes(tx, deltas)
	if err != nil {
		return nil, nil, err
	}
	filed := files[:0]
	for _, f := range files {
		state, ok := states[f.box]
		if !ok || f.uid == 0 {
			f.Err = ErrNoMailbox
			if err := addUsed(tx, accountDelta{account: f.Account, used: -f.Size, messages: -1}); err != nil {
				return nil, nil, err
			}
			continue
		}
		f.uid += state.uidnext - counts[f.box] - 1
		f.UID, f.UIDValidity = uint32(f.uid), state.uidvalidity
		filed = append(filed, f)
	}
	boxes := make([]mail.ID, 0, len(states))
	for id := range states {
		boxes = append(boxes, id)
	}
	return boxes, filed, nil
}

// maxRanks is how many message ids of one message are looked up.
const maxRanks = maxReferences + 1

// findThreads puts answers into the thread of what they answer, as far as the
// account has that, or another copy of themselves.
func findThreads(tx *db.Tx, files []*filing) error {
	var rows [][]int64
	for i, f := range files {
		if f.Content == nil || len(f.Content.References) == 0 {
			continue
		}
		ids := append(slices.Clone(f.Content.References), f.Content.MessageID)
		for rank, id := range ids[:min(len(ids), maxRanks)] {
			if key := replyKey(id); key != 0 {
				rows = append(rows, []int64{int64(f.Account), key, int64(i*maxRanks + rank)})
			}
		}
	}
	best := make(map[int]int)
	return queryValues(tx, `SELECT v.column3, COALESCE((SELECT m.thread FROM mailbox_message m
		WHERE m.account = v.column1 AND m.reply_key = v.column2 LIMIT 1), 0)
		FROM (VALUES @rows) AS v`, rows, func(r db.Rows) error {
		var place int
		var thread mail.ID
		if err := r.Scan(&place, &thread); err != nil || thread == 0 {
			return err
		}
		i, rank := place/maxRanks, place%maxRanks
		if old, ok := best[i]; !ok || rank < old {
			best[i], files[i].thread = rank, thread
		}
		return nil
	})
}

func insertFilings(tx *db.Tx, files []*filing) error {
	seen := make(map[mail.ID]bool, len(files))
	var contents [][]any
	for _, f := range files {
		if f.Content != nil && !seen[f.Content.Body] {
			seen[f.Content.Body] = true
			contents = append(contents, f.Content.row())
		}
	}
	slices.SortFunc(contents, func(a, b []any) int { return cmp.Compare(a[0].(mail.ID), b[0].(mail.ID)) })
	if err := tx.Insert(insertContent, contents...); err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b *filing) int {
		return cmp.Or(cmp.Compare(a.box, b.box), cmp.Compare(a.uid, b.uid))
	})
	rows := make([][]any, len(files))
	for i, f := range files {
		rows[i] = f.row()
	}
	return tx.Insert(insertMessage, rows...)
}

func (f *filing) row() []any {
	key, prefix := int64(0), f.Prefix
	if f.Content != nil {
		key = replyKey(f.Content.MessageID)
	}
	if prefix == nil {
		prefix = []byte{}
	}
	return []any{
		f.box, f.uid, f.Account, f.modseq, f.modseq, int64(f.Flags), f.keywords, f.Size, f.Date,
		f.Message, f.thread, key, f.Body, prefix,
	}
}
