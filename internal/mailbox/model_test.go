package mailbox_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/mailbox"
)

// modelMessage is a message of the model.
type modelMessage struct {
	uid      uint32
	flags    mailbox.Flags
	keywords string
	size     int64
	message  string
}

// modelBox is a mailbox of the model.
type modelBox struct {
	uidnext uint32
	list    []modelMessage
}

func (b *modelBox) at(uid uint32) *modelMessage {
	i, ok := slices.BinarySearchFunc(b.list, uid, func(m modelMessage, uid uint32) int { return int(m.uid) - int(uid) })
	if !ok {
		return nil
	}
	return &b.list[i]
}

func (b *modelBox) remove(uid uint32) {
	b.list = slices.DeleteFunc(b.list, func(m modelMessage) bool { return m.uid == uid })
}

// modelView is what a client of one session believes.
type modelView struct {
	v     *mailbox.View
	name  string
	known []uint32                 // by sequence number
	flags map[uint32]mailbox.Flags // what the client was told or did
}

// TestTwoSessionsAgainstModel runs random operations by two sessions and
// compares what each is told with a model in memory.
func TestTwoSessionsAgainstModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		w.account = w.newAccount()
		m := &machine{w: w, rt: rt, boxes: map[string]*modelBox{"INBOX": {uidnext: 1}, "Archive": {uidnext: 1}}}
		for i := range m.views {
			name := rapid.SampledFrom([]string{"INBOX", "INBOX", "Archive"}).Draw(rt, "mailbox")
			v, err := w.s.Select(t.Context(), w.account, name, false)
			if err != nil {
				rt.Fatal(err)
			}
			defer v.Close()
			m.views[i] = &modelView{v: v, name: name, flags: make(map[uint32]mailbox.Flags)}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": m.deliver,
			"store":   m.store,
			"expunge": m.expunge,
			"copy":    func(rt *rapid.T) { m.transfer(rt, false) },
			"move":    func(rt *rapid.T) { m.transfer(rt, true) },
			"poll":    m.poll,
			"":        m.check,
		})
	})
}

type machine struct {
	w     *world
	rt    *rapid.T
	boxes map[string]*modelBox
	views [2]*modelView
}

func (m *machine) must(err error) {
	if err != nil {
		m.rt.Fatal(err)
	}
}

func (m *machine) view(rt *rapid.T) *modelView {
	return m.views[rapid.IntRange(0, 1).Draw(rt, "session")]
}

// some draws UIDs of a view.
func (m *machine) some(rt *rapid.T, v *modelView) []uint32 {
	var list []uint32
	for _, uid := range all(v.v) {
		if rapid.Bool().Draw(rt, "take") {
			list = append(list, uid)
		}
	}
	return list
}

func (m *machine) deliver(rt *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(rt, "n")
	box := m.boxes["INBOX"]
	list := make([]*mailbox.Delivery, n)
	for i := range list {
		list[i] = m.w.delivery("A: b\r\n\r\n")
		list[i].Flags = mailbox.Flags(rapid.IntRange(0, 31).Draw(rt, "flags"))
	}
	m.w.file(list...)
	for _, d := range list {
		if d.UID != box.uidnext {
			rt.Fatalf("UID %d, want %d", d.UID, box.uidnext)
		}
		box.list = append(box.list, modelMessage{uid: d.UID, flags: d.Flags, size: d.Size, message: d.Message.String()})
		box.uidnext++
	}
}

func (m *machine) store(rt *rapid.T) {
	v := m.view(rt)
	uids := m.some(rt, v)
	mode := mailbox.Mode(rapid.IntRange(0, 2).Draw(rt, "mode"))
	flags := mailbox.Flags(rapid.IntRange(0, 31).Draw(rt, "flags"))
	var keywords []string
	if rapid.Bool().Draw(rt, "keyword") {
		keywords = []string{"$Work"}
	}
	silent := rapid.Bool().Draw(rt, "silent")
	rows, err := v.v.Store(m.w.t.Context(), uids, mode, flags, keywords)
	m.must(err)
	for _, uid := range uids {
		mm := m.boxes[v.name].at(uid)
		v.flags[uid] = apply(v.flags[uid], mode, flags)
		if mm == nil {
			continue
		}
		mm.flags = apply(mm.flags, mode, flags)
		if mode == mailbox.Replace || keywords != nil {
			mm.keywords = ""
			if mode != mailbox.Remove && keywords != nil {
				mm.keywords = "$Work"
			}
		}
	}
	for _, r := range rows {
		if mm := m.boxes[v.name].at(r.UID); mm == nil || mm.flags != r.Flags {
			rt.Fatalf("Store returned %+v, model %+v", r, mm)
		}
		if !silent {
			v.flags[r.UID] = r.Flags
		}
	}
}

func apply(have mailbox.Flags, mode mailbox.Mode, flags mailbox.Flags) mailbox.Flags {
	switch mode {
	case mailbox.Add:
		return have | flags
	case mailbox.Remove:
		return have &^ flags
	}
	return flags
}

func (m *machine) expunge(rt *rapid.T) {
	v := m.view(rt)
	var uids []uint32
	if rapid.Bool().Draw(rt, "uid") {
		if uids = m.some(rt, v); uids == nil {
			uids = []uint32{}
		}
	}
	got, err := v.v.Expunge(m.w.t.Context(), uids)
	m.must(err)
	if uids == nil {
		uids = all(v.v)
	}
	var want []uint32
	for _, uid := range uids {
		if mm := m.boxes[v.name].at(uid); mm != nil && mm.flags&mailbox.Deleted != 0 {
			want = append(want, uid)
			m.boxes[v.name].remove(uid)
		}
	}
	if !slices.Equal(got, want) {
		rt.Fatalf("expunged %v, want %v", got, want)
	}
}

func (m *machine) transfer(rt *rapid.T, move bool) {
	v := m.view(rt)
	uids := m.some(rt, v)
	name := rapid.SampledFrom([]string{"INBOX", "Archive"}).Draw(rt, "to")
	from, to := m.boxes[v.name], m.boxes[name]
	if len(to.list)+len(uids) > modelSize {
		rt.Skip("large enough")
	}
	act := v.v.Copy
	if move {
		act = v.v.Move
	}
	got, err := act(m.w.t.Context(), uids, name)
	m.must(err)
	var want mailbox.Copied
	for _, uid := range uids {
		mm := from.at(uid)
		if mm == nil {
			continue
		}
		c := *mm
		c.uid = to.uidnext
		want.From, want.To = append(want.From, uid), append(want.To, c.uid)
		to.uidnext++
		to.list = append(to.list, c)
		if move {
			from.remove(uid)
		}
	}
	if !slices.Equal(got.From, want.From) || !slices.Equal(got.To, want.To) {
		rt.Fatalf("transferred %+v, want %+v", got, want)
	}
}

// modelSize keeps copies of copies from growing without end.
const modelSize = 80

// poll applies what a view is told to what its client believes.
func (m *machine) poll(rt *rapid.T) {
	v := m.view(rt)
	expunge := rapid.Bool().Draw(rt, "expunge")
	m.settle(v, expunge)
}

// settle is one Poll; it reports whether there is more to come.
func (m *machine) settle(v *modelView, expunge bool) bool {
	c, err := v.v.Poll(m.w.t.Context(), expunge)
	m.must(err)
	if !expunge && len(c.Expunged) > 0 {
		m.rt.Fatalf("expunged %v without leave", c.Expunged)
	}
	for _, seq := range c.Expunged {
		v.known = slices.Delete(v.known, int(seq)-1, int(seq))
	}
	if int(c.Exists) < len(v.known) || int(c.Exists) > len(v.known) != c.ExistsChanged {
		m.rt.Fatalf("exists %d, %v; the client knew of %d", c.Exists, c.ExistsChanged, len(v.known))
	}
	// The client fetches what is new.
	for seq := uint32(len(v.known)) + 1; seq <= c.Exists; seq++ {
		uid, _ := v.v.UID(seq)
		v.known = append(v.known, uid)
		m.must(v.v.Rows(m.w.t.Context(), []uint32{uid}, 0, func(r mailbox.Row) error {
			v.flags[uid] = r.Flags
			return nil
		}))
	}
	for _, r := range c.Flags {
		if v.known[r.Seq-1] != r.UID {
			m.rt.Fatalf("flags of sequence number %d are those of UID %d, not %d", r.Seq, r.UID, v.known[r.Seq-1])
		}
		v.flags[r.UID] = r.Flags
	}
	return c.More
}

// check compares mailboxes, and views that are brought up to date.
func (m *machine) check(rt *rapid.T) {
	var used int64
	for name, box := range m.boxes {
		st := m.w.status(name)
		var want mailbox.Status
		for _, mm := range box.list {
			want.Messages++
			want.Size += mm.size
			if mm.flags&mailbox.Seen == 0 {
				want.Unseen++
			}
			if mm.flags&mailbox.Deleted != 0 {
				want.Deleted++
			}
		}
		used += want.Size
		if st.Messages != want.Messages || st.Unseen != want.Unseen || st.Deleted != want.Deleted ||
			st.Size != want.Size || st.UIDNext != box.uidnext {
			rt.Fatalf("%s: %+v, want %+v", name, st, want)
		}
	}
	u, err := m.w.s.Usage(m.w.t.Context(), m.w.account)
	m.must(err)
	if u.Bytes != used {
		rt.Fatalf("usage %d, want %d", u.Bytes, used)
	}
	for _, v := range m.views {
		if v == nil || !slices.Equal(all(v.v), v.known) && len(v.known) > 0 {
			rt.Fatalf("the map changed without a Poll")
		}
	}
	if rapid.IntRange(0, 3).Draw(rt, "look") == 0 {
		for _, v := range m.views {
			for m.settle(v, true) {
			}
			m.must(m.agree(v))
		}
	}
}

func (m *machine) agree(v *modelView) error {
	box := m.boxes[v.name]
	if len(box.list) != len(v.known) {
		return fmt.Errorf("the client knows %v, the model %v", v.known, box.list)
	}
	for i, mm := range box.list {
		if v.known[i] != mm.uid || v.flags[mm.uid] != mm.flags {
			return fmt.Errorf("UID %d: the client believes %v, the model %v", v.known[i], v.flags[mm.uid], mm)
		}
	}
	i := 0
	err := v.v.Rows(m.w.t.Context(), all(v.v), mailbox.WantBody, func(r mailbox.Row) error {
		mm := box.list[i]
		keywords := ""
		if len(r.Keywords) > 0 {
			keywords = r.Keywords[0]
		}
		if i++; r.UID != mm.uid || r.Message.String() != mm.message || keywords != mm.keywords || int(r.Seq) != i {
			return fmt.Errorf("row %+v, model %+v", r, mm)
		}
		return nil
	})
	if err == nil && i != len(box.list) {
		err = errors.New("rows are missing")
	}
	return err
}
