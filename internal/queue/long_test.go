package queue

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// TestALongQueue: what waits for a later time costs no memory, and delays neither
// the start nor new mail. HAYAUMA_QUEUE says how much waits.
func TestALongQueue(t *testing.T) {
	t.Parallel()
	n := 20_000 / scale
	if s := os.Getenv("HAYAUMA_QUEUE"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, always(delivered))
	w.wait(n)
	before := heap()
	began := time.Now()
	w.run()
	w.insert(w.message("x@new.test"))
	w.eventually("the first delivery", func() bool { return w.obs.count("delivered") == 1 })
	t.Logf("%d wait; the first delivery came after %v, the heap has grown by %d KiB", n, time.Since(began), (heap()-before)>>10)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the first delivery came after %v", took)
	}
	w.q.mu.Lock()
	if len(w.q.sites) > 1 || w.q.octets != 0 {
		t.Errorf("%d sites and %d octets are held for what is not due", len(w.q.sites), w.q.octets)
	}
	w.q.mu.Unlock()
	// All at once: it is taken up as there is room for it.
	w.exec("UPDATE queue_recipient SET next = 1 WHERE state = 3")
	w.q.mu.Lock()
	w.q.due(1)
	w.q.mu.Unlock()
	w.eventually("what was due", func() bool { return w.obs.count("delivered") > min(n, 5000) })
}

// wait puts recipients into the queue that are due in two hours, for 5,000 sites.
func (w *world) wait(n int) {
	now := micros()
	for i := 0; i < n; i += 1000 {
		var messages, recipients [][]any
		for j := range min(1000, n-i) {
			m := w.message(fmt.Sprintf("u%d@d%d.test", i+j, (i+j)%5000))
			m.Received, m.Expires = now-time.Hour.Microseconds(), now+96*time.Hour.Microseconds()
			r := m.Recipients[0]
			r.State, r.Attempts, r.Next, r.Code, r.Reply = Deferred, 1, now+2*time.Hour.Microseconds()+int64(i+j), 451, "later"
			messages, recipients = append(messages, messageRow(m)), append(recipients, recipientRow(m, &r, 0))
		}
		w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error {
			if err := tx.Insert(insertMessage, messages...); err != nil {
				return err
			}
			return tx.Insert(insertRecipient, recipients...)
		}))
	}
}

func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc) //nolint:gosec // of this machine
}
