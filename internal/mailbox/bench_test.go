package mailbox_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// BenchmarkFile files groups of deliveries, spread over 100 accounts, and
// reports the processor time of one delivery.
func BenchmarkFile(b *testing.B) {
	for _, group := range []int{1, 25, 50} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			w := newWorld(b)
			accounts := make([]mail.ID, 100)
			for i := range accounts {
				accounts[i] = w.newAccount()
			}
			base := w.delivery("From: a@example.test\r\nTo: b@example.test\r\nSubject: hello\r\n" +
				"Message-ID: <a@example.test>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0900\r\n\r\nbody\r\n")
			prefix := []byte("Return-Path: <a@example.test>\r\nDelivered-To: b@example.test\r\n")
			n := 0
			start := processorTime()
			for b.Loop() {
				list := make([]*mailbox.Delivery, group)
				for i := range list {
					d, c := *base, *base.Content
					d.Body = w.ids.Next()
					c.Body, d.Content, d.Prefix = d.Body, &c, prefix
					c.MessageID = fmt.Sprintf("<%d@example.test>", n)
					d.Message, d.Account = w.ids.Next(), accounts[n%len(accounts)]
					list[i] = &d
					n++
				}
				w.must(w.db.Write(b.Context(), func(tx *db.Tx) error { return w.s.File(tx, list) }))
			}
			b.ReportMetric(float64((processorTime()-start).Microseconds())/float64(n), "cpu-µs/delivery")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPollOfNothing is what an idle session costs when nothing changed.
func BenchmarkPollOfNothing(b *testing.B) {
	w := newWorld(b)
	w.deliver(200)
	v := w.open("INBOX")
	for b.Loop() {
		w.poll(v, true)
	}
}
