package mailbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mailbox"
)

func (w *world) names() []string {
	w.t.Helper()
	list, err := w.s.List(w.t.Context(), w.account)
	w.must(err)
	var names []string
	for _, b := range list {
		name := b.Name
		if b.NoSelect {
			name += " (noselect)"
		}
		names = append(names, name)
	}
	return names
}

func TestProvision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	same(t, "names", w.names(), []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"})
	list, err := w.s.List(t.Context(), w.account)
	w.must(err)
	seen := make(map[uint32]bool)
	for _, b := range list {
		if b.Role != mailbox.Role(strings.ToLower(b.Name)) || !b.Subscribed || b.UIDNext != 1 || seen[b.UIDValidity] {
			t.Errorf("%+v", b)
		}
		seen[b.UIDValidity] = true
	}
}

func TestCreateNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mailbox.Options) { o.NameBytes, o.Depth = 40, 4 })
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"one", "one", nil},
		{"one", "", mailbox.ErrMailboxExists},
		{"two/", "two", nil},
		{"inbox", "", mailbox.ErrMailboxExists},
		{"InBox/sub", "INBOX/sub", nil},
		{"inboxes", "inboxes", nil},
		{"e\u0301", "\u00e9", nil},
		{"\u00e9", "", mailbox.ErrMailboxExists},
		{"日本語/メール", "日本語/メール", nil},
		{`odd "name" \ & ~ (x)`, `odd "name" \ & ~ (x)`, nil},
		{"a/b/c/d", "a/b/c/d", nil},
		{"a/b/c/d/e", "", mailbox.ErrBadName},
		{"", "", mailbox.ErrBadName},
		{"/", "", mailbox.ErrBadName},
		{"/a", "", mailbox.ErrBadName},
		{"a//b", "", mailbox.ErrBadName},
		{"a\x00b", "", mailbox.ErrBadName},
		{"a\nb", "", mailbox.ErrBadName},
		{"a\u0085b", "", mailbox.ErrBadName},
		{"a*", "", mailbox.ErrBadName},
		{"100%", "", mailbox.ErrBadName},
		{"#news", "", mailbox.ErrBadName},
		{"\xff", "", mailbox.ErrBadName},
		{strings.Repeat("x", 41), "", mailbox.ErrBadName},
	} {
		b, err := w.s.Create(t.Context(), w.account, c.name)
		if !errors.Is(err, c.err) || b.Name != c.want {
			t.Errorf("create %q: %q, %v", c.name, b.Name, err)
		}
	}
	for _, up := range []string{"a", "a/b", "a/b/c", "日本語"} {
		b, err := w.s.Find(t.Context(), w.account, up)
		if err != nil || b.NoSelect {
			t.Errorf("%q above a new mailbox: %+v, %v", up, b, err)
		}
	}
	if _, err := w.s.Find(t.Context(), w.account, "a//b"); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("find an impossible name: %v", err)
	}
}

func TestLimitsOfCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *mailbox.Options) { o.Mailboxes = 8 })
	if _, err := w.s.Create(t.Context(), w.account, "a/b/c"); !errors.Is(err, mailbox.ErrTooMany) {
		t.Errorf("9 mailboxes: %v", err)
	}
	_, err := w.s.Create(t.Context(), w.account, "a/b")
	w.must(err)
	for _, name := range []string{"s1", "s2"} {
		w.must(w.s.Subscribe(t.Context(), w.account, name, true))
	}
	if err := w.s.Subscribe(t.Context(), w.account, "s3", true); !errors.Is(err, mailbox.ErrTooMany) {
		t.Errorf("9 subscriptions: %v", err)
	}
	if _, err := w.s.Create(t.Context(), w.ids.Next(), "a"); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("no such account: %v", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	if err := w.s.Delete(ctx, w.account, "inbox"); !errors.Is(err, mailbox.ErrNotAllowed) {
		t.Errorf("delete INBOX: %v", err)
	}
	if err := w.s.Delete(ctx, w.account, "nope"); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("delete nothing: %v", err)
	}
	before, err := w.s.Create(ctx, w.account, "a/b")
	w.must(err)
	a, err := w.s.Find(ctx, w.account, "a")
	w.must(err)
	d := w.delivery("A: b\r\n\r\n")
	d.Mailbox = a.ID
	w.file(d)
	v := w.open("a")

	w.must(w.s.Delete(ctx, w.account, "a"))
	if names := w.names(); !slices.Contains(names, "a (noselect)") || !slices.Contains(names, "a/b") {
		t.Errorf("names %v", names)
	}
	if _, err := v.Poll(ctx, true); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("poll of a deleted mailbox: %v", err)
	}
	if _, err := v.Store(ctx, all(v), mailbox.Add, mailbox.Seen, nil); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("store in a deleted mailbox: %v", err)
	}
	if u, err := w.s.Usage(ctx, w.account); err != nil || u != (mailbox.Usage{}) {
		t.Errorf("usage %+v, %v", u, err)
	}
	for what, err := range map[string]error{
		"select": second(w.s.Select(ctx, w.account, "a", false)), "status": second(w.s.Status(ctx, w.account, "a")),
		"append": second(w.s.Append(ctx, w.account, "a")),
	} {
		if !errors.Is(err, mailbox.ErrNoSelect) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.s.Delete(ctx, w.account, "a"); !errors.Is(err, mailbox.ErrHasChildren) {
		t.Errorf("delete a noselect parent: %v", err)
	}
	// RFC 3501 §6.3.3: made again, it is a mailbox with a larger UIDVALIDITY.
	again, err := w.s.Create(ctx, w.account, "a")
	w.must(err)
	if again.UIDValidity <= before.UIDValidity || again.NoSelect || again.UIDNext != 1 {
		t.Errorf("made again: %+v", again)
	}
	w.must(w.s.Delete(ctx, w.account, "a/b"))
	w.must(w.s.Delete(ctx, w.account, "a"))
	if slices.ContainsFunc(w.names(), func(s string) bool { return strings.HasPrefix(s, "a") }) {
		t.Errorf("names %v", w.names())
	}
	if n := w.count("mailbox_message") + w.count("mailbox_content"); n != 0 {
		t.Errorf("%d rows left", n)
	}
	b, err := w.s.Create(ctx, w.account, "a/b")
	w.must(err)
	if b.UIDValidity <= again.UIDValidity {
		t.Errorf("UIDVALIDITY %d after %d", b.UIDValidity, again.UIDValidity)
	}
}

func second[T any](_ T, err error) error { return err }

func TestRename(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	old, err := w.s.Create(ctx, w.account, "a/b/c")
	w.must(err)
	_, err = w.s.Create(ctx, w.account, "ab")
	w.must(err)
	w.must(w.s.Subscribe(ctx, w.account, "a/b/c", true))
	v := w.open("a/b/c")
	for to, want := range map[string]error{
		"ab": mailbox.ErrMailboxExists, "a/b": mailbox.ErrNotAllowed, "a/x": mailbox.ErrNotAllowed,
		"x//y": mailbox.ErrBadName, "INBOX": mailbox.ErrMailboxExists, strings.Repeat("x", 498): mailbox.ErrBadName,
	} {
		if err := w.s.Rename(ctx, w.account, "a", to); !errors.Is(err, want) {
			t.Errorf("rename to %q: %v", to, err)
		}
	}
	if err := w.s.Rename(ctx, w.account, "zz", "y"); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Errorf("rename nothing: %v", err)
	}
	w.must(w.s.Rename(ctx, w.account, "a", "x/y"))
	names := w.names()
	same(t, "names", names[slices.Index(names, "ab"):], []string{"ab", "x", "x/y", "x/y/b", "x/y/b/c"})
	now, err := w.s.Find(ctx, w.account, "x/y/b/c")
	w.must(err)
	if now.ID != old.ID || now.UIDValidity != old.UIDValidity || !now.Subscribed {
		t.Errorf("%+v was %+v", now, old)
	}
	subs, err := w.s.Subscriptions(ctx, w.account)
	w.must(err)
	if !slices.Contains(subs, "a/b/c") || !slices.Contains(subs, "x/y/b/c") {
		t.Errorf("subscriptions %v", subs)
	}
	// The session on it goes on.
	d := w.delivery("A: b\r\n\r\n")
	d.Mailbox = old.ID
	w.file(d)
	if c := w.poll(v, true); c.Exists != 1 {
		t.Errorf("changes %+v", c)
	}
}

func TestRenameInbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.deliver(600)
	_, err := w.s.Create(ctx, w.account, "INBOX/kept")
	w.must(err)
	v := w.open("INBOX")
	w.must(w.s.Rename(ctx, w.account, "inbox", "old/mail"))
	if a, b := w.status("INBOX"), w.status("old/mail"); a.Messages != 0 || b.Messages != 600 || a.UIDNext != 601 {
		t.Errorf("INBOX %+v, new %+v", a, b)
	}
	if c := w.poll(v, true); len(c.Expunged) != 600 || c.Exists != 0 || c.Expunged[0] != 600 {
		t.Errorf("changes: %d expunged, %d exist", len(c.Expunged), c.Exists)
	}
	if !slices.Contains(w.names(), "INBOX/kept") {
		t.Error("what INBOX held has moved")
	}
}

func TestSubscriptionsOutliveMailboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.s.Delete(ctx, w.account, "Junk"))
	w.must(w.s.Subscribe(ctx, w.account, "sent", true))
	w.must(w.s.Subscribe(ctx, w.account, "Trash", false))
	subs, err := w.s.Subscriptions(ctx, w.account)
	w.must(err)
	same(t, "subscriptions", subs, []string{"Archive", "Drafts", "INBOX", "Junk", "Sent", "sent"})
	b, err := w.s.Find(ctx, w.account, "Trash")
	w.must(err)
	if b.Subscribed {
		t.Error("still subscribed")
	}
}
