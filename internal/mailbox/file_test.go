package mailbox_test

import (
	"errors"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

func TestFileGivesUIDsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.deliver(3), w.deliver(2)
	var uids []uint32
	for _, d := range append(first, second...) {
		w.must(d.Err)
		uids = append(uids, d.UID)
	}
	same(t, "UIDs", uids, []uint32{1, 2, 3, 4, 5})
	st := w.status("INBOX")
	if st.Messages != 5 || st.Unseen != 5 || st.Recent != 5 || st.UIDNext != 6 || st.Size != 5*28 {
		t.Errorf("status %+v", st)
	}
	u, err := w.s.Usage(t.Context(), w.account)
	w.must(err)
	if u.Bytes != 5*28 || u.Messages != 5 {
		t.Errorf("usage %+v", u)
	}
}

func TestFileToManyAccountsAndMailboxesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.delivery("Subject: shared\r\n\r\nx\r\n")
	var list []*mailbox.Delivery
	for range 70 {
		d := *one
		d.Account, d.Message, d.Prefix = w.newAccount(), w.ids.Next(), []byte("X: y\r\n")
		d.Size += int64(len(d.Prefix))
		list = append(list, &d)
	}
	for _, name := range []string{"Junk", "Sent"} {
		b, err := w.s.Find(t.Context(), w.account, name)
		w.must(err)
		d := *one
		d.Mailbox = b.ID
		list = append(list, &d)
	}
	w.file(list...)
	for _, d := range list {
		if d.Err != nil || d.UID != 1 || d.UIDValidity == 0 {
			t.Fatalf("delivery %+v", d)
		}
	}
	if n := w.count("mailbox_content"); n != 1 {
		t.Errorf("%d contents for one body", n)
	}
	if st := w.status("Junk"); st.Messages != 1 {
		t.Errorf("Junk %+v", st)
	}
}

func TestFileLeavesOutWhatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	junk, err := w.s.Find(t.Context(), w.account, "Junk")
	w.must(err)
	w.must(w.s.Delete(t.Context(), w.account, "Junk"))
	stranger := w.newAccount()
	mine, err := w.s.Find(t.Context(), w.account, "Sent")
	w.must(err)

	good, noBox, noAccount, foreign, badWord := w.delivery("A: b\r\n\r\n"), w.delivery("A: b\r\n\r\n"),
		w.delivery("A: b\r\n\r\n"), w.delivery("A: b\r\n\r\n"), w.delivery("A: b\r\n\r\n")
	noBox.Mailbox = junk.ID
	noAccount.Account = w.ids.Next()
	foreign.Account, foreign.Mailbox = stranger, mine.ID
	badWord.Keywords = []string{"two words"}
	w.file(noBox, good, noAccount, foreign, badWord)
	for name, d := range map[string]*mailbox.Delivery{"mailbox": noBox, "account": noAccount, "foreign": foreign} {
		if !errors.Is(d.Err, mailbox.ErrNoMailbox) || d.UID != 0 {
			t.Errorf("%s: %v, UID %d", name, d.Err, d.UID)
		}
	}
	if !errors.Is(badWord.Err, mailbox.ErrBadKeyword) || good.Err != nil || good.UID != 1 {
		t.Errorf("bad keyword %v, good %v, UID %d", badWord.Err, good.Err, good.UID)
	}
	u, err := w.s.Usage(t.Context(), w.account)
	w.must(err)
	if u.Messages != 1 || u.Bytes != good.Size {
		t.Errorf("usage %+v", u)
	}
	if u, err = w.s.Usage(t.Context(), stranger); err != nil || u != (mailbox.Usage{}) {
		t.Errorf("stranger's usage %+v, %v", u, err)
	}
}

func TestFileFindsThreads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.newAccount()
	root := w.delivery("Message-ID: <a@x>\r\n\r\n")
	elsewhere := w.delivery("Message-ID: <e@x>\r\n\r\n")
	elsewhere.Account = other
	w.file(root, elsewhere)
	answer := w.delivery("Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\n\r\n")
	byReferences := w.delivery("Message-ID: <c@x>\r\nReferences: <zz@x> <a@x>\r\n <gone@x>\r\n\r\n")
	unknown := w.delivery("Message-ID: <d@x>\r\nIn-Reply-To: <e@x>\r\n\r\n")
	w.file(answer, byReferences, unknown)
	want := []mail.ID{root.Message, root.Message, root.Message, unknown.Message}
	var got []mail.ID
	for _, r := range w.rows(w.open("INBOX"), 0) {
		got = append(got, r.Thread)
	}
	same(t, "threads", got, want)
}

func TestFileUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.open("INBOX")
	sad := errors.New("no")
	d := w.delivery("A: b\r\n\r\n")
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		if err := w.s.File(tx, []*mailbox.Delivery{d}); err != nil {
			return err
		}
		return sad
	})
	if !errors.Is(err, sad) {
		t.Fatal(err)
	}
	select {
	case <-wake(v):
		t.Error("woken for nothing")
	default:
	}
	if st := w.status("INBOX"); st.Messages != 0 || st.UIDNext != 1 {
		t.Errorf("status %+v", st)
	}
}
