package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/hayauma/hayauma/internal/mailbox"
)

type firstBox struct {
	name string
	role mailbox.Role
}

// firstBoxes are what a new account has.
func firstBoxes() []firstBox {
	return []firstBox{
		{mailbox.Inbox, mailbox.RoleInbox}, {"Drafts", mailbox.RoleDrafts}, {"Sent", mailbox.RoleSent},
		{"Junk", mailbox.RoleJunk}, {"Trash", mailbox.RoleTrash}, {"Archive", mailbox.RoleArchive},
	}
}

// boxWords are the levels of mailbox names: some differ in case alone, some are
// wildcards to an SQL engine, one can be written in two ways.
func boxWords() []string {
	return []string{"Work", "work", "x_y", "xay", "Résumé", "項目", "a&b", "2024"}
}

// boxName draws the name of a mailbox, in most cases of one that exists, as a
// client may write it.
func (g *generator) boxName(a *acct) string {
	if g.r.IntN(3) > 0 {
		return g.written(pick(g.r, a.names()))
	}
	return g.freshName(a)
}

// freshName draws a name for a mailbox to be.
func (g *generator) freshName(a *acct) string {
	if g.r.IntN(15) == 0 {
		return pick(g.r, []string{"", "/", "/Work", "Work//2024", "100%", "a*", "#news", "tab\there", strings.Repeat("long", 7), "\xff"})
	}
	var levels []string
	if g.r.IntN(3) == 0 {
		levels = append(levels, pick(g.r, a.names()))
	}
	for range 1 + g.r.IntN(2) {
		levels = append(levels, pick(g.r, boxWords()))
	}
	return g.written(strings.Join(levels, "/"))
}

// written is a name as some client writes it.
func (g *generator) written(name string) string {
	switch g.r.IntN(10) {
	case 0:
		return name + "/"
	case 1:
		return norm.NFD.String(name)
	case 2:
		if rest, is := strings.CutPrefix(name, mailbox.Inbox); is {
			return "inBox" + rest
		}
	}
	return name
}

// cleaned is the name as it is kept; false if it can be none.
func cleaned(name string) (string, bool) {
	name = strings.TrimSuffix(norm.NFC.String(name), "/")
	levels := strings.Split(name, "/")
	if slices.Contains(levels, "") || !utf8.ValidString(name) || strings.ContainsAny(name, "%*\t") || name[0] == '#' ||
		len(name) > maxName || len(levels) > maxDepth {
		return "", false
	}
	if strings.EqualFold(levels[0], mailbox.Inbox) {
		levels[0] = mailbox.Inbox
	}
	return strings.Join(levels, "/"), true
}

// above are the names that must exist before a name.
func above(name string) (up []string) {
	for i, c := range name {
		if c == '/' {
			up = append(up, name[:i])
		}
	}
	return up
}

func (g *generator) create() operation {
	a := g.account()
	name := g.freshName(a)
	if g.revivesFull(a, name) {
		return g.list()
	}
	return operation{
		words: fmt.Sprintf("a%d creates %q", a.number, name),
		model: func() string { return g.m.create(a, name) },
		world: func(w *world) string {
			b, err := w.p.mailboxes.Create(w.ctx, w.accounts.id(a.number), name)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprintf("%s %s %v", b.Name, b.Role, b.Subscribed)
		},
	}
}

// revivesFull tells of the one CREATE that is not asked for: that of a name
// which only holds others, in an account with as many mailboxes as it may have.
// It is refused, though it makes no mailbox more.
func (g *generator) revivesFull(a *acct, name string) bool {
	name, _ = cleaned(name)
	b := a.boxes[name]
	return b != nil && b.noselect && len(a.boxes) >= maxBoxes
}

func (m *model) create(a *acct, name string) string {
	name, fine := cleaned(name)
	if !fine {
		return "bad name"
	}
	old := a.boxes[name]
	if old != nil && !old.noselect {
		return "exists"
	}
	var missing []string
	for _, up := range append(above(name), name) {
		if a.boxes[up] == nil {
			missing = append(missing, up)
		}
	}
	if len(a.boxes)+len(missing) > maxBoxes {
		return "too many"
	}
	step := m.tick()
	for _, up := range missing {
		m.newBox(a, up, "", step)
	}
	if old != nil {
		a.validities++
		old.noselect, old.validity, old.step = false, a.validities, step
	}
	return fmt.Sprintf("%s %s %v", name, a.boxes[name].role, a.subs[name])
}

func (g *generator) remove() operation {
	a := g.account()
	name := g.boxName(a)
	return operation{
		words: fmt.Sprintf("a%d deletes %q", a.number, name),
		model: func() string { return g.m.remove(a, name) },
		world: func(w *world) string { return kind(w.p.mailboxes.Delete(w.ctx, w.accounts.id(a.number), name)) },
	}
}

func (m *model) remove(a *acct, name string) string {
	name, fine := cleaned(name)
	b := a.boxes[name]
	switch {
	case name == mailbox.Inbox:
		return "not allowed"
	case !fine || b == nil:
		return "no mailbox"
	case a.holds(name) && b.noselect:
		return "has children"
	}
	step := m.tick()
	b.gone = true
	delete(a.boxes, name)
	if a.holds(name) {
		m.newBox(a, name, "", step).noselect = true
	}
	return ok
}

func (g *generator) rename() operation {
	a := g.account()
	from, to := g.boxName(a), g.freshName(a)
	if g.r.IntN(8) == 0 {
		to = g.boxName(a)
	}
	if g.r.IntN(8) == 0 {
		from = mailbox.Inbox
	}
	if g.revivesFull(a, to) {
		return g.list()
	}
	return operation{
		words: fmt.Sprintf("a%d renames %q to %q", a.number, from, to),
		model: func() string { return g.m.rename(a, from, to) },
		world: func(w *world) string { return kind(w.p.mailboxes.Rename(w.ctx, w.accounts.id(a.number), from, to)) },
	}
}

func (m *model) rename(a *acct, from, to string) string {
	from, fine := cleaned(from)
	if !fine {
		return "no mailbox"
	}
	to, fine = cleaned(to)
	switch {
	case !fine:
		return "bad name"
	case from == mailbox.Inbox:
		return m.emptyInbox(a, to)
	case strings.HasPrefix(to, from+"/"):
		return "not allowed"
	case a.boxes[from] == nil:
		return "no mailbox"
	case a.boxes[to] != nil:
		return "exists"
	}
	var missing []string
	for _, up := range above(to) {
		if a.boxes[up] == nil {
			missing = append(missing, up)
		}
	}
	if len(missing) > 0 && len(a.boxes)+len(missing) > maxBoxes {
		return "too many"
	}
	moved := map[string]*box{}
	for name, b := range a.boxes {
		if rest, under := strings.CutPrefix(name, from+"/"); under {
			moved[to+"/"+rest] = b
		}
	}
	moved[to] = a.boxes[from]
	for name := range moved {
		if _, fine := cleaned(name); !fine {
			return "bad name"
		}
	}
	step := m.tick()
	for _, up := range missing {
		m.newBox(a, up, "", step)
	}
	for name, b := range moved {
		delete(a.boxes, b.name)
		if a.subs[b.name] {
			a.subs[name] = true
		}
		b.name = name
	}
	maps.Copy(a.boxes, moved)
	return ok
}

// emptyInbox is what becomes of INBOX when it is renamed.
func (m *model) emptyInbox(a *acct, to string) string {
	if answer := m.create(a, to); !strings.HasPrefix(answer, to+" ") {
		return answer
	}
	inbox := a.boxes[mailbox.Inbox]
	var uids []uint32
	for _, mm := range inbox.list {
		uids = append(uids, mm.uid)
	}
	m.transfer(inbox, a.boxes[to], uids, true)
	return ok
}

func (g *generator) subscribe() operation {
	a := g.account()
	name, on := g.boxName(a), g.r.IntN(3) > 0
	return operation{
		words: fmt.Sprintf("a%d subscribes %q: %v", a.number, name, on),
		model: func() string {
			name, fine := cleaned(name)
			if !fine {
				return "bad name"
			}
			if !on {
				delete(a.subs, name)
				return ok
			}
			if n := len(a.subs); n > maxBoxes || n == maxBoxes && !a.subs[name] {
				return "too many"
			}
			a.subs[name] = true
			return ok
		},
		world: func(w *world) string {
			return kind(w.p.mailboxes.Subscribe(w.ctx, w.accounts.id(a.number), name, on))
		},
	}
}

func (g *generator) list() operation {
	a := g.account()
	return operation{
		words: fmt.Sprintf("a%d lists its mailboxes", a.number),
		model: func() string { return strings.Join(a.picture(), "\n") },
		world: func(w *world) string {
			lines, err := w.listPicture(a.number)
			if err != nil {
				return kind(err)
			}
			return strings.Join(lines, "\n")
		},
	}
}

// picture is LIST and the subscriptions.
func (a *acct) picture() []string {
	var lines []string
	for _, name := range a.names() {
		b := a.boxes[name]
		lines = append(lines, fmt.Sprintf("%s role=%s sub=%v noselect=%v children=%v next=%d",
			name, b.role, a.subs[name], b.noselect, a.holds(name), b.uidnext))
	}
	return append(lines, fmt.Sprintf("subscribed %q", sortedKeys(a.subs)))
}

func (w *world) listPicture(number int) ([]string, error) {
	list, err := w.p.mailboxes.List(w.ctx, w.accounts.id(number))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, b := range list {
		lines = append(lines, fmt.Sprintf("%s role=%s sub=%v noselect=%v children=%v next=%d",
			b.Name, b.Role, b.Subscribed, b.NoSelect, b.Children, b.UIDNext))
	}
	subs, err := w.p.mailboxes.Subscriptions(w.ctx, w.accounts.id(number))
	return append(lines, fmt.Sprintf("subscribed %q", subs)), err
}

func (g *generator) status() operation {
	a := g.account()
	name := g.boxName(a)
	return operation{
		words: fmt.Sprintf("a%d asks for the status of %q", a.number, name),
		model: func() string {
			name, fine := cleaned(name)
			switch b := a.boxes[name]; {
			case !fine || b == nil:
				return "no mailbox"
			case b.noselect:
				return "no select"
			default:
				return b.status()
			}
		},
		world: func(w *world) string {
			st, err := w.p.mailboxes.Status(w.ctx, w.accounts.id(a.number), name)
			if err != nil {
				return kind(err)
			}
			return statusLine(st)
		},
	}
}

func statusLine(s mailbox.Status) string {
	return fmt.Sprintf("messages=%d recent=%d unseen=%d deleted=%d size=%d next=%d", s.Messages, s.Recent, s.Unseen, s.Deleted, s.Size, s.UIDNext)
}

func (b *box) status() string {
	return fmt.Sprintf("messages=%d recent=%d unseen=%d deleted=%d size=%d next=%d", len(b.list),
		b.count(func(m *msg) bool { return m.uid >= b.mark }),
		b.count(func(m *msg) bool { return m.flags&mailbox.Seen == 0 }),
		b.count(func(m *msg) bool { return m.flags&mailbox.Deleted != 0 }), b.size(), b.uidnext)
}

func (g *generator) usage() operation {
	a := g.account()
	return operation{
		words: fmt.Sprintf("a%d asks what it uses", a.number),
		model: a.usage,
		world: func(w *world) string {
			u, err := w.p.mailboxes.Usage(w.ctx, w.accounts.id(a.number))
			if err != nil {
				return kind(err)
			}
			return fmt.Sprintf("%d octets, %d messages", u.Bytes, u.Messages)
		},
	}
}

func (a *acct) usage() string {
	octets, n := a.used()
	return fmt.Sprintf("%d octets, %d messages", octets, n)
}

// reserve sets octets of a quota aside, as a transaction under way does, or
// gives all back.
func (g *generator) reserve() operation {
	a := g.account()
	if a.reserved > 0 {
		n := a.reserved
		return operation{
			words: fmt.Sprintf("%d octets of a%d are given back", n, a.number),
			model: func() string { a.reserved = 0; return ok },
			world: func(w *world) string { w.p.mailboxes.Release(w.accounts.id(a.number), n); return ok },
		}
	}
	n := int64(1000 * (1 + g.r.IntN(8)))
	quota := a.quota
	return operation{
		words: fmt.Sprintf("%d octets of a%d are set aside", n, a.number),
		model: func() string {
			fits := a.fits(n)
			if fits {
				a.reserved += n
			}
			return fmt.Sprint(fits)
		},
		world: func(w *world) string {
			fits, err := w.p.mailboxes.Reserve(w.ctx, w.accounts.id(a.number), n, quota)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(fits)
		},
	}
}

func (g *generator) reap() operation {
	return operation{
		words: "reap what is erased",
		model: func() string {
			n := g.m.unreaped
			g.m.unreaped = 0
			return fmt.Sprint(n)
		},
		world: func(w *world) string {
			n, err := w.p.mailboxes.Reap(w.ctx)
			if err != nil {
				return kind(err)
			}
			return fmt.Sprint(n)
		},
	}
}
