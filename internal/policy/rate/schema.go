package rate

import "github.com/hayauma/hayauma/internal/db"

// Schema returns the tables of this package. A subject is a kind and its name:
// the id of an account or a key, or a domain.
//
//   - send_count: what a subject sent in one minute, counted since 1970. Rows
//     stay until the day they belong to is in send_usual.
//   - send_limit: limits of a subject's own; 0 = none.
//   - send_contact: to whom an account wrote, as a hash, and on which day last.
//   - send_usual: the usual best hour of an account in thousandths, over so many
//     days, the last of which is named.
//   - send_hold: accounts that may not send. Settled says whether what was told
//     to hold their queue has done so.
//   - send_waiting: what was counted of a message that may be taken back, in which
//     minute, and at which second of the process; it stays as long as send_count.
//   - send_erased: accounts that ended, as a subject too, and in which minute. Rows of
//     theirs in the other tables go; it stays as long as send_count.
func Schema() db.Schema {
	return db.Schema{Package: "rate", Steps: []db.Stmt{db.SQL(`
CREATE TABLE send_count (
	kind INTEGER NOT NULL,
	subject TEXT NOT NULL,
	minute INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	recipients INTEGER NOT NULL,
	fresh INTEGER NOT NULL,
	PRIMARY KEY (kind, subject, minute)
) WITHOUT ROWID;
CREATE INDEX send_count_minute ON send_count (minute);
CREATE TABLE send_limit (
	kind INTEGER NOT NULL,
	subject TEXT NOT NULL,
	rule TEXT NOT NULL,
	most INTEGER NOT NULL,
	PRIMARY KEY (kind, subject, rule)
) WITHOUT ROWID;
CREATE TABLE send_contact (
	account INTEGER NOT NULL,
	hash INTEGER NOT NULL,
	day INTEGER NOT NULL,
	PRIMARY KEY (account, hash)
) WITHOUT ROWID;
CREATE INDEX send_contact_day ON send_contact (day);
CREATE TABLE send_usual (
	account INTEGER PRIMARY KEY,
	day INTEGER NOT NULL,
	days INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	recipients INTEGER NOT NULL
);
CREATE TABLE send_hold (
	account INTEGER PRIMARY KEY,
	since INTEGER NOT NULL,
	reason TEXT NOT NULL,
	settled INTEGER NOT NULL
);
`), db.SQL(`
CREATE TABLE send_waiting (
	message INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	subject TEXT NOT NULL,
	minute INTEGER NOT NULL,
	at INTEGER NOT NULL,
	recipients INTEGER NOT NULL,
	PRIMARY KEY (message, kind, subject)
) WITHOUT ROWID;
CREATE INDEX send_waiting_minute ON send_waiting (minute);
`), db.SQL(`
CREATE TABLE send_erased (
	account INTEGER PRIMARY KEY,
	subject TEXT NOT NULL,
	minute INTEGER NOT NULL
);
CREATE INDEX send_waiting_subject ON send_waiting (kind, subject);
`)}}
}
