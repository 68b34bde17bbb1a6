package mailbox

import (
	"cmp"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// accountDelta is what a change adds to an account's counters.
type accountDelta struct {
	account        mail.ID
	used, messages int64
}

// accountState is an account's row after a change.
type accountState struct {
	modseq int64
	inbox  mail.ID
	used   int64
}

// changeAccounts gives each account its next modseq. Accounts that are gone
// are not in the result. It holds the accounts until the transaction ends, so
// it comes before all that the change reads.
func changeAccounts(tx *db.Tx, deltas []accountDelta) (map[mail.ID]accountState, error) {
	slices.SortFunc(deltas, func(a, b accountDelta) int { return cmp.Compare(a.account, b.account) })
	rows := make([][]int64, len(deltas))
	accounts := make([]int64, len(deltas))
	for i, d := range deltas {
		rows[i] = []int64{int64(d.account), d.used, d.messages}
		accounts[i] = int64(d.account)
	}
	if len(accounts) > 1 {
		// An UPDATE alone takes its rows in no certain order.
		if err := tx.Lock("mailbox_account", "account", accounts); err != nil {
			return nil, err
		}
	}
	states := make(map[mail.ID]accountState, len(deltas))
	err := queryValues(tx, `UPDATE mailbox_account
		SET modseq = modseq + 1, used = used + v.column2, messages = messages + v.column3
		FROM (VALUES @rows) AS v
		WHERE mailbox_account.account = v.column1 AND erased = 0
		RETURNING account, modseq, inbox, used`, rows, func(r db.Rows) error {
		var account mail.ID
		var s accountState
		if err := r.Scan(&account, &s.modseq, &s.inbox, &s.used); err != nil {
			return err
		}
		states[account] = s
		return nil
	})
	return states, err
}

// changeAccount is changeAccounts for one; ErrNoMailbox if it is gone.
func changeAccount(tx *db.Tx, d accountDelta) (accountState, error) {
	states, err := changeAccounts(tx, []accountDelta{d})
	if err != nil {
		return accountState{}, err
	}
	s, ok := states[d.account]
	if !ok {
		return accountState{}, ErrNoMailbox
	}
	return s, nil
}

// addUsed corrects the counters of an account whose modseq is taken already.
func addUsed(tx *db.Tx, d accountDelta) error {
	_, err := tx.Exec(db.SQL(`UPDATE mailbox_account SET used = used + ?, messages = messages + ? WHERE account = ?`),
		d.used, d.messages, d.account)
	return err
}

// mailboxDelta is what a change adds to a mailbox's counters.
type mailboxDelta struct {
	mailbox, account          mail.ID
	modseq                    int64 // the change's
	uids                      int64 // how many are given out
	messages, unseen, deleted int64
	size                      int64
}

// count adds a message with some flags n times (-1: it leaves).
func (d *mailboxDelta) count(flags Flags, size, n int64) {
	d.messages += n
	d.size += n * size
	if flags&Seen == 0 {
		d.unseen += n
	}
	if flags&Deleted != 0 {
		d.deleted += n
	}
}

// mailboxState is a mailbox's row after a change.
type mailboxState struct {
	uidnext     int64
	uidvalidity uint32
}

// changeMailboxes changes counters. Mailboxes that are gone or hold no
// messages are not in the result.
func changeMailboxes(tx *db.Tx, deltas []mailboxDelta) (map[mail.ID]mailboxState, error) {
	slices.SortFunc(deltas, func(a, b mailboxDelta) int { return cmp.Compare(a.mailbox, b.mailbox) })
	rows := make([][]int64, len(deltas))
	for i, d := range deltas {
		rows[i] = []int64{int64(d.mailbox), int64(d.account), d.modseq, d.uids, d.messages, d.unseen, d.deleted, d.size}
	}
	states := make(map[mail.ID]mailboxState, len(deltas))
	err := queryValues(tx, `UPDATE mailbox
		SET modseq = v.column3, uidnext = uidnext + v.column4, messages = messages + v.column5,
			unseen = unseen + v.column6, deleted = deleted + v.column7, size = size + v.column8
		FROM (VALUES @rows) AS v
		WHERE mailbox.id = v.column1 AND account = v.column2 AND noselect = 0 AND name IS NOT NULL
		RETURNING id, uidnext, uidvalidity`, rows, func(r db.Rows) error {
		var id mail.ID
		var s mailboxState
		if err := r.Scan(&id, &s.uidnext, &s.uidvalidity); err != nil {
			return err
		}
		states[id] = s
		return nil
	})
	return states, err
}

// changeMailbox is changeMailboxes for one; ErrNoMailbox if it is gone.
func changeMailbox(tx *db.Tx, d mailboxDelta) (mailboxState, error) {
	states, err := changeMailboxes(tx, []mailboxDelta{d})
	if err != nil {
		return mailboxState{}, err
	}
	s, ok := states[d.mailbox]
	if !ok {
		return mailboxState{}, ErrNoMailbox
	}
	return s, nil
}
