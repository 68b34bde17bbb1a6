package mailbox

import (
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
)

// Schema is the tables of this package.
//
//   - mailbox_account: the counters of an account. Every change takes its row
//     first, which puts the changes of an account in one order.
//   - mailbox: the mailboxes. One without a name is dead: Reap removes it. The
//     counters are those of its messages. No session has been told \Recent of
//     UIDs from recent up.
//   - mailbox_content: what the copies of one body share. It leaves with the
//     last of them.
//   - mailbox_message, mailbox_expunged: messages, and the memory of those
//     that are gone. UIDs grow with created, so what happened to a mailbox
//     after a modseq is the tail of its UIDs, the changed index, and the
//     tombstones; for an account, that of its mailboxes with a larger modseq.
//     A delivery thus enters no index in order of modseq.
//   - mailbox_deleted: the memory of mailboxes that are gone.
//   - mailbox_subscription: names, whether or not a mailbox has them.
func Schema() db.Schema {
	return db.Schema{Package: "mailbox", Steps: []db.Stmt{db.SQL(`
CREATE TABLE mailbox_account (
	account INTEGER PRIMARY KEY,
	modseq INTEGER NOT NULL,
	uidvalidity INTEGER NOT NULL,
	used INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	mailboxes INTEGER NOT NULL,
	inbox INTEGER NOT NULL,
	erased INTEGER NOT NULL
);
CREATE INDEX mailbox_account_erased ON mailbox_account (account) WHERE erased = 1;
CREATE TABLE mailbox (
	id INTEGER PRIMARY KEY,
	account INTEGER NOT NULL,
	name TEXT,
	role TEXT NOT NULL,
	noselect INTEGER NOT NULL,
	uidvalidity INTEGER NOT NULL,
	uidnext INTEGER NOT NULL,
	recent INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	unseen INTEGER NOT NULL,
	deleted INTEGER NOT NULL,
	size INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	created INTEGER NOT NULL
);
CREATE UNIQUE INDEX mailbox_name ON mailbox (account, name);
CREATE INDEX mailbox_dead ON mailbox (id) WHERE name IS NULL;
CREATE TABLE mailbox_content (
	body INTEGER PRIMARY KEY,
	header INTEGER NOT NULL,
	sent_day INTEGER NOT NULL,
	message_id TEXT NOT NULL,
	subject TEXT NOT NULL,
	structure BLOB NOT NULL
);
CREATE TABLE mailbox_message (
	mailbox INTEGER NOT NULL REFERENCES mailbox (id),
	uid INTEGER NOT NULL,
	account INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	created INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	keywords TEXT NOT NULL,
	size INTEGER NOT NULL,
	date INTEGER NOT NULL,
	message INTEGER NOT NULL,
	thread INTEGER NOT NULL,
	reply_key INTEGER NOT NULL,
	body INTEGER NOT NULL REFERENCES mailbox_content (body),
	prefix BLOB NOT NULL,
	PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
CREATE INDEX mailbox_message_changed ON mailbox_message (mailbox, modseq) WHERE modseq > created;
CREATE INDEX mailbox_message_body ON mailbox_message (body);
CREATE INDEX mailbox_message_reply ON mailbox_message (account, reply_key);
CREATE TABLE mailbox_expunged (
	mailbox INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	uid INTEGER NOT NULL,
	account INTEGER NOT NULL,
	message INTEGER NOT NULL,
	PRIMARY KEY (mailbox, modseq, uid)
) WITHOUT ROWID;
CREATE INDEX mailbox_expunged_log ON mailbox_expunged (account, modseq);
CREATE TABLE mailbox_deleted (
	account INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	mailbox INTEGER NOT NULL,
	PRIMARY KEY (account, modseq, mailbox)
) WITHOUT ROWID;
CREATE TABLE mailbox_subscription (
	account INTEGER NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (account, name)
) WITHOUT ROWID;
`)}}
}

// References are the columns that keep bodies alive.
func References() []blob.Reference {
	return []blob.Reference{{Table: "mailbox_message", Column: "body"}}
}

// chunk is how many message rows one Read or Write touches at most.
const chunk = 256

var insertMessage = db.Insert{Into: "mailbox_message", Columns: []string{
	"mailbox", "uid", "account", "modseq", "created", "flags", "keywords", "size", "date",
	"message", "thread", "reply_key", "body", "prefix",
}}

var insertExpunged = db.Insert{Into: "mailbox_expunged", Columns: []string{
	"mailbox", "modseq", "uid", "account", "message",
}}
