package mailbox

import (
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// stored is a message's row as changes work with it.
type stored struct {
	uid             uint32
	account         mail.ID
	modseq, created int64
	marks
	size, date      int64
	message, thread mail.ID
	replyKey        int64
	body            mail.ID
	prefix          []byte
}

const selectStored = `SELECT uid, account, modseq, created, flags, keywords, size, date, message, thread,
	reply_key, body, prefix FROM mailbox_message WHERE mailbox = ? AND `

// readStored reads those of at most chunk UIDs that exist, in ascending order.
func readStored(tx *db.Tx, box mail.ID, uids []uint32) ([]stored, error) {
	list := make([]stored, 0, len(uids))
	err := tx.QueryIn(db.SQL(selectStored+`uid IN (@ids) ORDER BY uid`),
		db.In{Before: []any{box}, IDs: ids(uids)}, scanStored(&list))
	return list, err
}

// readFirst reads the first chunk of a mailbox's messages.
func readFirst(tx *db.Tx, box mail.ID) ([]stored, error) {
	var list []stored
	rows, err := tx.Query(db.SQL(selectStored+`uid > 0 ORDER BY uid LIMIT ?`), box, chunk)
	if err != nil {
		return nil, err
	}
	return list, db.Each(rows, scanStored(&list))
}

func scanStored(list *[]stored) func(db.Rows) error {
	return func(r db.Rows) error {
		var m stored
		var flags int64
		err := r.Scan(&m.uid, &m.account, &m.modseq, &m.created, &flags, &m.keywords, &m.size, &m.date,
			&m.message, &m.thread, &m.replyKey, &m.body, &m.prefix)
		m.flags = Flags(flags)
		*list = append(*list, m)
		return err
	}
}

// row is the message as a row of a mailbox.
func (m *stored) row(box mail.ID) []any {
	if m.prefix == nil {
		m.prefix = []byte{}
	}
	return []any{
		box, m.uid, m.account, m.modseq, m.created, int64(m.flags), m.keywords, m.size, m.date,
		m.message, m.thread, m.replyKey, m.body, m.prefix,
	}
}

// bury removes messages and leaves tombstones. Counters are not touched.
func bury(tx *db.Tx, box mail.ID, modseq int64, list []stored) error {
	graves := make([][]any, len(list))
	for i, m := range list {
		graves[i] = []any{box, modseq, m.uid, m.account, m.message}
	}
	if err := tx.Insert(insertExpunged, graves...); err != nil {
		return err
	}
	return deleteStored(tx, box, list)
}

// deleteStored removes messages, and the contents that nobody has left.
func deleteStored(tx *db.Tx, box mail.ID, list []stored) error {
	uids, bodies := make([]int64, len(list)), make([]int64, len(list))
	for i, m := range list {
		uids[i], bodies[i] = int64(m.uid), int64(m.body)
	}
	_, err := tx.ExecIn(db.SQL(`DELETE FROM mailbox_message WHERE mailbox = ? AND uid IN (@ids)`),
		db.In{Before: []any{box}, IDs: uids})
	if err != nil {
		return err
	}
	return dropContent(tx, bodies)
}

func ids(uids []uint32) []int64 {
	list := make([]int64, len(uids))
	for i, uid := range uids {
		list[i] = int64(uid)
	}
	return list
}
