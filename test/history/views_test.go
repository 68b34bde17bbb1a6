package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mailbox"
)

// view is a session on a mailbox: what its client has been told.
type view struct {
	number   int
	acct     *acct
	box      *box
	readOnly bool
	uids     []uint32 // by sequence number
	top      uint32
	recent   map[uint32]bool
	others   map[uint32]bool // changed by other sessions since the last Poll
}

func (v *view) String() string { return fmt.Sprintf("session %d (%s)", v.number, v.box.name) }

func (v *view) seq(uid uint32) int {
	i, _ := slices.BinarySearch(v.uids, uid)
	return i + 1
}

// present are those UIDs of the view whose messages still exist.
func (v *view) present() (list []uint32) {
	for _, uid := range v.uids {
		if v.box.at(uid) != nil {
			list = append(list, uid)
		}
	}
	return list
}

// learn takes in what is new. \Recent is for the first session that may have it.
func (v *view) learn() (added bool) {
	for _, mm := range v.box.list {
		if mm.uid <= v.top {
			continue
		}
		added = true
		v.uids, v.top = append(v.uids, mm.uid), mm.uid
		if mm.uid >= v.box.mark {
			v.recent[mm.uid] = true
		}
	}
	if !v.readOnly {
		v.box.mark = max(v.box.mark, v.top+1)
	}
	return added
}

func (v *view) recents() (n int) {
	for _, uid := range v.uids {
		if v.recent[uid] {
			n++
		}
	}
	return n
}

// row is a message as FETCH shows it.
func (v *view) row(mm *msg) string {
	return fmt.Sprintf("%d: uid=%d flags=%d %q recent=%v size=%d date=%s m%d thread=m%d",
		v.seq(mm.uid), mm.uid, mm.flags, mm.keywords, v.recent[mm.uid], mm.size, dateText(mm.date), mm.message, mm.thread)
}

func (w *world) row(r mailbox.Row) string {
	date := r.Date
	if date >= w.began {
		date = 0
	}
	return fmt.Sprintf("%d: uid=%d flags=%d %q recent=%v size=%d date=%s %s thread=%s",
		r.Seq, r.UID, r.Flags, r.Keywords, r.Recent, r.Size, dateText(date), w.messageName(r.Message), w.messageName(r.Thread))
}

func dateText(micros int64) string {
	if micros == 0 {
		return "now"
	}
	return fmt.Sprint(micros)
}

func (g *generator) selectBox() operation {
	a := g.account()
	name, readOnly := g.boxName(a), g.r.IntN(4) == 0
	if g.r.IntN(2) == 0 {
		name = mailbox.Inbox
	}
	number := 0
	return operation{
		words: fmt.Sprintf("a%d opens %q as session %d (read-only: %v)", a.number, name, g.m.viewsMade+1, readOnly),
		model: func() string {
			name, fine := cleaned(name)
			b := a.boxes[name]
			if !fine || b == nil {
				return "no mailbox"
			}
			if b.noselect {
				return "no select"
			}
			g.m.viewsMade++
			number = g.m.viewsMade
			v := &view{number: number, acct: a, box: b, readOnly: readOnly, recent: map[uint32]bool{}, others: map[uint32]bool{}}
			v.learn()
			if !readOnly {
				b.written = b.mark
			}
			g.m.views = append(g.m.views, v)
			return fmt.Sprintf("%v recent=%d", v.uids, v.recents())
		},
		world: func(w *world) string {
			v, err := w.p.mailboxes.Select(w.ctx, w.accounts.id(a.number), name, readOnly)
			if err != nil {
				return kind(err)
			}
			w.views[number] = v
			return fmt.Sprintf("%v recent=%d", everything(v), v.Recent())
		},
	}
}

func everything(v *mailbox.View) []uint32 { return v.UIDs(mailbox.Set{{First: 1}}) }

func (g *generator) closeView(v *view) operation {
	return operation{
		words: fmt.Sprintf("%v ends", v),
		model: func() string {
			if !v.readOnly {
				v.box.written = v.box.mark
			}
			g.m.views = slices.DeleteFunc(g.m.views, func(o *view) bool { return o == v })
			return ok
		},
		world: func(w *world) string {
			w.views[v.number].Close()
			delete(w.views, v.number)
			return ok
		},
	}
}

func (g *generator) poll(v *view) operation {
	expunge := g.r.IntN(3) > 0
	return operation{
		words: fmt.Sprintf("%v polls (expunge: %v)", v, expunge),
		model: func() string { return v.poll(expunge) },
		world: func(w *world) string { return w.poll(v.number, expunge) },
	}
}

// poll tells a session what others did.
func (v *view) poll(expunge bool) string {
	if v.box.gone {
		return "no mailbox"
	}
	var expunged []uint32
	if expunge {
		for _, uid := range slices.Backward(slices.Clone(v.uids)) {
			if v.box.at(uid) == nil {
				i := v.seq(uid)
				expunged = append(expunged, uint32(i))
				v.uids = slices.Delete(v.uids, i-1, i)
			}
		}
	}
	var changed []*msg
	for uid := range v.others {
		if mm := v.box.at(uid); mm != nil {
			changed = append(changed, mm)
		}
	}
	slices.SortFunc(changed, func(a, b *msg) int { return (a.step-b.step)*1_000_000 + int(a.uid) - int(b.uid) })
	clear(v.others)
	added := v.learn()
	lines := []string{fmt.Sprintf("exists=%d new=%v recent=%d expunged=%v", len(v.uids), added, v.recents(), expunged)}
	for _, mm := range changed {
		lines = append(lines, v.row(mm))
	}
	return strings.Join(lines, "\n")
}

func (w *world) poll(number int, expunge bool) string {
	c, err := w.views[number].Poll(w.ctx, expunge)
	if err != nil {
		return kind(err)
	}
	if c.More {
		return "more to come, of so few messages"
	}
	lines := []string{fmt.Sprintf("exists=%d new=%v recent=%d expunged=%v", c.Exists, c.ExistsChanged, c.Recent, c.Expunged)}
	for _, r := range c.Flags {
		lines = append(lines, w.row(r))
	}
	return strings.Join(lines, "\n")
}

// someUIDs draws messages of a view, gone ones too.
func (g *generator) someUIDs(v *view, most int) []uint32 {
	list := []uint32{}
	for _, uid := range v.uids {
		if len(list) < most && g.r.IntN(3) == 0 {
			list = append(list, uid)
		}
	}
	if len(list) == 0 && len(v.uids) > 0 {
		list = append(list, pick(g.r, v.uids))
	}
	return list
}

func keywordPool() []string {
	return []string{"$Work", "$work", "Later", "LATER", "NonJunk", "$Forwarded"}
}

func (g *generator) keywords() (list []string) {
	for range g.r.IntN(3) {
		list = append(list, pick(g.r, keywordPool()))
	}
	if g.r.IntN(40) == 0 {
		list = append(list, pick(g.r, []string{"two words", "", "star*", `\Seen`}))
	}
	return list
}

// keywordSet is the keywords as they are kept; false if one of them is none.
func keywordSet(list []string) ([]string, bool) {
	var out []string
	for _, k := range list {
		if k == "" || strings.ContainsAny(k, ` *\`) {
			return nil, false
		}
		if !slices.ContainsFunc(out, func(have string) bool { return strings.EqualFold(have, k) }) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out, true
}

func (g *generator) store(v *view) operation {
	uids := g.someUIDs(v, 10)
	mode := mailbox.Mode(g.r.IntN(3))
	flags := mailbox.Flags(g.r.IntN(32))
	if g.r.IntN(2) == 0 {
		flags = pick(g.r, []mailbox.Flags{mailbox.Seen, mailbox.Deleted, mailbox.Flagged})
	}
	keywords := g.keywords()
	return operation{
		words: fmt.Sprintf("%v stores %s %d %q to %v", v, []string{"=", "+", "-"}[mode], flags, keywords, uids),
		model: func() string { return g.m.store(v, uids, mailbox.Change{Mode: mode, Flags: flags, Keywords: keywords}) },
		world: func(w *world) string {
			rows, err := w.views[v.number].Store(w.ctx, uids, mode, flags, keywords)
			if err != nil {
				return kind(err)
			}
			var lines []string
			for _, r := range rows {
				lines = append(lines, w.row(r))
			}
			return strings.Join(lines, "\n")
		},
	}
}

func (m *model) store(v *view, uids []uint32, c mailbox.Change) string {
	if v.readOnly {
		return "read-only"
	}
	keywords, fine := keywordSet(c.Keywords)
	switch {
	case c.Mode == mailbox.Remove:
		keywords = c.Keywords
	case !fine:
		return "bad keyword"
	}
	if v.box.gone {
		return "no mailbox"
	}
	var lines []string
	step := 0
	for _, uid := range uids {
		mm := v.box.at(uid)
		if mm == nil {
			continue
		}
		if mm.change(mailbox.Change{Mode: c.Mode, Flags: c.Flags, Keywords: keywords}) {
			if step == 0 {
				step = m.tick()
			}
			mm.step, v.box.step = step, step
			for _, o := range m.views {
				if o != v && o.box == v.box && uid <= o.top {
					o.others[uid] = true
				}
			}
		}
		lines = append(lines, v.row(mm))
	}
	return strings.Join(lines, "\n")
}

// change tells whether it changed anything.
func (mm *msg) change(c mailbox.Change) bool {
	flags, keywords := c.Flags, c.Keywords
	switch c.Mode {
	case mailbox.Add:
		flags = mm.flags | c.Flags
		keywords, _ = keywordSet(append(slices.Clone(mm.keywords), c.Keywords...))
	case mailbox.Remove:
		flags = mm.flags &^ c.Flags
		keywords = slices.DeleteFunc(slices.Clone(mm.keywords), func(have string) bool {
			return slices.ContainsFunc(c.Keywords, func(k string) bool { return strings.EqualFold(have, k) })
		})
	}
	if flags == mm.flags && slices.Equal(keywords, mm.keywords) {
		return false
	}
	mm.flags, mm.keywords = flags, keywords
	return true
}

func (g *generator) expunge(v *view) operation {
	var uids []uint32
	what := "all"
	// Of a mailbox that was deleted only EXPUNGE without UIDs tells.
	if g.r.IntN(2) == 0 && !v.box.gone {
		uids = g.someUIDs(v, 10)
		what = fmt.Sprint(uids)
	}
	return operation{
		words: fmt.Sprintf("%v expunges %s", v, what),
		model: func() string {
			switch {
			case v.readOnly:
				return "read-only"
			case v.box.gone:
				return "no mailbox"
			case uids == nil:
				uids = v.uids
			}
			return fmt.Sprint(g.m.expunge(v.box, uids))
		},
		world: func(w *world) string {
			some := uids
			if what == "all" {
				some = nil
			}
			gone, err := w.views[v.number].Expunge(w.ctx, some)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(gone)
		},
	}
}

func (m *model) expunge(b *box, uids []uint32) (gone []uint32) {
	for _, uid := range slices.Clone(uids) {
		if mm := b.at(uid); mm != nil && mm.flags&mailbox.Deleted != 0 {
			gone = append(gone, uid)
			b.remove(uid)
		}
	}
	if len(gone) > 0 {
		b.step = m.tick()
	}
	return gone
}

func (g *generator) transfer(v *view, move bool) operation {
	uids := g.someUIDs(v, 8)
	name := g.boxName(v.acct)
	verb := "copies"
	if move {
		verb = "moves"
	}
	return operation{
		words: fmt.Sprintf("%v %s %v to %q", v, verb, uids, name),
		model: func() string { return g.m.copyOrMove(v, uids, name, move) },
		world: func(w *world) string {
			act := w.views[v.number].Copy
			if move {
				act = w.views[v.number].Move
			}
			c, err := act(w.ctx, uids, name)
			if err != nil {
				return kind(err)
			}
			if to, err := w.p.mailboxes.Find(w.ctx, w.accounts.id(v.acct.number), name); err != nil || to.UIDValidity != c.UIDValidity {
				return fmt.Sprintf("UIDVALIDITY %d for %+v, %v", c.UIDValidity, to, err)
			}
			return fmt.Sprintf("%v to %v", c.From, c.To)
		},
	}
}

func (m *model) copyOrMove(v *view, uids []uint32, name string, move bool) string {
	if move && v.readOnly {
		return "read-only"
	}
	name, fine := cleaned(name)
	to := v.acct.boxes[name]
	switch {
	case !fine || to == nil:
		return "no mailbox"
	case to.noselect:
		return "no select"
	case v.box.gone && len(uids) > 0:
		return "no mailbox"
	}
	var octets int64
	for _, uid := range uids {
		if mm := v.box.at(uid); mm != nil {
			octets += mm.size
		}
	}
	if used, _ := v.acct.used(); !move && octets > 0 && v.acct.quota > 0 && used+octets > v.acct.quota {
		return "over quota"
	}
	from, into := m.transfer(v.box, to, uids, move)
	return fmt.Sprintf("%v to %v", from, into)
}

func (m *model) transfer(b, to *box, uids []uint32, move bool) (from, into []uint32) {
	step := 0
	for _, uid := range uids {
		mm := b.at(uid)
		if mm == nil {
			continue
		}
		if step == 0 {
			step = m.tick()
		}
		c := *mm
		from, into = append(from, uid), append(into, to.add(&c, step))
		if move {
			b.remove(uid)
			b.step = step
		}
	}
	return from, into
}

func (g *generator) rows(v *view) operation {
	uids := g.someUIDs(v, 20)
	return operation{
		words: fmt.Sprintf("%v reads %v", v, uids),
		model: func() string {
			var lines []string
			for _, uid := range uids {
				if mm := v.box.at(uid); mm != nil {
					lines = append(lines, v.row(mm)+" "+mm.shape())
				}
			}
			return strings.Join(lines, "\n")
		},
		world: func(w *world) string {
			lines, err := w.rows(w.views[v.number], uids)
			if err != nil {
				return kind(err)
			}
			return strings.Join(lines, "\n")
		},
	}
}

// shape is what a row tells of the text, and the text itself.
func (mm *msg) shape() string {
	c := mm.content
	day := c.day
	if day < 0 {
		day = mm.date / dayMicro
	}
	if mm.date == 0 && c.day < 0 {
		day = 0 // of today
	}
	return fmt.Sprintf("header=%d day=%d text=%x", len(mm.prefix)+c.trace+len(c.header), day, textMark(mm.prefix, c.text()))
}

func (w *world) rows(v *mailbox.View, uids []uint32) ([]string, error) {
	var lines []string
	err := v.Rows(w.ctx, uids, mailbox.WantBody, func(r mailbox.Row) error {
		text, err := readMessage(w.ctx, v, r)
		if err != nil {
			return err
		}
		day := r.SentDay
		if day >= w.began/dayMicro {
			day = 0
		}
		prefix := string(r.Prefix)
		text, fine := strings.CutPrefix(text, prefix)
		if !fine {
			return errors.New("a message does not begin with its prefix")
		}
		// Our own field has the time in it.
		if strings.HasPrefix(text, "Received: from "+peer) {
			if i := strings.Index(text, "From: "); i > 0 {
				text = text[i:]
			}
		}
		lines = append(lines, w.row(r)+fmt.Sprintf(" header=%d day=%d text=%x", r.Header, day, textMark(prefix, text)))
		return nil
	})
	return lines, err
}

func readMessage(ctx context.Context, v *mailbox.View, r mailbox.Row) (string, error) {
	body, err := v.Open(ctx, r)
	if err != nil {
		return "", err
	}
	text := make([]byte, body.Size())
	n, err := body.ReadAt(text, 0)
	if n == len(text) {
		err = nil
	}
	return string(text), errors.Join(err, body.Close())
}

func (g *generator) firstUnseen(v *view) operation {
	return operation{
		words: fmt.Sprintf("%v asks for the first unseen", v),
		model: func() string {
			if v.box.gone {
				return "no mailbox"
			}
			for _, mm := range v.box.list {
				if mm.flags&mailbox.Seen == 0 {
					if mm.uid > v.top {
						return "0"
					}
					return fmt.Sprint(v.seq(mm.uid))
				}
			}
			return "0"
		},
		world: func(w *world) string {
			seq, err := w.views[v.number].FirstUnseen(w.ctx)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(seq)
		},
	}
}
