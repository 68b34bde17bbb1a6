package intake_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/mime"
	"github.com/hayauma/hayauma/internal/wire/mime/sevenbit"
	"github.com/hayauma/hayauma/test/letters"
	"github.com/hayauma/hayauma/test/stack"
)

// submitted has alice submit a content to bob and others.
func submitted(t rapid.TB, s *stack.Stack, alice account.Account, content string, to ...string) intake.Result {
	t.Helper()
	o := mail.Origin{Door: mail.DoorSubmission, Account: alice.ID, Login: alice.Address, Helo: "client.test", Protocol: "ESMTPSA"}
	tx := s.Intake.Begin(o, mail.Envelope{From: alice.Address, EightBit: true})
	for _, rcpt := range append(to, "bob@hayauma.test") {
		target, fault := tx.Resolve(context.Background(), s.Address(rcpt))
		if fault == nil {
			fault = tx.Add(context.Background(), mail.Recipient{Address: s.Address(rcpt)}, target)
		}
		if fault != nil {
			t.Fatal(fault)
		}
	}
	for rest := []byte(content); len(rest) > 0; {
		n := min(len(rest), 1000)
		_, _ = tx.Write(rest[:n]) // its fault is that of Commit
		rest = rest[n:]
	}
	return tx.Commit(context.Background())
}

// newest is the last message in bob's INBOX, without what stands before its
// stored body, and its structure as IMAP tells of it is checked.
func newest(t rapid.TB, s *stack.Stack) string {
	t.Helper()
	bob, err := s.Directory.Find(context.Background(), s.Address("bob@hayauma.test"))
	if err != nil {
		t.Fatal(err)
	}
	view, err := s.Mailboxes.Select(context.Background(), bob.ID, mailbox.Inbox, true)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	uids := view.UIDs(mailbox.Set{{First: 1}})
	var text []byte
	err = view.Rows(context.Background(), uids[len(uids)-1:], mailbox.WantStructure, func(r mailbox.Row) error {
		body, err := view.Open(context.Background(), r)
		if err != nil {
			return err
		}
		text, err = io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		// The parser of the intake and this one may have other limits, and agree
		// on all that is below them.
		if diff := cmp.Diff(mime.Marshal(mime.ParseBytes(text, mime.Limits{})), mime.Marshal(r.Structure)); diff != "" {
			t.Errorf("structure (-of what is stored +of what was told):\n%s\nof\n%q", diff, text)
		}
		if r.Size != int64(len(text)) {
			t.Errorf("size %d of %d", r.Size, len(text))
		}
		return errors.Join(err, body.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	_, stored, found := strings.Cut(string(text), "Delivered-To: bob@hayauma.test\r\n")
	if !found || !strings.HasPrefix(stored, "Received: from client.test") {
		t.Fatalf("stored %q", text)
	}
	return stored
}

// TestSevenBit: whatever a user sends, what is stored is 7-bit and says the same.
func TestSevenBit(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	rapid.Check(t, func(t *rapid.T) {
		sent := strings.ReplaceAll(letters.Any(t), "\x00", "\x01") // no mail may hold one
		if r := submitted(t, s, alice, sent); r.Fault != nil {
			t.Fatal(r.Fault)
		}
		stored := newest(t, s)
		if diff := cmp.Diff(letters.Leaves(t, sent), letters.Leaves(t, stored)); diff != "" {
			t.Fatalf("leaves (-sent +stored):\n%s\nof\n%q\nas\n%q", diff, sent, stored)
		}
		if !sevenbit.High([]byte(sent)) {
			long := slices.ContainsFunc(strings.Split(sent, "\r\n"), func(line string) bool { return len(line) > 998 })
			if !long && !strings.HasSuffix(stored, sent) {
				t.Fatalf("7-bit mail was changed:\n%q\nto\n%q", sent, stored)
			}
			return
		}
		for line := range strings.SplitSeq(stored, "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") || sevenbit.High([]byte(line)) {
				t.Fatalf("line %q in\n%q", line, stored)
			}
		}
	})
}

const eightBit = "Message-ID: <one@b.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Content-Transfer-Encoding: 8bit\r\n\r\nfrom Zürich with love\r\n"

// TestSevenBitOrNot: what is left alone, and what the next host is told.
func TestSevenBitOrNot(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	signed := "Message-ID: <s@b.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nü\r\n--b--\r\n"
	large := strings.Replace(eightBit, "love\r\n", strings.Repeat("love, über alle Berge\r\n", 60_000), 1)
	smime := "Message-ID: <e@b.test>\r\nMIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n"
	sevenSigned := strings.Replace(signed, "ü", "all of this is ASCII", 1)
	beside := "Message-ID: <f@b.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n" + eightBit + "\r\n--m\r\n"
	forwarded := beside + "Content-Type: message/rfc822\r\n\r\n"
	for name, c := range map[string]struct {
		sent string
		left bool // as it is, 8-bit
		kept string
	}{
		"8-bit":                                    {sent: eightBit},
		"larger than 1 MiB":                        {sent: large},
		"signed parts":                             {sent: signed, left: true},
		"beside a part that is signed":             {sent: beside + sevenSigned + "--m--\r\n", kept: sevenSigned},
		"a signed message is forwarded":            {sent: forwarded + sevenSigned + "--m--\r\n", kept: sevenSigned},
		"an encrypted one is":                      {sent: forwarded + strings.Replace(sevenSigned, "/signed", "/encrypted", 1) + "--m--\r\n"},
		"S/MIME is":                                {sent: forwarded + smime + "--m--\r\n", kept: smime},
		"S/MIME in binary":                         {sent: strings.Replace(smime, "base64\r\n\r\nMIIB", "binary\r\n\r\n\xff\xfe", 1)},
		"one whose signature covers 8-bit text is": {sent: forwarded + signed + "--m--\r\n", left: true},
		"one with a DKIM signature is":             {sent: forwarded + "DKIM-Signature: v=1\r\n" + hello + "--m--\r\n", kept: "DKIM-Signature: v=1\r\n" + hello},
		"DKIM":                                     {sent: "DKIM-Signature: v=1\r\n" + eightBit, left: true},
		"a header in UTF-8":                        {sent: "Subject: ü\r\n" + eightBit, left: true},
		"an obstacle":                              {sent: strings.ReplaceAll(eightBit, " 8bit", " x-uuencode"), left: true},
	} {
		if r := submitted(t, s, alice, c.sent, "x@elsewhere.test"); r.Fault != nil {
			t.Fatalf("%s: %v", name, r.Fault)
		}
		stored := newest(t, s)
		if left := strings.HasSuffix(stored, c.sent); left != c.left || sevenbit.High([]byte(stored)) != c.left || !strings.Contains(stored, c.kept) {
			t.Errorf("%s: stored %.1000q", name, stored)
		}
		queued := s.Queued()
		if m := queued[len(queued)-1]; m.EightBit != c.left || m.Size != int64(len(stored)) {
			t.Errorf("%s: queued %d octets of %d, 8-bit %v", name, m.Size, len(stored), m.EightBit)
		}
	}
	if got := submitted(t, s, alice, hello, "x@elsewhere.test"); got.Fault != nil || s.Queued()[13].EightBit {
		t.Errorf("7-bit mail goes out as 8-bit: %v", got.Fault)
	}

	want(t, finish(t, begin(t, s, "bob@hayauma.test"), eightBit), "250")
	if stored := newest(t, s); !strings.HasSuffix(stored, eightBit) {
		t.Errorf("mail of others was changed: %q", stored)
	}
}

// A repeat is known by what was sent, not by what is stored.
func TestSevenBitRepeat(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	first := submitted(t, s, alice, eightBit)
	want(t, first, "250")
	if again := submitted(t, s, alice, eightBit); again.Fault != nil || again.ID != first.ID {
		t.Errorf("a second message: %+v", again)
	}
	seven := strings.ReplaceAll(strings.ReplaceAll(eightBit, " 8bit", " quoted-printable"), "ü", "=C3=BC")
	if other := submitted(t, s, alice, seven); other.Fault != nil || other.ID == first.ID {
		t.Errorf("no second message: %+v", other)
	}
}

// fickle is a store whose second body fails.
type fickle struct {
	blob.Store
	bodies int
}

type broken struct{ blob.Writer }

func (broken) Write([]byte) (int, error) { return 0, blob.ErrFull }

func (f *fickle) Create() blob.Writer {
	w := f.Store.Create()
	if f.bodies++; f.bodies == 2 {
		return broken{w}
	}
	return w
}

func TestSevenBitStoreFull(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Blobs: func(b blob.Store) blob.Store { return &fickle{Store: b} }})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	want(t, submitted(t, s, alice, eightBit), "452 4.3.1")
	wantCopies(t, s, 0, "bob@hayauma.test")
	want(t, submitted(t, s, alice, eightBit), "250")
	if got := s.Inbox("bob@hayauma.test"); len(got) != 1 || !strings.Contains(got[0], "Z=C3=BCrich") {
		t.Errorf("INBOX %q", got)
	}
}

// TestLongLinesOfASubmission: they are encoded too, and nothing is left to do for
// those who relay.
func TestLongLinesOfASubmission(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	const header = "From: alice@hayauma.test\r\nDate: 1 Jan 2026 00:00\r\nMessage-ID: <long@hayauma.test>\r\n"
	for content, long := range map[string]bool{
		header + "\r\n" + strings.Repeat("x", 998) + "\r\n":                        false,
		header + "\r\n" + strings.Repeat("x", 3000) + "\r\n":                       false,
		header + "DKIM-Signature: v=1\r\n\r\n" + strings.Repeat("x", 999) + "\r\n": true, // left as it is
	} {
		r := submitted(t, s, alice, content, "x@elsewhere.test")
		if r.Fault != nil {
			t.Fatal(r.Fault)
		}
		m, err := s.Queue.Show(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if m.LongLines != long {
			t.Errorf("%.100q: lines too long for others: %v", content, m.LongLines)
		}
		for line := range strings.Lines(newest(t, s)) {
			if len(line) > 1000 && !long {
				t.Errorf("a line of %d octets", len(line))
			}
		}
	}
}

// TestLongHeaderOfASubmission: what leaves is folded before it is stored, and what can
// never leave is not taken. What stays here is stored as it came.
func TestLongHeaderOfASubmission(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	const head = "From: alice@hayauma.test\r\nDate: 1 Jan 2026 00:00\r\nMessage-ID: <long@hayauma.test>\r\n"
	references, folded := "References:", "References:"
	for i := range 40 {
		id := " <" + strings.Repeat("x", 60) + "@hayauma.test>"
		references += id
		if folded += id; (i+2)%13 == 0 {
			folded += "\r\n"
		}
	}
	signed := "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nü\r\n--b--\r\n"
	none := "X: " + strings.Repeat("x", 2000)
	for name, c := range map[string]struct{ sent, want string }{
		"folded":              {head + references + "\r\n\r\nx\r\n", head + folded + "\r\n\r\nx\r\n"},
		"a header in UTF-8":   {head + "Subject: ü\r\n" + references + "\r\n\r\nx\r\n", head + "Subject: ü\r\n" + folded + "\r\n\r\nx\r\n"},
		"around signed parts": {head + references + "\r\n" + signed, head + folded + "\r\n" + signed},
		"with a long body": {
			head + references + "\r\n\r\n" + strings.Repeat("x", 999) + "\r\n",
			head + folded + "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat(strings.Repeat("x", 75)+"=\r\n", 13) + strings.Repeat("x", 24) + "\r\n",
		},
		"DKIM":           {head + "DKIM-Signature: v=1\r\n" + references + "\r\n\r\nx\r\n", ""},
		"no white space": {head + none + "\r\n\r\nx\r\n", ""},
	} {
		r := submitted(t, s, alice, c.sent, "x@elsewhere.test")
		if c.want == "" {
			want(t, r, "554 5.6.0")
		} else {
			want(t, r, "250")
			if stored := newest(t, s); !strings.HasSuffix(stored, c.want) {
				t.Errorf("%s: stored %q", name, stored)
			}
			m, err := s.Queue.Show(t.Context(), r.ID)
			if high := sevenbit.High([]byte(c.want)); err != nil || m.LongLines || m.EightBit != high {
				t.Errorf("%s: %v, lines too long for others: %v, 8-bit: %v", name, err, m.LongLines, m.EightBit)
			}
		}
		local := strings.Replace(c.sent, "<long@", "<local@", 1)
		want(t, submitted(t, s, alice, local), "250")
		if stored := newest(t, s); !strings.HasSuffix(stored, local) {
			t.Errorf("%s, to somebody here: stored %q", name, stored)
		}
	}
}
