package mailbox_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// Deliveries, two sessions that change flags and expunge, and at last the
// deletion of the mailbox, all at once: each session's picture stays whole.
func TestSessionsRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	box, err := w.s.Create(ctx, w.account, "busy")
	w.must(err)
	var delivering, reading sync.WaitGroup
	for range 3 {
		delivering.Go(func() {
			for range 20 {
				d := w.delivery("Subject: race\r\n\r\nx\r\n")
				d.Mailbox = box.ID
				if err := w.db.Write(ctx, func(tx *db.Tx) error {
					return w.s.File(tx, []*mailbox.Delivery{d})
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		v := w.open("busy")
		reading.Go(func() {
			known := v.Count()
			for {
				c, err := v.Poll(ctx, true)
				if errors.Is(err, mailbox.ErrNoMailbox) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if known -= uint32(len(c.Expunged)); c.Exists < known {
					t.Errorf("%d exist, %d were known", c.Exists, known)
				}
				known = c.Exists
				if n := v.Count(); n > 2 {
					_, err = v.Store(ctx, all(v)[:n/2], mailbox.Add, mailbox.Deleted, nil)
					if err == nil {
						_, err = v.Expunge(ctx, nil)
					}
					if err != nil && !errors.Is(err, mailbox.ErrNoMailbox) {
						t.Error(err)
					}
				}
				select {
				case <-wake(v):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	delivering.Wait()
	last := w.open("busy")
	if st := w.status("busy"); st.UIDNext != 61 {
		t.Errorf("status %+v", st)
	}
	w.poll(last, true)
	w.must(w.s.Delete(ctx, w.account, "busy"))
	reading.Wait()
	if u, err := w.s.Usage(ctx, w.account); err != nil || u != (mailbox.Usage{}) {
		t.Errorf("usage %+v, %v", u, err)
	}
}
