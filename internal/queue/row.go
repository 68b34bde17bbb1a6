package queue

import (
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	messageColumns   = "id, tenant, account, stream, tags, body, prefix, size, sender, declared, eightbit, utf8, ret, envid, received, expires, deadline, late, priority, requiretls, longlines, until"
	recipientColumns = "id, message, address, domain, notify, orcpt, site, state, owner, wish, attempts, next, code, enhanced, reply, ours, host, expired, delayed, received, level, tell, flow"
)

var insertMessage = db.Insert{Into: "queue_message", Columns: strings.Split(messageColumns, ", ")}

var insertRecipient = db.Insert{Into: "queue_recipient", Columns: strings.Split(recipientColumns, ", ")}

// updateRecipient changes rows that are known to exist: as an upsert it takes
// many rows with values of their own in one statement of both dialects.
var updateRecipient = db.Insert{
	Into: "queue_recipient", Columns: insertRecipient.Columns,
	Conflict: `ON CONFLICT (id) DO UPDATE SET state = excluded.state, owner = excluded.owner, wish = excluded.wish,
		attempts = excluded.attempts, next = excluded.next, code = excluded.code, enhanced = excluded.enhanced,
		reply = excluded.reply, ours = excluded.ours, host = excluded.host, expired = excluded.expired`,
}

func messageRow(m *Message) []any {
	return []any{int64(m.ID), int64(m.Tenant), int64(m.Account), m.Stream, strings.Join(m.Tags, "\n"), int64(m.Body),
		m.Prefix, m.Size, m.From.ASCII(), m.Envelope.Size, m.EightBit, m.UTF8, m.Ret, m.EnvID, m.Received, m.Expires,
		m.By.At, lateOf(m.By), int(m.Priority), tlsOf(m.Envelope), m.LongLines, m.Until && m.Release > m.Received}
}

// What a message is worth behind its deadline, as its row has it.
const (
	lateReturn = 1 << iota
	lateTrace
)

func lateOf(b mail.DeliverBy) (late int) {
	if b.Return {
		late |= lateReturn
	}
	if b.Trace {
		late |= lateTrace
	}
	return late
}

// What the sender wants of TLS, as the column requiretls has it.
const (
	tlsRequired = 1 + iota
	tlsOptional
)

func tlsOf(e mail.Envelope) int {
	switch {
	case e.RequireTLS:
		return tlsRequired
	case e.TLSOptional:
		return tlsOptional
	}
	return 0
}

func recipientRow(m *Message, r *Recipient, owner mail.ID) []any {
	var w wish
	switch {
	case r.State == Held:
		owner = mail.ID(r.Holder)
	case r.State == Failed && r.ByHand:
		w = wishBounce
	}
	return []any{int64(r.ID), int64(m.ID), r.Address.ASCII(), r.Address.Domain.ASCII, int(r.Notify), r.ORCPT, r.Site,
		int(r.State), int64(owner), int(w), r.Attempts, r.Next, r.Code, r.Enhanced, r.Reply, r.Ours, r.Host,
		r.Expired, r.Delayed, max(m.Received, m.Release), m.Priority.Level(), tellAt(m), m.flow()}
}

// tellAt is when the sender is to hear that the message was not delivered in time
// (RFC 2852 §4.1.3); 0 = never.
func tellAt(m *Message) int64 {
	if m.By.Return {
		return 0 // it goes back then
	}
	return m.By.At
}

func scanMessage(rows db.Rows) (*Message, error) {
	m := new(Message)
	var tags, sender string
	var late, tls int
	err := rows.Scan(&m.ID, &m.Tenant, &m.Account, &m.Stream, &tags, &m.Body, &m.Prefix, &m.Size, &sender,
		&m.Envelope.Size, &m.EightBit, &m.UTF8, &m.Ret, &m.EnvID, &m.Received, &m.Expires,
		&m.By.At, &late, &m.Priority, &tls, &m.LongLines, &m.Until)
	m.RequireTLS, m.TLSOptional = tls == tlsRequired, tls == tlsOptional
	m.By.Return, m.By.Trace = late&lateReturn != 0, late&lateTrace != 0
	if tags != "" {
		m.Tags = strings.Split(tags, "\n")
	}
	m.From = parseAddress(sender)
	return m, err
}

// scanRecipient reads recipientColumns.
func scanRecipient(rows db.Rows) (message mail.ID, r Recipient, err error) {
	var address, domain string
	var owner, level, tell, flow int64
	var w wish
	err = rows.Scan(&r.ID, &message, &address, &domain, &r.Notify, &r.ORCPT, &r.Site, &r.State, &owner, &w,
		&r.Attempts, &r.Next, &r.Code, &r.Enhanced, &r.Reply, &r.Ours, &r.Host, &r.Expired, &r.Delayed, &r.NotBefore, &level, &tell, &flow)
	r.Address = parseAddress(address)
	switch r.State {
	case Held:
		r.Holder = Holder(owner)
	case Leased:
		r.Wished = w.String()
	case Failed:
		r.ByHand = w == wishBounce
	}
	return message, r, err
}

// parseAddress reads what Address.ASCII wrote. An address that rules of a later
// version refuse is still split where it was joined.
func parseAddress(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err == nil || s == "" {
		return a
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return mail.Address{Local: s}
	}
	return mail.Address{Local: s[:at], Domain: mail.Domain{ASCII: s[at+1:]}}
}

var selectMessages = db.SQL("SELECT " + messageColumns + " FROM queue_message WHERE id IN (@ids)")

// messages reads messages without their recipients.
func messages(tx *db.Tx, ids []int64) (map[mail.ID]*Message, error) {
	out := make(map[mail.ID]*Message, len(ids))
	err := tx.QueryIn(selectMessages, db.In{IDs: ids}, func(rows db.Rows) error {
		m, err := scanMessage(rows)
		out[m.ID] = m
		return err
	})
	return out, err
}

// group is recipients read from the database, with their messages in the order
// in which they came.
type group struct {
	order []mail.ID
	of    map[mail.ID][]Recipient
}

func (g *group) add(rows db.Rows) error {
	message, r, err := scanRecipient(rows)
	if err != nil {
		return err
	}
	if g.of == nil {
		g.of = map[mail.ID][]Recipient{}
	}
	if _, known := g.of[message]; !known {
		g.order = append(g.order, message)
	}
	g.of[message] = append(g.of[message], r)
	return nil
}

// messages gives the messages with the recipients collected.
func (g *group) messages(tx *db.Tx) ([]*Message, error) {
	ids := make([]int64, len(g.order))
	for i, id := range g.order {
		ids[i] = int64(id)
	}
	found, err := messages(tx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]*Message, 0, len(ids))
	for _, id := range g.order {
		if m := found[id]; m != nil {
			m.Recipients = g.of[id]
			for i := range m.Recipients {
				// Where the sender gave no time, the column repeats the message's.
				if r := &m.Recipients[i]; r.NotBefore <= m.Received {
					r.NotBefore = 0
				}
			}
			out = append(out, m)
		}
	}
	return out, nil
}
