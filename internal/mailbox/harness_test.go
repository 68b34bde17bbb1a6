package mailbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// memory is a blob.Store over a map.
type memory struct {
	ids    *mail.IDs
	mu     sync.Mutex
	bodies map[mail.ID][]byte
	opened int
}

func (m *memory) Create() blob.Writer { return &memoryWriter{m: m} }

// Nothing here moves bodies between stores, or drops them.
func (m *memory) Restore(mail.ID) blob.Writer { return m.Create() }
func (m *memory) Drop(...blob.Body)           {}

func (m *memory) Record(*db.Tx, ...blob.Body) error { return nil }

func (m *memory) Open(_ context.Context, id mail.ID) (blob.Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	b, ok := m.bodies[id]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return memoryReader{bytes.NewReader(b)}, nil
}

func (m *memory) Sweep(context.Context, []blob.Reference) (blob.Swept, error) {
	return blob.Swept{}, nil
}

func (m *memory) Check(context.Context, []blob.Reference, func(string)) error { return nil }
func (m *memory) Health() error                                               { return nil }
func (m *memory) Close() error                                                { return nil }

func (m *memory) put(b []byte) mail.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.ids.Next()
	m.bodies[id] = b
	return id
}

type memoryReader struct{ *bytes.Reader }

func (r memoryReader) Size() int64  { return r.Reader.Size() }
func (r memoryReader) Close() error { return nil }

type memoryWriter struct {
	m   *memory
	buf bytes.Buffer
}

func (w *memoryWriter) Write(p []byte) (int, error) { return w.buf.Write(p) }
func (w *memoryWriter) Size() int64                 { return int64(w.buf.Len()) }
func (w *memoryWriter) Abort()                      {}
func (w *memoryWriter) Reader() (*io.SectionReader, error) {
	return io.NewSectionReader(bytes.NewReader(w.buf.Bytes()), 0, w.Size()), nil
}
func (w *memoryWriter) Commit(context.Context, blob.Meta) (blob.Body, error) {
	id := w.m.put(bytes.Clone(w.buf.Bytes()))
	return blob.Body{ID: id, Size: w.Size()}, nil
}

// world is a Store with one account.
type world struct {
	t       testing.TB
	db      db.DB
	blobs   *memory
	ids     *mail.IDs
	s       *mailbox.Store
	account mail.ID
}

func newWorld(t testing.TB, change ...func(*mailbox.Options)) *world {
	t.Helper()
	w := &world{t: t, ids: mail.NewIDs(1, 0)}
	w.db = dbtest.New(t, mailbox.Schema())
	w.blobs = &memory{ids: w.ids, bodies: make(map[mail.ID][]byte)}
	o := mailbox.Options{DB: w.db, Blobs: w.blobs, IDs: w.ids}
	for _, c := range change {
		c(&o)
	}
	w.s = mailbox.New(o)
	w.account = w.newAccount()
	return w
}

func (w *world) newAccount() mail.ID {
	w.t.Helper()
	id := w.ids.Next()
	w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error { return w.s.Provision(tx, id) }))
	return id
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// delivery is a message with this text for INBOX.
func (w *world) delivery(text string) *mailbox.Delivery {
	body := w.blobs.put([]byte(text))
	part := mime.ParseBytes([]byte(text), mime.Limits{})
	references, _ := mime.Header(text).Get("References")
	return &mailbox.Delivery{
		Account: w.account, Message: w.ids.Next(), Body: body, Size: int64(len(text)),
		Date: 1_700_000_000_000_000, Content: mailbox.Describe(body, part, references),
	}
}

func (w *world) file(list ...*mailbox.Delivery) {
	w.t.Helper()
	w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error { return w.s.File(tx, list) }))
}

// deliver files n messages to INBOX in one commit.
func (w *world) deliver(n int) []*mailbox.Delivery {
	w.t.Helper()
	list := make([]*mailbox.Delivery, n)
	for i := range list {
		list[i] = w.delivery(fmt.Sprintf("Subject: %04d\r\n\r\nbody %04d\r\n", i, i))
	}
	w.file(list...)
	return list
}

func (w *world) open(name string) *mailbox.View {
	w.t.Helper()
	v, err := w.s.Select(w.t.Context(), w.account, name, false)
	w.must(err)
	w.t.Cleanup(v.Close)
	return v
}

// wake returns a channel that gets a value when a view may have changed.
func wake(v *mailbox.View) <-chan struct{} {
	c := make(chan struct{}, 1)
	v.OnChange(func() {
		select {
		case c <- struct{}{}:
		default: // one hint is enough
		}
	})
	return c
}

func (w *world) status(name string) mailbox.Status {
	w.t.Helper()
	st, err := w.s.Status(w.t.Context(), w.account, name)
	w.must(err)
	return st
}

func (w *world) rows(v *mailbox.View, want mailbox.Want) []mailbox.Row {
	w.t.Helper()
	var list []mailbox.Row
	w.must(v.Rows(w.t.Context(), all(v), want, func(r mailbox.Row) error {
		list = append(list, r)
		return nil
	}))
	return list
}

func (w *world) poll(v *mailbox.View, expunge bool) mailbox.Changes {
	w.t.Helper()
	c, err := v.Poll(w.t.Context(), expunge)
	w.must(err)
	return c
}

func (w *world) count(table string) int {
	w.t.Helper()
	var n int
	w.must(w.db.Read(w.t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL(`SELECT COUNT(*) FROM `+table), nil, &n)
	}))
	return n
}

func all(v *mailbox.View) []uint32 { return v.UIDs(mailbox.Set{{First: 1, Last: 0}}) }

func same[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
