package queue

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Filter chooses recipients. Its conditions are joined by "and"; a zero field
// is no condition.
type Filter struct {
	IDs    []mail.ID // of messages or recipients
	All    bool      // must be set if there is no condition at all
	Domain string    // of the recipient
	Site   string    // where it goes
	Sender string    // the reverse-path, "<>" for the null one
	State  State
	Host   string // the last attempt was made there, a name
	Reply  string // the line of the last reply has this in it, with its codes, in capitals or not
	Tag    string // of the message
	Before int64  // it was received before this, microseconds
	// Account is whose login sent the message, zero = anybody's.
	Account mail.ID
	Tenant  mail.ID
	Stream  string // of the message
	// Provider takes the mail of the recipient's site, as the queue knows it; what it
	// does not know yet is looked up.
	Provider string
	// Last is asked about the last attempt of those that fulfil the rest; of the
	// recipient it knows Code, Enhanced, Reply, Ours and Host alone. nil = any.
	Last   func(*Recipient) bool
	Limit  int  // recipients, 0 = all
	DryRun bool // verbs only count what they would touch

	sites map[string]bool // those of Provider
}

// ErrNoFilter says that a filter chooses nothing and does not say All either.
var ErrNoFilter = errors.New("say which messages: ids, a domain, a route, a sender, a state, a host, a provider, a reply, a class, a tag, a stream, an account, a tenant, an age, or all")

func (f Filter) check() error {
	if !f.All && len(f.IDs) == 0 && f.Domain == "" && f.Site == "" && f.Sender == "" && f.State == 0 && f.Account == 0 &&
		f.Host == "" && f.Reply == "" && f.Tag == "" && f.Before == 0 && f.Last == nil &&
		f.Tenant == 0 && f.Stream == "" && f.Provider == "" {
		return ErrNoFilter
	}
	return nil
}

// condition returns the SQL condition for what needs no list, and its
// arguments.
func (f Filter) condition() (string, []any) {
	parts := []string{"1 = 1"}
	var args []any
	add := func(part string, arg any) {
		parts = append(parts, part)
		args = append(args, arg)
	}
	if f.Domain != "" {
		d, err := mail.ParseDomain(f.Domain)
		if err != nil {
			d.ASCII = strings.ToLower(f.Domain)
		}
		add("r.domain = ?", d.ASCII)
	}
	if f.Site != "" {
		add("r.site = ?", f.Site)
	}
	if f.Sender != "" {
		sender := strings.Trim(f.Sender, "<>")
		if a, err := mail.ParseAddress(sender); err == nil {
			sender = a.ASCII()
		}
		// Engines fold the column by ASCII alone, but an argument by their locale.
		add("lower(m.sender) = ?", lowerASCII(sender))
	}
	if f.Account != 0 {
		add("m.account = ?", int64(f.Account))
	}
	if f.Tenant != 0 {
		add("m.tenant = ?", int64(f.Tenant))
	}
	if f.Stream != "" {
		add("m.stream = ?", f.Stream)
	}
	if f.State != 0 {
		add("r.state = ?", int(f.State))
	}
	if f.Host != "" {
		add("lower(r.host) = ?", lowerASCII(f.Host))
	}
	if f.Tag != "" {
		// One of the lines that the column holds.
		tag := literally(f.Tag)
		parts = append(parts, `(m.tags = ? OR m.tags LIKE ? ESCAPE '\' OR m.tags LIKE ? ESCAPE '\' OR m.tags LIKE ? ESCAPE '\')`)
		args = append(args, f.Tag, tag+"\n%", "%\n"+tag, "%\n"+tag+"\n%")
	}
	if f.Before != 0 {
		add("m.received < ?", f.Before)
	}
	return strings.Join(parts, " AND "), args
}

// last are the columns that sites, Reply and Last are asked about.
func (f Filter) last() string {
	if f.Last == nil && f.sites == nil && f.Reply == "" {
		return ""
	}
	return ", r.site, r.code, r.enhanced, r.reply, r.ours, r.host"
}

// row reads a row of dest and last, and says whether it is wanted.
func (f Filter) row(rows db.Rows, dest ...any) (bool, error) {
	if f.last() == "" {
		return true, rows.Scan(dest...)
	}
	var site string
	var r Recipient
	err := rows.Scan(append(dest, &site, &r.Code, &r.Enhanced, &r.Reply, &r.Ours, &r.Host)...)
	return err == nil && (f.sites == nil || f.sites[site]) && f.replied(&r) && (f.Last == nil || f.Last(&r)), err
}

// replied tells whether a line like that of Reply was the last one that came: what people
// read is what they look for.
func (f Filter) replied(r *Recipient) bool {
	return f.Reply == "" || strings.Contains(lowerASCII(mail.ReplyLine(r.Code, r.Enhanced, r.Reply)), lowerASCII(f.Reply))
}

// literally is a text whose letters all mean themselves in a LIKE.
func literally(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}

// lowerASCII folds A to Z and leaves everything else as it is.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

const filtered = " FROM queue_recipient r JOIN queue_message m ON m.id = r.message WHERE "

// choose calls fn with the ids of the recipients chosen, ascending, in slices
// that are each of one read.
func (q *Queue) chosen(ctx context.Context, f Filter, fn func(ids []int64) (took int, err error)) error {
	f, err := q.ready(ctx, f)
	if err != nil {
		return err
	}
	left := f.Limit
	give := func(ids []int64) (done bool, err error) {
		if f.Limit > 0 {
			ids = ids[:min(len(ids), left)]
		}
		if len(ids) == 0 {
			return false, nil
		}
		took, err := fn(ids)
		left -= took
		return f.Limit > 0 && left <= 0, err
	}
	if len(f.IDs) > 0 {
		return q.chosenByID(ctx, f, give)
	}
	var after int64
	for {
		var ids []int64
		seen := 0
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			ids, seen, err = slow(tx, f, &after)
			return err
		})
		if err != nil || seen == 0 {
			return err
		}
		if done, err := give(ids); done || err != nil {
			return err
		}
	}
}

// slow looks at the next rows behind after, in the order of their ids, whether
// they match or not, so that each read is short.
func slow(tx *db.Tx, f Filter, after *int64) (ids []int64, seen int, err error) {
	condition, args := f.condition()
	s := db.SQL("SELECT r.id, CASE WHEN " + condition + " THEN 1 ELSE 0 END" + f.last() + filtered + "r.id > ? ORDER BY r.id LIMIT ?")
	rows, err := tx.Query(s, append(args, *after, slice)...)
	if err != nil {
		return nil, 0, err
	}
	last := *after
	err = db.Each(rows, func(r db.Rows) error {
		var matches bool
		wanted, err := f.row(r, &last, &matches)
		if err != nil {
			return err
		}
		seen++
		if matches && wanted {
			ids = append(ids, last)
		}
		return nil
	})
	*after = last
	return ids, seen, err
}

func (q *Queue) chosenByID(ctx context.Context, f Filter, give func([]int64) (bool, error)) error {
	condition, args := f.condition()
	var ids []int64
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		ids = ids[:0]
		for _, column := range []string{"r.id", "r.message"} {
			s := db.SQL("SELECT r.id" + f.last() + filtered + condition + " AND " + column + " IN (@ids)")
			err := tx.QueryIn(s, db.In{Before: args, IDs: plainIDs(f.IDs)}, func(rows db.Rows) error {
				var id int64
				wanted, err := f.row(rows, &id)
				if wanted {
					ids = append(ids, id)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(ids)
	for part := range slices.Chunk(slices.Compact(ids), slice) {
		if done, err := give(part); done || err != nil {
			return err
		}
	}
	return nil
}

var selectRecipients = db.SQL("SELECT " + recipientColumns + " FROM queue_recipient WHERE id IN (@ids) ORDER BY id")

// List returns the messages of the recipients chosen, with those recipients
// alone, oldest first.
func (q *Queue) List(ctx context.Context, f Filter) ([]*Message, error) {
	var out []*Message
	err := q.Parts(ctx, f, func(part []*Message) error {
		// A message may continue from the part before.
		if n := len(out); n > 0 && len(part) > 0 && out[n-1].ID == part[0].ID {
			out[n-1].Recipients = append(out[n-1].Recipients, part[0].Recipients...)
			part = part[1:]
		}
		out = append(out, part...)
		return nil
	})
	return out, err
}

// Parts calls fn with what List returns, a few hundred recipients at a time: a message
// with more comes again in the next part. It holds no transaction while fn runs; an error
// of fn ends it.
func (q *Queue) Parts(ctx context.Context, f Filter, fn func([]*Message) error) error {
	return q.chosen(ctx, f, func(ids []int64) (int, error) {
		var part []*Message
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			var g group
			if err := tx.QueryIn(selectRecipients, db.In{IDs: ids}, g.add); err != nil {
				return err
			}
			part, err = g.messages(tx)
			return err
		})
		if err == nil {
			err = fn(part)
		}
		return len(ids), err
	})
}

// Show returns one message with all of its recipients that are left, or with
// the one recipient whose id is given; ErrNotFound if there is none.
func (q *Queue) Show(ctx context.Context, id mail.ID) (*Message, error) {
	list, err := q.List(ctx, Filter{IDs: []mail.ID{id}})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	return list[0], nil
}

var countStates = db.SQL("SELECT state, COUNT(*) FROM queue_recipient GROUP BY state")

// Stats counts the recipients by state.
func (q *Queue) Stats(ctx context.Context) (map[State]int64, error) {
	out := map[State]int64{}
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		clear(out)
		rows, err := tx.Query(countStates)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var s State
			var n int64
			err := r.Scan(&s, &n)
			out[s] = n
			return err
		})
	})
	return out, err
}
