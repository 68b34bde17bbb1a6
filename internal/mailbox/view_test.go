package mailbox_test

import (
	"errors"
	"testing"

	"github.com/hayauma/hayauma/internal/mailbox"
)

func TestViewIsFrozenUntilPoll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(3)
	v, other := w.open("INBOX"), w.open("INBOX")
	w.deliver(2)
	select {
	case <-wake(v):
	default:
		t.Error("not woken")
	}
	if v.Count() != 3 || v.MaxUID() != 3 {
		t.Errorf("count %d, largest %d", v.Count(), v.MaxUID())
	}
	c := w.poll(v, false)
	if c.Exists != 5 || !c.ExistsChanged || len(c.Flags) != 0 {
		t.Errorf("changes %+v", c)
	}
	if c = w.poll(v, false); c.ExistsChanged || c.Exists != 5 {
		t.Errorf("changes %+v", c)
	}

	_, err := other.Store(t.Context(), []uint32{2, 4}, mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	gone, err := other.Expunge(t.Context(), nil)
	w.must(err)
	same(t, "of its own view only", gone, []uint32{2})
	c = w.poll(v, false)
	if len(c.Expunged) != 0 || c.Exists != 5 || v.Count() != 5 || len(c.Flags) != 1 || c.Flags[0].Seq != 4 {
		t.Errorf("changes %+v", c)
	}
	if rows := w.rows(v, 0); len(rows) != 4 || rows[1].Seq != 3 {
		t.Errorf("rows %+v", rows)
	}
	c = w.poll(v, true)
	same(t, "expunged", c.Expunged, []uint32{2})
	same(t, "map", all(v), []uint32{1, 3, 4, 5})
	if seq, ok := v.Seq(4); !ok || seq != 3 {
		t.Errorf("sequence number %d, %v", seq, ok)
	}
	if _, ok := v.Seq(2); ok {
		t.Error("an expunged UID has a sequence number")
	}
	c = w.poll(other, true)
	if c.Exists != 4 || len(c.Flags) != 0 {
		t.Errorf("the session's own changes: %+v", c)
	}
	same(t, "the other map", all(other), []uint32{1, 3, 4, 5})
}

func TestSilentStoreTellsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(2)
	a, b := w.open("INBOX"), w.open("INBOX")
	ctx := t.Context()
	_, err := b.Store(ctx, []uint32{1}, mailbox.Add, mailbox.Flagged, nil)
	w.must(err)
	_, err = a.Store(ctx, []uint32{1, 2}, mailbox.Add, mailbox.Seen, nil)
	w.must(err)
	c := w.poll(a, true)
	if len(c.Flags) != 1 || c.Flags[0].UID != 1 || c.Flags[0].Flags != mailbox.Seen|mailbox.Flagged {
		t.Errorf("changes %+v", c)
	}
	if c = w.poll(a, true); len(c.Flags) != 0 {
		t.Errorf("told twice: %+v", c)
	}
	if c = w.poll(b, true); len(c.Flags) != 2 {
		t.Errorf("the other session: %+v", c)
	}
	before := w.status("INBOX").Modseq
	_, err = a.Store(ctx, []uint32{1, 2}, mailbox.Add, mailbox.Seen, nil)
	w.must(err)
	if now := w.status("INBOX").Modseq; now != before {
		t.Errorf("a change that is none took modseq %d after %d", now, before)
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(2)
	looker, err := w.s.Select(t.Context(), w.account, "INBOX", true)
	w.must(err)
	first := w.open("INBOX")
	second := w.open("INBOX")
	if looker.Recent() != 2 || first.Recent() != 2 || second.Recent() != 0 {
		t.Errorf("recent: %d, %d, %d", looker.Recent(), first.Recent(), second.Recent())
	}
	w.deliver(1)
	if st := w.status("INBOX"); st.Recent != 1 {
		t.Errorf("status: %d", st.Recent)
	}
	if c := w.poll(second, true); c.Recent != 1 {
		t.Errorf("told first: %+v", c)
	}
	if c := w.poll(first, true); c.Recent != 2 || w.status("INBOX").Recent != 0 {
		t.Errorf("told second: %+v", c)
	}
	if r := w.rows(second, 0); r[0].Recent || r[1].Recent || !r[2].Recent {
		t.Errorf("rows %+v", r)
	}
	for _, v := range []*mailbox.View{looker, first, second} {
		v.Close()
	}
	if v := w.open("INBOX"); v.Recent() != 0 {
		t.Errorf("recent again: %d", v.Recent())
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(1)
	v, err := w.s.Select(t.Context(), w.account, "INBOX", true)
	w.must(err)
	defer v.Close()
	for what, err := range map[string]error{
		"store":   second(v.Store(t.Context(), []uint32{1}, mailbox.Add, mailbox.Seen, nil)),
		"expunge": second(v.Expunge(t.Context(), nil)),
		"move":    second(v.Move(t.Context(), []uint32{1}, "Trash")),
	} {
		if !errors.Is(err, mailbox.ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := v.Copy(t.Context(), []uint32{1}, "Trash"); err != nil {
		t.Errorf("copy: %v", err)
	}
}

func TestSets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(10)
	v := w.open("INBOX")
	_, err := v.Store(t.Context(), []uint32{2, 3, 10}, mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	_, err = v.Expunge(t.Context(), nil)
	w.must(err)
	w.poll(v, true) // 1 4 5 6 7 8 9
	type set = mailbox.Set
	for _, c := range []struct {
		set         set
		uids, bySeq []uint32
	}{
		{set{{1, 1}}, []uint32{1}, []uint32{1}},
		{set{{2, 5}}, []uint32{4, 5}, []uint32{4, 5, 6, 7}},
		{set{{5, 2}, {3, 4}, {1, 2}}, []uint32{1, 4, 5}, []uint32{1, 4, 5, 6, 7}},
		{set{{0, 0}}, []uint32{9}, []uint32{9}},
		{set{{6, 0}}, []uint32{6, 7, 8, 9}, []uint32{8, 9}},
		{set{{100, 0}}, []uint32{9}, nil},
		{set{{2, 3}}, nil, []uint32{4, 5}},
		{set{}, nil, nil},
	} {
		same(t, "UIDs", v.UIDs(c.set), c.uids)
		got, err := v.BySeq(c.set)
		same(t, "sequence numbers", got, c.bySeq)
		if (err != nil) != (len(c.set) > 0 && c.set[0].First == 100) {
			t.Errorf("%v: %v", c.set, err)
		}
	}
	empty := w.open("Sent")
	if uids := empty.UIDs(set{{1, 0}}); len(uids) != 0 {
		t.Errorf("of an empty view: %v", uids)
	}
	if _, err := empty.BySeq(set{{0, 0}}); !errors.Is(err, mailbox.ErrNoMessage) {
		t.Errorf("of an empty view: %v", err)
	}
	if seq, err := v.FirstUnseen(t.Context()); err != nil || seq != 1 {
		t.Errorf("first unseen %d, %v", seq, err)
	}
	_, err = v.Store(t.Context(), []uint32{1, 4}, mailbox.Add, mailbox.Seen, nil)
	w.must(err)
	if seq, err := v.FirstUnseen(t.Context()); err != nil || seq != 3 {
		t.Errorf("first unseen %d, %v", seq, err)
	}
	if seq, err := empty.FirstUnseen(t.Context()); err != nil || seq != 0 {
		t.Errorf("first unseen of none %d, %v", seq, err)
	}
}

// A change larger than one Poll takes comes in slices and loses nothing.
func TestPollInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.deliver(300)
	}
	a, b := w.open("INBOX"), w.open("INBOX")
	ctx := t.Context()
	_, err := a.Store(ctx, all(a), mailbox.Add, mailbox.Seen, []string{"x"})
	w.must(err)
	_, err = a.Store(ctx, all(a)[:2000], mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	_, err = a.Expunge(ctx, nil)
	w.must(err)
	w.deliver(5)
	known, told, polls := b.Count(), 0, 0
	for more := true; more; polls++ {
		c := w.poll(b, true)
		known -= uint32(len(c.Expunged))
		if c.Exists < known {
			t.Fatalf("%d exist, %d were known", c.Exists, known)
		}
		known, told, more = c.Exists, told+len(c.Flags), c.More
	}
	if polls < 2 || known != 1005 || told < 1000 {
		t.Errorf("%d polls, %d known, %d told", polls, known, told)
	}
	w.poll(a, true)
	for w.poll(a, true).More {
	}
	same(t, "maps", all(a), all(b))
}
