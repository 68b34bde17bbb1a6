package history

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mailbox"
)

// query is one key of a SEARCH, as the model judges it and as a world is asked.
type query struct {
	words string
	match func(*msg) bool
	ask   func(*asking) mailbox.Query
}

// asking is a world that is about to be asked.
type asking struct {
	w   *world
	v   *mailbox.View
	err error
}

func (g *generator) search(v *view) operation {
	q := g.query(v, 2)
	return operation{
		words: fmt.Sprintf("%v searches %s", v, q.words),
		model: func() string {
			var found []uint32
			for _, uid := range v.present() {
				if q.match(v.box.at(uid)) {
					found = append(found, uid)
				}
			}
			return fmt.Sprint(found)
		},
		world: func(w *world) string {
			a := &asking{w: w, v: w.views[v.number]}
			keys := q.ask(a)
			if a.err != nil {
				return kind(a.err)
			}
			found, err := a.v.Search(w.ctx, keys)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(found)
		},
	}
}

func plainQuery(q mailbox.Query, match func(*msg) bool) query {
	return query{words: fmt.Sprintf("%T%v", q, q), match: match, ask: func(*asking) mailbox.Query { return q }}
}

// query draws a condition of at most some levels.
func (g *generator) query(v *view, levels int) query {
	if levels > 0 {
		switch g.r.IntN(6) {
		case 0:
			return g.joined(v, levels-1, true)
		case 1:
			return g.joined(v, levels-1, false)
		case 2:
			q := g.query(v, levels-1)
			return query{
				words: "not " + q.words, match: func(m *msg) bool { return !q.match(m) },
				ask: func(a *asking) mailbox.Query { return mailbox.Not{Query: q.ask(a)} },
			}
		}
	}
	switch g.r.IntN(4) {
	case 0:
		return g.textQuery()
	case 1:
		return g.numberQuery(v)
	}
	return g.rowQuery(v)
}

func (g *generator) joined(v *view, levels int, and bool) query {
	list := make([]query, 1+g.r.IntN(3))
	words := make([]string, len(list))
	for i := range list {
		list[i] = g.query(v, levels)
		words[i] = list[i].words
	}
	q := query{words: "(" + strings.Join(words, map[bool]string{true: " and ", false: " or "}[and]) + ")"}
	q.match = func(m *msg) bool {
		for _, sub := range list {
			if sub.match(m) != and {
				return !and
			}
		}
		return and
	}
	q.ask = func(a *asking) mailbox.Query {
		subs := make([]mailbox.Query, len(list))
		for i := range list {
			subs[i] = list[i].ask(a)
		}
		if and {
			return mailbox.And(subs)
		}
		return mailbox.Or(subs)
	}
	return q
}

func (g *generator) rowQuery(v *view) query {
	switch g.r.IntN(7) {
	case 0:
		return plainQuery(mailbox.All{}, func(*msg) bool { return true })
	case 1:
		k := pick(g.r, keywordPool())
		return plainQuery(mailbox.HasKeyword(k), func(m *msg) bool {
			return slices.ContainsFunc(m.keywords, func(have string) bool { return strings.EqualFold(have, k) })
		})
	case 2:
		return plainQuery(mailbox.IsRecent{}, func(m *msg) bool { return v.recent[m.uid] })
	case 3:
		n := int64(g.r.IntN(600))
		return plainQuery(mailbox.Larger(n), func(m *msg) bool { return m.size > n })
	case 4:
		n := int64(g.r.IntN(600))
		return plainQuery(mailbox.Smaller(n), func(m *msg) bool { return m.size < n })
	}
	f := mailbox.Flags(1) << g.r.IntN(5)
	if g.r.IntN(4) == 0 {
		f |= mailbox.Flags(1) << g.r.IntN(5)
	}
	return plainQuery(mailbox.HasFlags(f), func(m *msg) bool { return m.flags&f == f })
}

// numberQuery draws conditions on UIDs, sequence numbers, days and changes.
func (g *generator) numberQuery(v *view) query {
	from := baseDay + int64(g.r.IntN(days))
	to := from + int64(g.r.IntN(days))
	in := func(day int64) bool { return from <= day && day < to }
	switch g.r.IntN(5) {
	case 0:
		return plainQuery(mailbox.Date{From: from, To: to}, func(m *msg) bool { return in(m.date / dayMicro) })
	case 1:
		return plainQuery(mailbox.Sent{From: from, To: to}, func(m *msg) bool {
			if m.content.day >= 0 {
				return in(m.content.day)
			}
			return in(m.date / dayMicro)
		})
	case 2:
		if list := v.present(); len(list) > 0 {
			return since(v, pick(g.r, list))
		}
	case 3:
		set, has := g.set(uint32(len(v.uids)), uint32(len(v.uids)))
		return plainQuery(mailbox.Seqs{Set: set}, func(m *msg) bool { return has(uint32(v.seq(m.uid))) })
	}
	largest := uint32(0)
	if n := len(v.uids); n > 0 {
		largest = v.uids[n-1]
	}
	set, has := g.set(largest, v.box.uidnext+3)
	return plainQuery(mailbox.UIDs{Set: set}, func(m *msg) bool { return has(m.uid) })
}

// set draws ranges up to most, in either order, with "*" being a number.
func (g *generator) set(star, most uint32) (mailbox.Set, func(uint32) bool) {
	var set mailbox.Set
	for range 1 + g.r.IntN(3) {
		set = append(set, mailbox.Range{First: g.r.Uint32N(most + 1), Last: g.r.Uint32N(most + 1)})
	}
	return set, func(n uint32) bool {
		return slices.ContainsFunc(set, func(r mailbox.Range) bool {
			if r.First == 0 {
				r.First = star
			}
			if r.Last == 0 {
				r.Last = star
			}
			return min(r.First, r.Last) <= n && n <= max(r.First, r.Last)
		})
	}
}

// since matches what has changed no earlier than a message did. Its modseq is
// each world's own.
func since(v *view, uid uint32) query {
	step := v.box.at(uid).step
	return query{
		words: fmt.Sprintf("changed since uid %d", uid),
		match: func(m *msg) bool { return m.step >= step },
		ask: func(a *asking) mailbox.Query {
			var modseq int64
			err := a.v.Rows(a.w.ctx, []uint32{uid}, 0, func(r mailbox.Row) error {
				modseq = r.Modseq
				return nil
			})
			if err != nil {
				a.err = err
			}
			return mailbox.ChangedSince(modseq)
		},
	}
}

func (g *generator) textQuery() query {
	word := pick(g.r, searchWords())
	switch g.r.IntN(4) {
	case 0:
		word = strings.ToUpper(word)
	case 1:
		word = strings.ToLower(word)[1:]
	case 2:
		word = pick(g.r, []string{"grüße", "m ipsum", "Lorem\r\n", "missing", ""})
	}
	has := func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(word)) }
	switch g.r.IntN(4) {
	case 0:
		return plainQuery(mailbox.Body(word), func(m *msg) bool { return has(m.content.body) })
	case 1:
		return plainQuery(mailbox.Text(word), func(m *msg) bool {
			return word == "" || has(m.content.body) || has("Subject: "+m.content.subject)
		})
	case 2:
		to := pick(g.r, userNames())
		return plainQuery(mailbox.Header{Name: "delivered-TO", Contains: to}, func(m *msg) bool {
			_, text, is := strings.Cut(m.prefix, "Delivered-To: ")
			return is && strings.Contains(strings.ToLower(text), strings.ToLower(to))
		})
	}
	return plainQuery(mailbox.Header{Name: "Subject", Contains: word}, func(m *msg) bool { return has(m.content.subject) })
}
