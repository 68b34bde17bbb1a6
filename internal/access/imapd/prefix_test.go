package imapd_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// deliver files a message with a prefix of its own to INBOX.
func (w *world) deliver(prefix, text string) {
	w.t.Helper()
	ctx := context.Background()
	body := w.bodies.Create()
	_, err := body.Write([]byte(text))
	w.must(err)
	kept, err := body.Commit(ctx, blob.Meta{Account: w.account.ID})
	w.must(err)
	content := mailbox.Describe(kept.ID, mime.ParseBytes([]byte(text), mime.Limits{}), "")
	w.must(w.db.Write(ctx, func(tx *db.Tx) error {
		if err := w.bodies.Record(tx, kept); err != nil {
			return err
		}
		return w.boxes.File(tx, []*mailbox.Delivery{{
			Account: w.account.ID, Message: kept.ID + 1, Body: kept.ID, Prefix: []byte(prefix),
			Size: int64(len(prefix) + len(text)), Date: mail.Micros(sampleDate), Content: content,
		}})
	}))
}

// TestPrefixIsPartOfTheMessage compares a message that was delivered with a
// prefix with the same message appended in one piece.
func TestPrefixIsPartOfTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := string(sample(t, "1_nested"))
	prefix := "Return-Path: <x@example.test>\r\nSubject: from the prefix\r\nReceived: by mx\r\n\tfolded\r\n"
	w.deliver(prefix, text)
	w.keep("INBOX", []byte(prefix+text), 0)
	c := w.enter("INBOX")
	for _, item := range []string{
		"RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]", "BODY.PEEK[]<10.200>", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]",
		"BODY.PEEK[HEADER.FIELDS (Return-Path Subject)]", "BODY.PEEK[1.1]", "BODY.PEEK[1.2.MIME]", "BODY.PEEK[2.HEADER]",
		"BODY.PEEK[2.2]", "BODY.PEEK[3]", "RFC822.HEADER",
	} {
		delivered, appended := c.ok("FETCH 1 "+item), c.ok("FETCH 2 "+item)
		delivered[0] = strings.Replace(delivered[0], "* 1 ", "* 2 ", 1)
		if !slices.Equal(delivered, appended) {
			t.Errorf("%s\ndelivered %q\nappended  %q", item, delivered, appended)
		}
	}
}

// TestLostBody has one message whose body is gone from the store.
func TestLostBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill([]byte("Subject: lost\r\n\r\n"), 1)
	w.keep("INBOX", []byte("Subject: there\r\n\r\n"), 0)
	c := w.enter("INBOX")
	untagged, tagged := c.run("FETCH 1:2 BODY.PEEK[]")
	if len(untagged) == 0 || !strings.HasPrefix(untagged[0], "* 2 FETCH") || !strings.HasPrefix(tagged, "NO [UNAVAILABLE] ") {
		t.Errorf("%q, %s", untagged, tagged)
	}
	if !strings.Contains(w.log.String(), "message cannot be read") {
		t.Error("the log does not tell")
	}
	c.ok("FETCH 1:2 (FLAGS ENVELOPE)")
}
