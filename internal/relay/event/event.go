// Package event is the history of every message: one row for each stage that it
// went through, written in the commit that made it so. Failed logins, which belong
// to no message, are kept beside them.
package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Kind is the stage that an event tells of.
type Kind string

// The stages of a message's life.
const (
	Accepted  Kind = "accepted"  // we took responsibility: the 250 after DATA
	Rejected  Kind = "rejected"  // we refused it after DATA
	Duplicate Kind = "duplicate" // the sender repeated what we have already
	Filed     Kind = "filed"     // it is in a mailbox
	Delivered Kind = "delivered" // the next host took responsibility
	Deferred  Kind = "deferred"  // an attempt failed for now
	Failed    Kind = "failed"    // an attempt failed for good
	Expired   Kind = "expired"   // given up: its lifetime is over
	Bounced   Kind = "bounced"   // the sender was told of a failure, or could not be: then there is a reason
	Delayed   Kind = "delayed"   // the sender was told of a delay
	Relayed   Kind = "relayed"   // the sender was told of a success
	Held      Kind = "held"      // somebody put it on hold
	Released  Kind = "released"  // somebody let it go on
	Rerouted  Kind = "rerouted"  // somebody gave it another way
	Recalled  Kind = "recalled"  // its sender took it back in time
	Deleted   Kind = "deleted"   // somebody took it out of the queue

	// What other hosts told later, after they took responsibility.
	Returned   Kind = "returned"   // it failed there
	Reported   Kind = "reported"   // anything else: a delay, a success, an answer
	Complained Kind = "complained" // its recipient did not want it
)

// LoginFailed belongs to no message: somebody could not log in.
const LoginFailed Kind = "login-failed"

// Event is one row of a message's history.
type Event struct {
	ID        mail.ID `json:"id"`
	Message   mail.ID `json:"message,omitzero"` // 0 = it is about none
	Tenant    mail.ID `json:"-"`
	Account   mail.ID `json:"-"`
	At        int64   `json:"-"` // microseconds
	Kind      Kind    `json:"kind"`
	Stream    string  `json:"stream,omitempty"`
	Recipient string  `json:"recipient,omitempty"`
	Key       int64   `json:"-"` // hash of the Message-ID on the first event of a message, else 0
	Detail    Detail  `json:"detail"`
}

// Detail is what the trace shows of an event; each stage fills what it knows.
type Detail struct {
	From       string   `json:"from,omitempty"`       // reverse-path
	Recipients []string `json:"recipients,omitempty"` // of the transaction
	Queued     int      `json:"queued,omitempty"`     // how many of them are in the queue, for their way out or for later
	MessageID  string   `json:"message_id,omitempty"`
	Subject    string   `json:"subject,omitempty"`
	Size       int64    `json:"size,omitempty"`
	Door       string   `json:"door,omitempty"`
	Session    string   `json:"session,omitempty"`
	Peer       string   `json:"peer,omitempty"` // address and port
	Helo       string   `json:"helo,omitempty"`
	Login      string   `json:"login,omitempty"`
	Forwarded  string   `json:"forwarded,omitempty"` // the client, as a filter in front of us told
	TLS        string   `json:"tls,omitempty"`
	Wishes     string   `json:"wishes,omitempty"`  // of the sender: priority, time, TLS
	Tags       []string `json:"tags,omitempty"`    // words that access rules gave it
	Held       string   `json:"held,omitempty"`    // the access rules that hold it, for all of its recipients
	Account    string   `json:"account,omitempty"` // address of the mailbox's owner
	Mailbox    string   `json:"mailbox,omitempty"`
	UID        uint32   `json:"uid,omitempty"`
	Host       string   `json:"host,omitempty"`  // the remote's name
	Local      string   `json:"local,omitempty"` // our address from which an attempt went out
	Code       int      `json:"code,omitempty"`
	Enhanced   string   `json:"enhanced,omitempty"`
	Reply      string   `json:"reply,omitempty"`
	Ours       bool     `json:"ours,omitempty"`   // Reply is our own finding
	Before     []string `json:"before,omitempty"` // what an attempt met at other addresses before: when, where, what
	Class      string   `json:"class,omitempty"`  // of a failure: see package classify
	Attempt    int      `json:"attempt,omitempty"`
	Next       string   `json:"next,omitempty"`   // when the next attempt is due, or is allowed after a failed login, RFC 3339
	Millis     int64    `json:"millis,omitempty"` // how long the attempt took
	Other      string   `json:"other,omitempty"`  // id of the message that this event made, a bounce; of one Accepted: that it tells of
	Reason     string   `json:"reason,omitempty"`
	Source     string   `json:"source,omitempty"`    // how it is known what others told later
	Mechanism  string   `json:"mechanism,omitempty"` // of a login
	More       int      `json:"more,omitempty"`      // the event stands for so many that have none of their own
}

// Schema returns the tables of this package. On PostgreSQL, where transactions
// commit in another order than they number their events, each row also carries
// the transaction that wrote it: see After.
func Schema() db.Schema {
	const table = `
CREATE TABLE event (
	id        INTEGER PRIMARY KEY,
	message   INTEGER NOT NULL,
	tenant    INTEGER NOT NULL,
	account   INTEGER NOT NULL,
	at        INTEGER NOT NULL,
	kind      TEXT NOT NULL,
	stream    TEXT NOT NULL,
	recipient TEXT NOT NULL,
	key       INTEGER,
	detail    TEXT NOT NULL
);
CREATE INDEX event_message ON event (message, id);
CREATE INDEX event_key ON event (key) WHERE key IS NOT NULL;
`
	return db.Schema{Package: "event", Steps: []db.Stmt{{SQL: table, Postgres: table + `
ALTER TABLE event ADD COLUMN writer xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX event_writer ON event (writer, id);
`}, db.SQL(`CREATE INDEX event_login ON event (account, id) WHERE message = 0`), db.SQL(`
DROP INDEX event_key;
CREATE TABLE event_key (
	key   INTEGER NOT NULL,
	event INTEGER NOT NULL,
	PRIMARY KEY (key, event)
) WITHOUT ROWID;
INSERT INTO event_key (key, event) SELECT key, id FROM event WHERE key IS NOT NULL ORDER BY key, id;
CREATE TABLE event_key_fresh (
	event INTEGER PRIMARY KEY,
	key   INTEGER NOT NULL
);
`)}}
}

var insert = db.Insert{
	Into:    "event",
	Columns: []string{"id", "message", "tenant", "account", "at", "kind", "stream", "recipient", "key", "detail"},
}

// Append writes events in their order, with an id and a time for those that
// have none. The ids are of this run of the transaction: where one transaction
// writes at a time, events are thus committed in the order of their ids.
func Append(tx *db.Tx, ids *mail.IDs, events []Event) error {
	now := mail.Micros(time.Now())
	rows := make([][]any, 0, len(events))
	var fresh [][]any
	values := make([]any, 0, len(events)*len(insert.Columns))
	var text bytes.Buffer
	details := json.NewEncoder(&text)
	for i := range events {
		e := &events[i] // stays as it is: the transaction may run again
		text.Reset()
		if err := details.Encode(&e.Detail); err != nil {
			return fmt.Errorf("event detail: %w", err)
		}
		id := e.ID
		if id == 0 {
			id = ids.Next()
		}
		var key any
		if e.Key != 0 {
			key = e.Key
			fresh = append(fresh, []any{int64(id), e.Key})
		}
		first := len(values)
		values = append(values, int64(id), int64(e.Message), int64(e.Tenant), int64(e.Account), cmp.Or(e.At, now),
			string(e.Kind), e.Stream, e.Recipient, key, strings.TrimSuffix(text.String(), "\n"))
		rows = append(rows, values[first:len(values):len(values)])
	}
	if err := tx.Insert(insertFresh, fresh...); err != nil {
		return err
	}
	return tx.Insert(insert, rows...)
}
