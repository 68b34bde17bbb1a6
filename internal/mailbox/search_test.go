package mailbox_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mailbox"
)

// append adds a message by Append.
func (w *world) append(name, text string, date time.Time, keywords ...string) uint32 {
	w.t.Helper()
	a, err := w.s.Append(w.t.Context(), w.account, name)
	w.must(err)
	defer a.Abort()
	_, err = io.WriteString(a, strings.ReplaceAll(text, "\n", "\r\n"))
	w.must(err)
	_, uid, err := a.Commit(w.t.Context(), mailbox.Seen, keywords, date.UnixMicro())
	w.must(err)
	return uid
}

func day(s string) int64 {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0
	}
	return t.Unix() / 86400
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		w.must(err)
		return v
	}
	w.append("INBOX", "From: Ada <ada@example.test>\nSubject: =?utf-8?b?5pel5pys6Kqe?= Plan\n"+
		"Date: Mon, 1 Jan 2024 01:00:00 +0900\nX-Empty:\n\nhello World\n", at("2024-01-01T12:00:00Z"), "$Work")
	w.append("INBOX", "From: bob@example.test\nSubject: two\nContent-Type: multipart/mixed; boundary=b\n\n"+
		"--b\nContent-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B46;v\x1b(B \x1b$BF|K\\8l\x1b(B\n"+
		"--b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"+
		"<p>stra=C3=9Fe =CE=A3=CE=9F=CE=A6=CE=9F=CE=A3 lo=\nng</p>\n"+
		"--b\nContent-Type: application/octet-stream\n\nsecret\n"+
		"--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nnested\n--b--\n", at("2024-01-02T23:59:59Z"))
	w.append("INBOX", "Subject: three\n\n"+strings.Repeat("x", 40000)+" Needle at the end\n", at("2024-01-03T00:00:00Z"))
	v := w.open("INBOX")
	ctx := t.Context()
	_, err := v.Store(ctx, []uint32{2}, mailbox.Replace, mailbox.Flagged|mailbox.Answered, nil)
	w.must(err)
	type (
		and  = mailbox.And
		or   = mailbox.Or
		not  = mailbox.Not
		has  = mailbox.HasFlags
		uids = mailbox.UIDs
		set  = mailbox.Set
	)
	for name, c := range map[string]struct {
		q    mailbox.Query
		want []uint32
	}{
		"all":                    {mailbox.All{}, []uint32{1, 2, 3}},
		"nothing":                {nil, []uint32{1, 2, 3}},
		"not all":                {not{mailbox.All{}}, nil},
		"seen":                   {has(mailbox.Seen), []uint32{1, 3}},
		"unseen":                 {not{has(mailbox.Seen)}, []uint32{2}},
		"not both":               {not{has(mailbox.Flagged | mailbox.Seen)}, []uint32{1, 2, 3}},
		"seen and unseen":        {and{has(mailbox.Seen), not{has(mailbox.Seen)}}, nil},
		"uids":                   {uids{set{{2, 0}}}, []uint32{2, 3}},
		"two sets of uids":       {and{uids{set{{2, 0}}}, uids{set{{1, 2}}}}, []uint32{2}},
		"seqs":                   {mailbox.Seqs{Set: set{{1, 1}, {3, 9}}}, []uint32{1, 3}},
		"or":                     {or{uids{set{{1, 1}}}, has(mailbox.Answered)}, []uint32{1, 2}},
		"empty or":               {or{}, nil},
		"recent":                 {mailbox.IsRecent{}, []uint32{1, 2, 3}},
		"keyword":                {mailbox.HasKeyword("$wORK"), []uint32{1}},
		"on":                     {mailbox.Date{From: day("2024-01-02"), To: day("2024-01-03")}, []uint32{2}},
		"since":                  {mailbox.Date{From: day("2024-01-02"), To: 1 << 60}, []uint32{2, 3}},
		"or of dates":            {or{mailbox.Date{From: -1 << 60, To: day("2024-01-02")}}, []uint32{1}},
		"sent on, as written":    {mailbox.Sent{From: day("2024-01-01"), To: day("2024-01-02")}, []uint32{1}},
		"sent, by internal date": {mailbox.Sent{From: day("2024-01-02"), To: day("2024-01-03")}, []uint32{2}},
		"larger":                 {mailbox.Larger(30000), []uint32{3}},
		"smaller":                {and{mailbox.Smaller(30000), mailbox.Larger(10)}, []uint32{1, 2}},
		"or of sizes":            {or{mailbox.Smaller(1), mailbox.Larger(30000)}, []uint32{3}},
		"modseq":                 {mailbox.ChangedSince(v.Mailbox().Modseq + 1), []uint32{2}},
		"from":                   {mailbox.Header{Name: "from", Contains: "EXAMPLE.test"}, []uint32{1, 2}},
		"subject, encoded":       {mailbox.Header{Name: "Subject", Contains: "日本語 plan"}, []uint32{1}},
		"field alone":            {mailbox.Header{Name: "x-empty"}, []uint32{1}},
		"no such field":          {mailbox.Header{Name: "x-none"}, nil},
		"body":                   {mailbox.Body("HELLO wORLD"), []uint32{1}},
		"body, not header":       {mailbox.Body("plan"), nil},
		"text, header":           {mailbox.Text("plan"), []uint32{1}},
		"text, field name":       {mailbox.Text("x-empty"), []uint32{1}},
		"body, iso-2022-jp":      {mailbox.Body("日本語"), []uint32{2}},
		"body, qp and soft line": {mailbox.Body("straße σοφος long"), []uint32{2}},
		"no attachments":         {mailbox.Body("secret"), nil},
		"nested header":          {mailbox.Body("subject: INNER"), []uint32{2}},
		"nested body":            {mailbox.Text("nested"), []uint32{2}},
		"far away":               {mailbox.Body("x needle"), []uint32{3}},
		"empty text":             {mailbox.Text(""), []uint32{1, 2, 3}},
		"cheap first": {and{mailbox.Body("x needle"), or{mailbox.Body("no"), has(mailbox.Seen)},
			not{mailbox.Header{Name: "Subject", Contains: "two"}}}, []uint32{3}},
	} {
		got, err := v.Search(ctx, c.q)
		w.must(err)
		same(t, name, got, c.want)
	}

	opened := w.blobs.opened
	if _, err := v.Search(ctx, and{mailbox.Body("x"), has(mailbox.Draft)}); err != nil || w.blobs.opened != opened {
		t.Errorf("a body was opened though the row does not match (%v)", err)
	}
	dead, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := v.Search(dead, mailbox.Body("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
