package mailbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/postgres"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/testkit"
)

// node is one of several processes on a database.
func node(t *testing.T, url string, number uint8) (*mailbox.Store, db.DB) {
	t.Helper()
	d, err := postgres.Open(t.Context(), postgres.Options{URL: url, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Migrate(t.Context(), mailbox.Schema()); err != nil {
		t.Fatal(err)
	}
	ids := mail.NewIDs(number, 0)
	s := mailbox.New(mailbox.Options{DB: d, IDs: ids, Blobs: &memory{ids: ids, bodies: map[mail.ID][]byte{}}})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return s, d
}

// TestOtherProcesses: what one process files wakes a session of another at once,
// and within a few seconds even if the notice is lost.
func TestOtherProcesses(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	proxy := testkit.NewPostgresProxy(t, server.Addr, nil)
	here, hereDB := node(t, testkit.PostgresURL("", proxy.Addr), 1)
	there, _ := node(t, server.URL(""), 2)
	const account = mail.ID(1)
	err := hereDB.Write(t.Context(), func(tx *db.Tx) error { return here.Provision(tx, account) })
	if err != nil {
		t.Fatal(err)
	}
	v, err := here.Select(t.Context(), account, mailbox.Inbox, false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	changed := wake(v)
	file := func() time.Duration {
		t.Helper()
		for woken := true; woken; {
			select {
			case <-changed:
			default:
				woken = false
			}
		}
		before := v.Count()
		a, err := there.Append(t.Context(), account, mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write([]byte("Subject: x\r\n\r\nx\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Commit(t.Context(), 0, nil, 0); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for v.Count() == before {
			select {
			case <-changed:
			case <-time.After(20 * time.Second):
				t.Fatal("the other process never saw the message")
			}
			if _, err := v.Poll(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(start)
	}
	// The first notice may come before anyone listens.
	file()
	fast := 10 * time.Second
	for range 5 {
		fast = min(fast, file())
	}
	if fast > 2*time.Second {
		t.Errorf("a notice took %v", fast)
	}
	proxy.Mute(true)
	if slow := file(); slow > 15*time.Second {
		t.Errorf("without a notice it took %v", slow)
	}
}
