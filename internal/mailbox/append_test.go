package mailbox_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quotaOf(100))
	ctx := t.Context()
	if _, err := w.s.Append(ctx, w.account, "nope"); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("no such mailbox: %v", err)
	}
	v := w.open("Drafts")
	when := time.Date(2020, 2, 29, 1, 2, 3, 0, time.UTC)
	if uid := w.append("Drafts", "Subject: x\n\nbody\n", when, "kw"); uid != 1 {
		t.Errorf("UID %d", uid)
	}
	<-wake(v)
	w.poll(v, true)
	r := w.rows(v, mailbox.WantStructure)[0]
	if r.Size != 20 || r.Date != mail.Micros(when) || r.Flags != mailbox.Seen || r.Structure.Envelope.Subject != "x" ||
		r.Thread != r.Message || r.SentDay != when.Unix()/86400 {
		t.Errorf("row %+v", r)
	}
	a, err := w.s.Append(ctx, w.account, "Drafts")
	w.must(err)
	_, err = a.Write(make([]byte, 81))
	w.must(err)
	if _, _, err := a.Commit(ctx, 0, nil, 0); !errors.Is(err, mailbox.ErrOverQuota) {
		t.Errorf("beyond the quota: %v", err)
	}
	a, err = w.s.Append(ctx, w.account, "Drafts")
	w.must(err)
	if _, _, err := a.Commit(ctx, 0, []string{"bad keyword"}, 0); !errors.Is(err, mailbox.ErrBadKeyword) {
		t.Errorf("bad keyword: %v", err)
	}
	a, err = w.s.Append(ctx, w.account, "Drafts")
	w.must(err)
	w.must(w.s.Delete(ctx, w.account, "Drafts"))
	if _, _, err := a.Commit(ctx, 0, nil, 0); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("mailbox deleted meanwhile: %v", err)
	}
	if ok, err := w.s.Reserve(ctx, w.account, 100, 100); err != nil || !ok {
		t.Errorf("reservations are left: %v, %v", ok, err)
	}
}

func TestStructureIsThatOfPrefixAndBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const prefix = "Return-Path: <a@x>\r\nSubject: changed\r\n"
	const text = "Subject: first\r\nTo: b@x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntwo\r\n--b--\r\n"
	d := w.delivery(text)
	d.Prefix = []byte(prefix)
	d.Size += int64(len(prefix))
	w.file(d)
	v := w.open("INBOX")
	row := w.rows(v, mailbox.WantStructure)[0]
	r, err := v.Open(t.Context(), row)
	w.must(err)
	defer func() { w.must(r.Close()) }()
	read := func(off, size int64) string {
		b := make([]byte, size)
		if n, err := r.ReadAt(b, off); n != len(b) && !errors.Is(err, io.EOF) {
			t.Fatalf("read %d at %d: %d, %v", size, off, n, err)
		}
		return string(b)
	}
	p := row.Structure
	if r.Size() != row.Size || read(0, r.Size()) != prefix+text {
		t.Errorf("whole message %q", read(0, r.Size()))
	}
	if int64(len(prefix)) >= row.Header || row.Header != p.HeaderSize || p.HeaderLines != 6 || p.End() != row.Size {
		t.Errorf("header %d, %d, %d lines; end %d", row.Header, p.HeaderSize, p.HeaderLines, p.End())
	}
	one, two := p.Children[0], p.Children[1].Embedded()
	if got := read(one.BodyOffset(), one.BodySize); got != "one" {
		t.Errorf("first part %q", got)
	}
	if got := read(two.Offset, two.HeaderSize+two.BodySize); got != "Subject: in\r\n\r\ntwo" {
		t.Errorf("nested message %q", got)
	}
	if p.Envelope.Subject != "changed" || len(p.Envelope.To) != 1 {
		t.Errorf("envelope %+v", p.Envelope)
	}
	for off := int64(0); off < r.Size(); off += 7 {
		if got := read(off, min(11, r.Size()-off)); got != (prefix + text)[off:min(off+11, r.Size())] {
			t.Errorf("at %d: %q", off, got)
		}
	}
	if _, err := v.Open(t.Context(), w.rows(v, 0)[0]); !errors.Is(err, mailbox.ErrNoMessage) {
		t.Errorf("open without a body id: %v", err)
	}
}
