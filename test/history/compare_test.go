package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/queue"
)

// compare looks at everything there is to read. Half of the sessions stay
// asleep; the others must come to the state of their mailbox.
func (h *history) compare() error {
	want := []string{strings.Join(h.m.directoryPicture(), "\n")}
	for _, a := range h.m.accounts {
		want = append(want, a.wholePicture())
	}
	want = append(want, "queue\n"+queueLines(h.m.rcpts), h.m.statsLine())
	events := slices.Sorted(slices.Values(h.m.fresh))
	h.m.fresh = nil
	want = append(want, strings.Join(events, "\n"))
	awake := h.m.wake(h.done / compareEvery % 2)

	modseqs := make([]string, len(h.worlds))
	err := h.everywhere(func(w *world) error {
		got, err := w.picture(h.m, len(events))
		if err != nil {
			return err
		}
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				return errors.New("the worlds differ:\n" + differ(part(got, i), part(want, i)))
			}
		}
		for _, v := range awake {
			if err := w.settleView(v); err != nil {
				return fmt.Errorf("session %d: %w", v.number, err)
			}
		}
		text, err := w.modseqs(h.m)
		if err != nil {
			return err
		}
		for i := range h.worlds {
			if h.worlds[i] == w {
				modseqs[i] = text
			}
		}
		_, err = w.blobs.Sweep(w.ctx, references())
		return err
	})
	if err != nil {
		return err
	}
	for _, text := range modseqs[1:] {
		if text != modseqs[0] {
			return errors.New("the engines count changes differently:\n" + differ(text, modseqs[0]))
		}
	}
	return nil
}

func part(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// differ shows the lines that only one of two texts has.
func differ(got, want string) string {
	have, should := strings.Split(got, "\n"), strings.Split(want, "\n")
	var out []string
	for _, line := range have {
		if !slices.Contains(should, line) {
			out = append(out, "is:   "+line)
		}
	}
	for _, line := range should {
		if !slices.Contains(have, line) {
			out = append(out, "want: "+line)
		}
	}
	if len(out) == 0 {
		return "the same lines in another order or number:\n" + got + "\nwant\n" + want
	}
	return strings.Join(out, "\n")
}

// wholePicture is all that an account can see.
func (a *acct) wholePicture() string {
	lines := append([]string{fmt.Sprintf("a%d", a.number), a.usage()}, a.picture()...)
	for _, name := range a.names() {
		b := a.boxes[name]
		if b.noselect {
			continue
		}
		lines = append(lines, b.status())
		v := &view{box: b, readOnly: true, recent: map[uint32]bool{}}
		v.learn()
		for _, m := range b.list {
			lines = append(lines, v.row(m)+" "+m.shape())
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) picture(m *model, events int) ([]string, error) {
	directory, err := w.directoryPicture()
	if err != nil {
		return nil, err
	}
	out := []string{strings.Join(directory, "\n")}
	for _, a := range m.accounts {
		text, err := w.wholePicture(a)
		if err != nil {
			return nil, fmt.Errorf("a%d: %w", a.number, err)
		}
		out = append(out, text)
	}
	list, err := w.p.queue.List(w.ctx, queue.Filter{All: true})
	if err != nil {
		return nil, err
	}
	counts, err := w.p.queue.Stats(w.ctx)
	if err != nil {
		return nil, err
	}
	lines, err := w.follow(events)
	return append(out, "queue\n"+w.queueLines(list), statsText(counts), strings.Join(lines, "\n")), err
}

func (w *world) wholePicture(a *acct) (string, error) {
	id := w.accounts.id(a.number)
	u, err := w.p.mailboxes.Usage(w.ctx, id)
	if err != nil {
		return "", err
	}
	list, err := w.listPicture(a.number)
	if err != nil {
		return "", err
	}
	lines := append([]string{fmt.Sprintf("a%d", a.number), fmt.Sprintf("%d octets, %d messages", u.Bytes, u.Messages)}, list...)
	for _, name := range a.names() {
		b := a.boxes[name]
		if b.noselect {
			continue
		}
		st, err := w.p.mailboxes.Status(w.ctx, id, name)
		if err != nil {
			return "", err
		}
		lines = append(lines, statusLine(st))
		if err := w.boxes.bind(b.number, st.ID); err != nil {
			return "", err
		}
		v, err := w.p.mailboxes.Select(w.ctx, id, name, true)
		if err != nil {
			return "", err
		}
		rows, err := w.rows(v, everything(v))
		v.Close()
		if err != nil {
			return "", err
		}
		lines = append(lines, rows...)
	}
	return strings.Join(lines, "\n"), w.validity(a)
}

// validity looks at the UIDVALIDITYs of an account: they grow in the order in
// which they were given out, and none is given out twice.
func (w *world) validity(a *acct) error {
	list, err := w.p.mailboxes.List(w.ctx, w.accounts.id(a.number))
	if err != nil {
		return err
	}
	for _, b := range list {
		key := fmt.Sprintf("a%d %d", a.number, a.boxes[b.Name].validity)
		if old := w.validities[key]; old != 0 && old != b.UIDValidity {
			return fmt.Errorf("%q had the UIDVALIDITY %d and has %d", b.Name, old, b.UIDValidity)
		}
		w.validities[key] = b.UIDValidity
	}
	last := uint32(0)
	for n := 1; n <= a.validities; n++ {
		v, known := w.validities[fmt.Sprintf("a%d %d", a.number, n)]
		if known && v <= last {
			return fmt.Errorf("the UIDVALIDITY %d was given out behind %d", v, last)
		}
		last = max(last, v)
	}
	return nil
}

// asleep is a session that is polled at last, and what its client sees then.
type asleep struct {
	number int
	gone   bool
	want   string
}

// wake brings half of the model's sessions up to date.
func (m *model) wake(half int) (list []asleep) {
	for _, v := range m.views {
		if v.number%2 != half {
			continue
		}
		s := asleep{number: v.number, gone: v.box.gone}
		if s.want = v.poll(true); !s.gone {
			s.want += "\n" + fmt.Sprint(v.uids)
		}
		list = append(list, s)
	}
	return list
}

// settleView polls a session: what it is told must lead its client to the state
// of the mailbox, however long it slept.
func (w *world) settleView(s asleep) error {
	got := w.poll(s.number, true)
	v := w.views[s.number]
	if !s.gone {
		got += "\n" + fmt.Sprint(everything(v))
	}
	if got != s.want {
		return fmt.Errorf("told %s\nwant %s", got, s.want)
	}
	return nil
}

// modseqs compares the order of changes with the model's, and gives them all:
// the engines must count alike.
func (w *world) modseqs(m *model) (string, error) {
	var lines []string
	for _, a := range m.accounts {
		type change struct {
			step   int
			modseq int64
			what   string
		}
		var changes []change
		for _, name := range a.names() {
			b := a.boxes[name]
			if b.noselect {
				continue
			}
			v, err := w.p.mailboxes.Select(w.ctx, w.accounts.id(a.number), name, true)
			if err != nil {
				return "", err
			}
			changes = append(changes, change{b.step, v.Mailbox().Modseq, name})
			err = v.Rows(w.ctx, everything(v), 0, func(r mailbox.Row) error {
				changes = append(changes, change{b.at(r.UID).step, r.Modseq, fmt.Sprintf("%s uid %d", name, r.UID)})
				return nil
			})
			v.Close()
			if err != nil {
				return "", err
			}
		}
		slices.SortStableFunc(changes, func(a, b change) int { return a.step - b.step })
		for i, c := range changes {
			lines = append(lines, fmt.Sprintf("a%d %s %d", a.number, c.what, c.modseq))
			if i == 0 {
				continue
			}
			if p := changes[i-1]; p.step == c.step && p.modseq != c.modseq || p.step < c.step && p.modseq >= c.modseq {
				return "", fmt.Errorf("a%d: %+v, then %+v", a.number, p, c)
			}
		}
	}
	return strings.Join(lines, "\n"), nil
}

// check has engines and bodies look at themselves, and looks for rows that
// should have gone with what they belonged to.
func (h *history) check() error {
	messages := 0
	for _, a := range h.m.accounts {
		_, n := a.used()
		messages += n
	}
	return h.everywhere(func(w *world) error {
		if _, err := w.p.mailboxes.Reap(w.ctx); err != nil {
			return err
		}
		if _, err := w.blobs.Sweep(w.ctx, references()); err != nil {
			return err
		}
		var faults []string
		report := func(fault string) { faults = append(faults, fault) }
		err := errors.Join(w.db.Check(w.ctx, report), w.blobs.Check(w.ctx, references(), report))
		for what, sql := range orphans() {
			n, cerr := w.count(sql)
			if err = errors.Join(err, cerr); n != 0 {
				report(fmt.Sprintf("%d %s", n, what))
			}
		}
		n, cerr := w.count("SELECT COUNT(*) FROM mailbox_message")
		if n != messages {
			report(fmt.Sprintf("%d messages, want %d", n, messages))
		}
		if err = errors.Join(err, cerr); err == nil && len(faults) > 0 {
			err = errors.New(strings.Join(faults, "\n"))
		}
		return err
	})
}

// orphans are counts that must be none.
func orphans() map[string]string {
	out := map[string]string{
		"contents without a message":        "SELECT COUNT(*) FROM mailbox_content c WHERE NOT EXISTS (SELECT 1 FROM mailbox_message m WHERE m.body = c.body)",
		"queued messages without recipient": "SELECT COUNT(*) FROM queue_message m WHERE NOT EXISTS (SELECT 1 FROM queue_recipient r WHERE r.message = m.id)",
		"bodies that nobody refers to": `SELECT COUNT(*) FROM body b WHERE NOT EXISTS (SELECT 1 FROM mailbox_message m WHERE m.body = b.id)
			AND NOT EXISTS (SELECT 1 FROM queue_message q WHERE q.body = b.id)`,
		"mailboxes without a name": "SELECT COUNT(*) FROM mailbox WHERE name IS NULL",
	}
	for _, table := range []string{"mailbox", "mailbox_account", "mailbox_expunged", "mailbox_deleted", "mailbox_subscription"} {
		out["rows in "+table+" of accounts that are gone"] =
			"SELECT COUNT(*) FROM " + table + " x WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id = x.account)"
	}
	return out
}

func (w *world) count(sql string) (n int, err error) {
	err = w.db.Read(w.ctx, func(tx *db.Tx) error { return tx.Row(db.SQL(sql), nil, &n) })
	return n, err
}

func (m *model) rest() rest {
	r := rest{running: m.running}
	for _, one := range m.rcpts {
		if one.state == queue.Leased {
			r.leased++
		}
	}
	return r
}
