package mailbox_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

func quotaOf(n int64) func(*mailbox.Options) {
	return func(o *mailbox.Options) {
		o.Quota = func(context.Context, mail.ID) (int64, error) { return n, nil }
	}
}

func TestCopyKeepsAllButUID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	d := w.delivery("Subject: s\r\n\r\nx\r\n")
	d.Prefix, d.Keywords, d.Flags = []byte("P: q\r\n"), []string{"b", "a", "B"}, mailbox.Flagged
	w.file(d)
	v, to := w.open("INBOX"), w.open("Sent")
	got, err := v.Copy(ctx, []uint32{1}, "sent")
	if !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("copy to nowhere: %v, %v", got, err)
	}
	got, err = v.Copy(ctx, []uint32{1, 7}, "Sent")
	w.must(err)
	same(t, "from", got.From, []uint32{1})
	same(t, "to", got.To, []uint32{1})
	if got.UIDValidity != to.Mailbox().UIDValidity {
		t.Errorf("UIDVALIDITY %d", got.UIDValidity)
	}
	<-wake(to)
	w.poll(to, true)
	a, b := w.rows(v, mailbox.WantBody)[0], w.rows(to, mailbox.WantBody)[0]
	same(t, "keywords", b.Keywords, []string{"a", "b"})
	if a.Message != b.Message || a.Thread != b.Thread || a.Body != b.Body || a.Date != b.Date || b.Flags != mailbox.Flagged ||
		string(b.Prefix) != "P: q\r\n" || b.Modseq <= a.Modseq || !b.Recent {
		t.Errorf("copy %+v of %+v", b, a)
	}
	_, err = v.Store(ctx, []uint32{1}, mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	_, err = v.Expunge(ctx, nil)
	w.must(err)
	if n := w.count("mailbox_content"); n != 1 {
		t.Errorf("%d contents while a copy is left", n)
	}
	moved, err := to.Move(ctx, []uint32{1}, "Sent")
	w.must(err)
	same(t, "moved into itself", moved.To, []uint32{2})
	if c := w.poll(to, true); len(c.Expunged) != 1 || c.Exists != 1 {
		t.Errorf("changes %+v", c)
	}
}

func TestCopyIsAllOrNothing(t *testing.T) {
	t.Parallel()
	const size = 28
	w := newWorld(t, quotaOf(600*size))
	w.deliver(10)
	w.deliver(290)
	v := w.open("INBOX")
	w.deliver(40)
	if _, err := v.Copy(t.Context(), all(v), "Archive"); !errors.Is(err, mailbox.ErrOverQuota) {
		t.Errorf("copy beyond the quota: %v", err)
	}
	if st := w.status("Archive"); st.Messages != 0 || st.Size != 0 {
		t.Errorf("Archive %+v", st)
	}
	if u, err := w.s.Usage(t.Context(), w.account); err != nil || u.Messages != 340 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if _, err := v.Copy(t.Context(), all(v)[:200], "Archive"); err != nil {
		t.Errorf("copy within the quota: %v", err)
	}
	// A move needs no quota.
	if m, err := v.Move(t.Context(), all(v), "Trash"); err != nil || len(m.To) != 300 {
		t.Errorf("move: %d, %v", len(m.To), err)
	}
}

func TestExpungeLeavesTombstones(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := w.deliver(600)
	v := w.open("INBOX")
	ctx := t.Context()
	_, err := v.Store(ctx, all(v), mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	gone, err := v.Expunge(ctx, []uint32{600, 1000})
	w.must(err)
	same(t, "by UID", gone, []uint32{600})
	gone, err = v.Expunge(ctx, nil)
	w.must(err)
	if len(gone) != 599 || w.count("mailbox_content") != 0 || w.count("mailbox_message") != 0 {
		t.Errorf("%d gone, %d contents, %d messages", len(gone), w.count("mailbox_content"), w.count("mailbox_message"))
	}
	var message mail.ID
	w.must(w.db.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL(`SELECT message FROM mailbox_expunged WHERE mailbox = ? AND uid = 600`),
			[]any{v.Mailbox().ID}, &message)
	}))
	if message != list[599].Message {
		t.Errorf("tombstone of %v", message)
	}
	if w.deliver(1)[0].UID != 601 {
		t.Error("a UID was used again")
	}
}

func TestKeywords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(1)
	v := w.open("INBOX")
	ctx := t.Context()
	for _, c := range []struct {
		mode     mailbox.Mode
		give     []string
		want     []string
		rejected bool
	}{
		{mailbox.Add, []string{"$Forwarded", "Work"}, []string{"$Forwarded", "Work"}, false},
		{mailbox.Add, []string{"work", "NonJunk"}, []string{"$Forwarded", "NonJunk", "Work"}, false},
		{mailbox.Remove, []string{"WORK", "unknown", "not valid"}, []string{"$Forwarded", "NonJunk"}, false},
		{mailbox.Add, []string{"a b"}, nil, true},
		{mailbox.Add, []string{`\Nope`}, nil, true},
		{mailbox.Add, []string{""}, nil, true},
		{mailbox.Replace, make([]string, 0), nil, false},
	} {
		rows, err := v.Store(ctx, []uint32{1}, c.mode, 0, c.give)
		if errors.Is(err, mailbox.ErrBadKeyword) != c.rejected {
			t.Errorf("%v %q: %v", c.mode, c.give, err)
		}
		if !c.rejected {
			same(t, "keywords", rows[0].Keywords, c.want)
		}
	}
	var many []string
	for i := range mailbox.MaxKeywords {
		many = append(many, "k"+string(rune('A'+i%26))+string(rune('0'+i/26)))
	}
	_, err := v.Store(ctx, []uint32{1}, mailbox.Add, 0, many)
	w.must(err)
	if _, err = v.Store(ctx, []uint32{1}, mailbox.Add, 0, []string{"more"}); !errors.Is(err, mailbox.ErrBadKeyword) {
		t.Errorf("one keyword too many: %v", err)
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(1) // 28 octets
	ctx := t.Context()
	for _, step := range []struct {
		octets, quota int64
		want          bool
	}{{50, 100, true}, {23, 100, false}, {22, 100, true}, {1, 100, false}, {1000, 0, true}} {
		ok, err := w.s.Reserve(ctx, w.account, step.octets, step.quota)
		if err != nil || ok != step.want {
			t.Errorf("%+v: %v, %v", step, ok, err)
		}
	}
	w.s.Release(w.account, 1000)
	w.s.Release(w.account, 50)
	if ok, err := w.s.Reserve(ctx, w.account, 50, 100); err != nil || !ok {
		t.Errorf("after a release: %v, %v", ok, err)
	}
	if _, err := w.s.Reserve(ctx, w.ids.Next(), 1, 100); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("no such account: %v", err)
	}
}

func TestEraseAndReap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.deliver(300)
	v := w.open("INBOX")
	_, err := v.Store(ctx, []uint32{1, 2, 3}, mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	_, err = v.Expunge(ctx, nil)
	w.must(err)
	gone := w.account
	w.account = w.newAccount()
	w.deliver(1)
	w.must(w.db.Write(ctx, func(tx *db.Tx) error { return w.s.Erase(tx, gone) }))
	<-wake(v)
	if _, err := v.Poll(ctx, true); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("poll: %v", err)
	}
	if _, err := w.s.Usage(ctx, gone); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("usage: %v", err)
	}
	if list, err := w.s.List(ctx, gone); err != nil || len(list) != 0 {
		t.Errorf("list %v, %v", list, err)
	}
	n, err := w.s.Reap(ctx)
	w.must(err)
	for table, want := range map[string]int{
		"mailbox": 6, "mailbox_message": 1, "mailbox_content": 1, "mailbox_expunged": 0,
		"mailbox_deleted": 0, "mailbox_subscription": 6, "mailbox_account": 1,
	} {
		if got := w.count(table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
	if again, err := w.s.Reap(ctx); n != 297 || again != 0 || err != nil {
		t.Errorf("reaped %d, then %d, %v", n, again, err)
	}
}
