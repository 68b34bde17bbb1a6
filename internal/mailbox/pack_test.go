package mailbox_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// The whole way with the real body store: append, copy, read, search, and the
// body goes with its last copy.
func TestWithPacks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.New(t, pack.Schema(), mailbox.Schema())
	ids := mail.NewIDs(1, 0)
	packs, err := pack.Open(ctx, pack.Options{Dir: t.TempDir(), DB: d, IDs: ids, MinFree: -1, Grace: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := packs.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := &world{t: t, db: d, ids: ids, s: mailbox.New(mailbox.Options{DB: d, Blobs: packs, IDs: ids})}
	w.account = w.newAccount()
	text := "Subject: big\n\n" + strings.Repeat("0123456789abcde\n", 100_000) + "the end\n" // above blob.InMemory
	w.append("INBOX", text, time.Now())
	w.append("INBOX", "Subject: small\n\nthe end\n", time.Now())
	v := w.open("INBOX")
	if _, err := v.Copy(ctx, all(v), "Archive"); err != nil {
		t.Fatal(err)
	}
	got, err := v.Search(ctx, mailbox.Text("THE END"))
	w.must(err)
	same(t, "found", got, []uint32{1, 2})
	_, err = v.Store(ctx, all(v), mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	_, err = v.Expunge(ctx, nil)
	w.must(err)
	if swept, err := packs.Sweep(ctx, mailbox.References()); err != nil || swept.Bodies != 0 {
		t.Errorf("swept %+v, %v while copies are left", swept, err)
	}
	to := w.open("Archive")
	row := w.rows(to, mailbox.WantStructure)[0]
	r, err := to.Open(ctx, row)
	w.must(err)
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	w.must(err)
	w.must(r.Close())
	if string(b) != strings.ReplaceAll(text, "\n", "\r\n") {
		t.Errorf("read %d octets", len(b))
	}
	w.must(w.s.Delete(ctx, w.account, "Archive"))
	if swept, err := packs.Sweep(ctx, mailbox.References()); err != nil || swept.Bodies != 2 {
		t.Errorf("swept %+v, %v", swept, err)
	}
}
