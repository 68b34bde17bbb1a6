package imapd_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// fill files messages as a delivery does, but without their bodies.
func (w *world) fill(text []byte, count int) {
	w.t.Helper()
	ids := mail.NewIDs(2, 0)
	part := mime.ParseBytes(text, mime.Limits{})
	prefix := []byte("Return-Path: <anna@example.test>\r\nDelivered-To: horse@example.test\r\n" +
		"Received: from mail.example.test ([192.0.2.9]) by mx.example.test with ESMTPS id 0;\r\n\tTue, 3 Feb 2026 04:05:00 +0000\r\n")
	for count > 0 {
		list := make([]*mailbox.Delivery, min(count, 500))
		count -= len(list)
		for i := range list {
			body := ids.Next()
			list[i] = &mailbox.Delivery{
				Account: w.account.ID, Message: ids.Next(), Body: body, Prefix: prefix,
				Size: int64(len(prefix) + len(text)), Date: mail.Micros(sampleDate),
				Content: mailbox.Describe(body, part, ""),
			}
		}
		w.must(w.db.Write(context.Background(), func(tx *db.Tx) error { return w.boxes.File(tx, list) }))
	}
}

func benchmarkFetch(b *testing.B, text []byte, items string) {
	w := newWorld(b)
	w.fill(text, 10_000)
	c := w.enter("INBOX")
	b.ReportAllocs()
	for b.Loop() {
		c.send("f FETCH 1:* " + items + "\r\n")
		for {
			line, err := c.in.ReadSlice('\n')
			if err == nil && bytes.HasPrefix(line, []byte("f ")) {
				if !bytes.HasPrefix(line, []byte("f OK")) {
					b.Fatalf("%s", line)
				}
				break
			}
		}
	}
}

func BenchmarkFetchStructures10000(b *testing.B) {
	const items = "(FLAGS UID RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
	b.Run("plain", func(b *testing.B) { benchmarkFetch(b, sample(b, "2_plain"), items) })
	b.Run("nested", func(b *testing.B) { benchmarkFetch(b, sample(b, "1_nested"), items) })
}

func BenchmarkFetchFlags10000(b *testing.B) { benchmarkFetch(b, sample(b, "2_plain"), "(UID FLAGS)") }

func BenchmarkNoop(b *testing.B) {
	w := newWorld(b)
	c := w.enter("INBOX")
	b.ReportAllocs()
	for b.Loop() {
		c.send("n NOOP\r\n")
		c.line()
	}
}

func BenchmarkFetchBody(b *testing.B) {
	w := newWorld(b)
	w.keep("INBOX", []byte("Subject: a\r\n\r\n"+strings.Repeat("five kilobytes\r\n", 320)), mailbox.Seen)
	c := w.enter("INBOX")
	b.ReportAllocs()
	for b.Loop() {
		c.send("f FETCH 1 BODY.PEEK[]\r\n")
		for got := ""; !strings.HasPrefix(got, "f "); got = c.line() {
			continue
		}
	}
}
