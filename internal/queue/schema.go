package queue

import (
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
)

// Schema is the tables of this package.
//
//   - queue_message: one row per message that has recipients left. Until is 1 if it
//     waits for a date, which no clock moves, and not for so long from acceptance on.
//   - queue_recipient: one row per recipient. Owner names the process that
//     leases the row, or is the Holder of one on hold, else 0. Wish is what somebody asked for while an attempt
//     was under way; the attempt's result grants it. The one to give it up stays on a row that
//     failed by hand. Received repeats the
//     message's, so that delay notices are found without a join. Level is the
//     message's priority as it is told apart. Tell is when the sender is to hear
//     that the recipient has nothing yet, besides the delay notice; 0 = never. Flow is
//     with whom it shares its turn (Message.flow).
//   - queue_demand: what providers asked for. Pause is 1 of a pause, 0 of what slows; 2 of
//     nobody's wish, but of a slow rate whose next message may go at until.
//
// A row that is born leased and leaves when delivered enters none of the
// partial indexes.
func Schema() db.Schema {
	return db.Schema{Package: "queue", Steps: []db.Stmt{db.SQL(`
CREATE TABLE queue_message (
	id INTEGER PRIMARY KEY,
	tenant INTEGER NOT NULL,
	account INTEGER NOT NULL,
	stream TEXT NOT NULL,
	tags TEXT NOT NULL,
	body INTEGER NOT NULL,
	prefix BLOB,
	size INTEGER NOT NULL,
	sender TEXT NOT NULL,
	declared INTEGER NOT NULL,
	eightbit INTEGER NOT NULL,
	utf8 INTEGER NOT NULL,
	ret TEXT NOT NULL,
	envid TEXT NOT NULL,
	received INTEGER NOT NULL,
	expires INTEGER NOT NULL
);
CREATE INDEX queue_message_body ON queue_message (body);
CREATE TABLE queue_recipient (
	id INTEGER PRIMARY KEY,
	message INTEGER NOT NULL REFERENCES queue_message (id),
	address TEXT NOT NULL,
	domain TEXT NOT NULL,
	notify INTEGER NOT NULL,
	orcpt TEXT NOT NULL,
	site TEXT NOT NULL,
	state INTEGER NOT NULL,
	owner INTEGER NOT NULL,
	wish INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	next INTEGER NOT NULL,
	code INTEGER NOT NULL,
	enhanced TEXT NOT NULL,
	reply TEXT NOT NULL,
	ours INTEGER NOT NULL,
	host TEXT NOT NULL,
	expired INTEGER NOT NULL,
	delayed INTEGER NOT NULL,
	received INTEGER NOT NULL
);
CREATE INDEX queue_recipient_message ON queue_recipient (message);
CREATE INDEX queue_recipient_due ON queue_recipient (next, id, site) WHERE state IN (1, 3);
CREATE INDEX queue_recipient_site ON queue_recipient (site, next, id) WHERE state IN (1, 3);
CREATE INDEX queue_recipient_failed ON queue_recipient (message, id) WHERE state = 4;
CREATE INDEX queue_recipient_late ON queue_recipient (received, message) WHERE state = 3 AND delayed = 0;
`), db.SQL("CREATE INDEX queue_recipient_served ON queue_recipient (message, id) WHERE state = 6;"), db.SQL(`
ALTER TABLE queue_message ADD COLUMN deadline INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_message ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_message ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_message ADD COLUMN requiretls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_message ADD COLUMN longlines INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_recipient ADD COLUMN level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_recipient ADD COLUMN tell INTEGER NOT NULL DEFAULT 0;
DROP INDEX queue_recipient_site;
CREATE INDEX queue_recipient_site ON queue_recipient (site, level, next, id) WHERE state IN (1, 3);
CREATE INDEX queue_recipient_urgent ON queue_recipient (next, id) WHERE state IN (1, 3) AND level > 0;
CREATE INDEX queue_recipient_tell ON queue_recipient (tell, message) WHERE state IN (1, 3) AND tell > 0;
`), db.SQL(`
ALTER TABLE queue_recipient ADD COLUMN flow INTEGER NOT NULL DEFAULT 0;
DROP INDEX queue_recipient_site;
CREATE INDEX queue_recipient_site ON queue_recipient (site, level, flow, next, id) WHERE state IN (1, 3);
`), db.SQL(`
DROP INDEX queue_recipient_late;
CREATE INDEX queue_recipient_late ON queue_recipient (received, message) WHERE (state = 3 OR state = 1 AND next > received + 5000000) AND delayed = 0;
`), db.SQL(`
CREATE TABLE queue_demand (
	provider TEXT NOT NULL,
	pause INTEGER NOT NULL,
	until INTEGER NOT NULL,
	lasts INTEGER NOT NULL,
	connections INTEGER NOT NULL,
	rate INTEGER NOT NULL,
	per INTEGER NOT NULL,
	why TEXT NOT NULL,
	rule INTEGER NOT NULL,
	PRIMARY KEY (provider, pause)
);
`), db.SQL(`
CREATE TABLE queue_demand_new (
	provider TEXT NOT NULL,
	pause INTEGER NOT NULL,
	until INTEGER NOT NULL,
	lasts INTEGER NOT NULL,
	connections INTEGER NOT NULL,
	rate INTEGER NOT NULL,
	per INTEGER NOT NULL,
	why TEXT NOT NULL,
	rule INTEGER NOT NULL,
	PRIMARY KEY (provider, pause, rule, connections, rate, per)
);
INSERT INTO queue_demand_new (provider, pause, until, lasts, connections, rate, per, why, rule)
	SELECT provider, pause, until, lasts, connections, rate, per, why, rule FROM queue_demand;
DROP TABLE queue_demand;
ALTER TABLE queue_demand_new RENAME TO queue_demand;
`), db.SQL("ALTER TABLE queue_message ADD COLUMN until INTEGER NOT NULL DEFAULT 0")}}
}

// References names the columns that keep bodies alive.
func References() []blob.Reference {
	return []blob.Reference{{Table: "queue_message", Column: "body"}}
}

// wish is what somebody asked for a recipient that is leased.
type wish uint8

const (
	wishHold wish = iota + 1
	wishBounce
	wishDelete
	wishHoldAccount // as wishHold, with all that its account has sent

	lastWish = wishHoldAccount
)

// String is what is to become of the recipient, "" = nobody asked for anything.
func (w wish) String() string {
	switch w {
	case wishHold, wishHoldAccount:
		return "held"
	case wishBounce:
		return "given up"
	case wishDelete:
		return "deleted"
	}
	return ""
}

// holder is who keeps what is on hold by a wish.
func (w wish) holder() Holder {
	switch w {
	case wishHoldAccount:
		return HeldWithAccount
	case wishDelete:
		return HeldUndeletable
	}
	return HeldByHand
}
