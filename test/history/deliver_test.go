package history

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

func textMark(parts ...string) uint32 {
	h := fnv.New32a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // a hash never fails
	}
	return h.Sum32()
}

// copying is one message's way to one mailbox.
type copying struct {
	message  int
	account  int
	box      string // empty = INBOX by its default, else by its id
	stranger int    // whose mailbox box is, if not the account's own
	prefix   string
	date     int64
	flags    mailbox.Flags
	keywords []string
	content  *content
}

// deliver files one to three messages to several accounts in one transaction.
func (g *generator) deliver() operation {
	var list []copying
	var words []string
	for range 1 + g.r.IntN(3) {
		c := g.m.newContent(g.r, g.references())
		g.m.messagesMade++
		for _, n := range g.r.Perm(len(g.m.accounts))[:1+g.r.IntN(min(3, len(g.m.accounts)))] {
			d := g.copyFor(g.m.accounts[n], c)
			if d.stranger != 0 {
				// Alone: who files to somebody else's mailbox takes the rightful
				// deliveries of the same transaction to it down with it.
				list, words = nil, nil
			} else if len(list) > 0 && list[0].stranger != 0 {
				continue
			}
			list = append(list, d)
			words = append(words, fmt.Sprintf("m%d for a%d %q", d.message, d.account, d.box))
		}
	}
	return operation{
		words: "deliver " + strings.Join(words, ", "),
		model: func() string { return g.m.deliver(list) },
		world: func(w *world) string { return w.deliver(list) },
	}
}

func (g *generator) copyFor(a *acct, c *content) copying {
	d := copying{
		message: g.m.messagesMade, account: a.number, content: c, flags: mailbox.Flags(g.r.IntN(32)) &^ mailbox.Deleted,
		date: (baseDay+int64(g.r.IntN(days)))*dayMicro + int64(g.r.IntN(dayMicro)), keywords: g.keywords(),
	}
	if g.r.IntN(2) == 0 {
		d.prefix = ownPrefix("w@content.test", a.address.String())
	}
	switch g.r.IntN(10) {
	case 0, 1, 2:
		d.box = pick(g.r, a.names())
	case 3:
		other := pick(g.r, g.m.accounts)
		d.box, d.stranger = mailbox.Inbox, other.number
	}
	return d
}

// references draws whom a message answers: Message-IDs of what some account
// has, and of nothing that anybody has.
func (g *generator) references() (ids []string) {
	if g.r.IntN(3) > 0 {
		return nil
	}
	for range 1 + g.r.IntN(3) {
		b := pick(g.r, sortedBoxes(g.account()))
		if len(b.list) > 0 && g.r.IntN(4) > 0 {
			// What intake took may be there twice, in threads of its own.
			if mm := pick(g.r, b.list); mm.content.trace == 0 {
				ids = append(ids, mm.content.messageID)
				continue
			}
		}
		ids = append(ids, fmt.Sprintf("<none%d@content.test>", g.r.IntN(1000)))
	}
	return ids
}

func sortedBoxes(a *acct) []*box {
	var list []*box
	for _, name := range sortedKeys(a.boxes) {
		list = append(list, a.boxes[name])
	}
	return list
}

func (m *model) deliver(list []copying) string {
	step := m.tick()
	answers := make([]string, len(list))
	threads := make([]int, len(list))
	for i, d := range list {
		// Answers do not see what the same transaction files.
		threads[i] = d.message
		if len(d.content.refs) > 0 {
			if t := m.find(d.account).threadOf(append(append([]string(nil), d.content.refs...), d.content.messageID)); t != 0 {
				threads[i] = t
			}
		}
	}
	for i, d := range list {
		a := m.find(d.account)
		name := d.box
		if name == "" {
			name = mailbox.Inbox
		}
		b := a.boxes[name]
		keywords, fine := keywordSet(d.keywords)
		switch {
		case !fine:
			answers[i] = "bad keyword"
		case d.stranger != 0 && d.stranger != d.account, b.noselect:
			answers[i] = "no mailbox"
		default:
			uid := b.add(&msg{
				flags: d.flags, keywords: keywords, size: int64(len(d.prefix)) + d.content.size(), date: d.date, prefix: d.prefix,
				content: d.content, message: d.message, thread: threads[i],
			}, step)
			answers[i] = fmt.Sprint(uid)
		}
	}
	return strings.Join(answers, ", ")
}

func (w *world) deliver(list []copying) string {
	bodies := map[int]blob.Body{}
	described := map[int]*mailbox.Content{}
	var record []blob.Body
	deliveries := make([]*mailbox.Delivery, len(list))
	for i, d := range list {
		id := w.messageID(d.message)
		text := d.content.text()
		if _, known := bodies[d.content.number]; !known {
			body, err := w.putBody(text, id)
			if err != nil {
				return kind(err)
			}
			bodies[d.content.number] = body
			record = append(record, body)
			part := mime.ParseBytes([]byte(text), mime.Limits{})
			references, _ := mime.Header(text).Get("References")
			described[d.content.number] = mailbox.Describe(body.ID, part, references)
		}
		var box mail.ID
		if d.box != "" {
			owner := d.account
			if d.stranger != 0 {
				owner = d.stranger
			}
			b, err := w.p.mailboxes.Find(w.ctx, w.accounts.id(owner), d.box)
			if err != nil {
				return kind(err)
			}
			box = b.ID
		}
		deliveries[i] = &mailbox.Delivery{
			Account: w.accounts.id(d.account), Mailbox: box, Message: id, Body: bodies[d.content.number].ID, Prefix: []byte(d.prefix),
			Size: int64(len(d.prefix) + len(text)), Date: d.date, Flags: d.flags, Keywords: d.keywords, Content: described[d.content.number],
		}
	}
	err := w.p.db.Write(w.ctx, func(tx *db.Tx) error {
		return errors.Join(w.blobs.Record(tx, record...), w.p.mailboxes.File(tx, deliveries))
	})
	if err != nil {
		return kind(err)
	}
	answers := make([]string, len(list))
	for i, d := range deliveries {
		answers[i] = fmt.Sprint(d.UID)
		if d.Err != nil {
			answers[i] = kind(d.Err)
		}
	}
	return strings.Join(answers, ", ")
}

func (w *world) putBody(text string, message mail.ID) (blob.Body, error) {
	out := w.blobs.Create()
	defer out.Abort()
	if _, err := out.Write([]byte(text)); err != nil {
		return blob.Body{}, err
	}
	return out.Commit(w.ctx, blob.Meta{Message: message, Time: w.began})
}

// appendTo is APPEND.
func (g *generator) appendTo() operation {
	a := g.account()
	name := g.boxName(a)
	c := g.m.newContent(g.r, g.references())
	flags, keywords := mailbox.Flags(g.r.IntN(32)), g.keywords()
	date := (baseDay + int64(g.r.IntN(days))) * dayMicro
	if g.r.IntN(3) == 0 {
		date = 0
	}
	g.m.messagesMade++
	number := g.m.messagesMade
	return operation{
		words: fmt.Sprintf("a%d appends m%d to %q", a.number, number, name),
		model: func() string {
			clean, fine := cleaned(name)
			b := a.boxes[clean]
			keywords, valid := keywordSet(keywords)
			switch {
			case !fine || b == nil:
				return "no mailbox"
			case b.noselect:
				return "no select"
			case !a.fits(c.size()):
				return "over quota"
			case !valid:
				return "bad keyword"
			}
			mm := &msg{flags: flags, keywords: keywords, size: c.size(), date: date, content: c, message: number, thread: number}
			if len(c.refs) > 0 {
				if t := a.threadOf(append(append([]string(nil), c.refs...), c.messageID)); t != 0 {
					mm.thread = t
				}
			}
			return fmt.Sprint(b.add(mm, g.m.tick()))
		},
		world: func(w *world) string {
			act, err := w.p.mailboxes.Append(w.ctx, w.accounts.id(a.number), name)
			if err != nil {
				return kind(err)
			}
			if _, err := act.Write([]byte(c.text())); err != nil {
				act.Abort()
				return kind(err)
			}
			validity, uid, err := act.Commit(w.ctx, flags, keywords, date)
			if err != nil {
				return kind(err)
			}
			return w.appended(a.number, name, number, validity, uid)
		},
	}
}

// appended learns the id that a message was given by APPEND.
func (w *world) appended(account int, name string, message int, validity, uid uint32) string {
	v, err := w.p.mailboxes.Select(w.ctx, w.accounts.id(account), name, true)
	if err != nil {
		return kind(err)
	}
	defer v.Close()
	if v.Mailbox().UIDValidity != validity {
		return fmt.Sprintf("UIDVALIDITY %d, but APPEND said %d", v.Mailbox().UIDValidity, validity)
	}
	err = v.Rows(w.ctx, []uint32{uid}, 0, func(r mailbox.Row) error { return w.messages.bind(message, r.Message) })
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(uid)
}

// pick draws one of a list that is not empty.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
