package move

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
	"github.com/hayauma/hayauma/test/load"
)

const (
	localDomain  = "local.test"
	remoteDomain = "dest.test"
	lateDomain   = "late.test" // mail for it is let go once, and deferred
	password     = "a-password-for-the-move"
	otherOne     = "a-password-set-later" // of account 1
	largeSize    = 1300 << 10
	hugeSize     = 9 << 20
	lateCount    = 12
	settle       = time.Minute
)

func account(n int) string { return fmt.Sprintf("user%d@%s", n, localDomain) }

func passwordOf(n int) string {
	if n == 1 {
		return otherOne
	}
	return password
}

// scale is how large the installation is.
type scale struct{ messages, accounts, queued int }

// newScale is small for `make test`; HAYAUMA_COPY sets the number of messages,
// and the rest grows with it: 100000 is the full size.
func newScale(t *testing.T) scale {
	t.Helper()
	const least = 500 // what each account's use needs
	messages := max(least, number(t, "HAYAUMA_COPY", 1500))
	return scale{messages: messages, accounts: max(20, messages/500), queued: max(200, messages/10)}
}

func number(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// fill gives a running server its accounts, mail and queue, and returns some
// messages whose traces are worth a look.
func fill(t *testing.T, in *installation, size scale) (traces []string) {
	t.Helper()
	began := time.Now()
	addAccounts(t, in, size)
	t.Logf("%s: %d accounts, %v", in.name, size.accounts, since(began))
	began = time.Now()
	traces = deliver(t, in, size)
	t.Logf("%s: %d messages delivered, %d recipients queued, %v", in.name, size.messages, size.queued, since(began))
	began = time.Now()
	for n := range min(size.accounts, 10) {
		if err := use(t, in, n); err != nil {
			t.Fatalf("use %s: %v", account(n), err)
		}
	}
	in.run(t, "", "queue", "release", "--domain", lateDomain)
	testkit.Eventually(t, settle, "mail to be deferred", func() bool {
		return strings.Count(in.run(t, "", "queue", "list", "--json", "--state", "deferred"), `"recipient"`) == lateCount
	})
	t.Logf("%s: mailboxes used, mail deferred, %v", in.name, since(began))
	return traces
}

func addAccounts(t *testing.T, in *installation, size scale) {
	t.Helper()
	in.run(t, "", "domain", "add", localDomain)
	in.run(t, "", "domain", "add", "second.test")
	for n := range size.accounts {
		in.run(t, password+"\n", "account", "add", account(n), "--password-stdin")
	}
	in.run(t, otherOne+"\n", "account", "passwd", account(1), "--password-stdin")
	in.run(t, "", "account", "set", account(2), "--quota", "3GB")
	in.run(t, "", "alias", "add", "all@"+localDomain, account(0), account(1), "out@"+remoteDomain)
	in.run(t, "", "alias", "add", "*@second.test", account(3))
	in.run(t, password+"\n", "account", "add", "gone@"+localDomain, "--password-stdin")
	in.run(t, "", "account", "remove", "gone@"+localDomain)
}

// deliver brings the mail. Most of it is small, some goes to several people at
// once, so that they share a body, and some is larger than a megabyte.
func deliver(t *testing.T, in *installation, size scale) (traces []string) {
	t.Helper()
	large, shared := max(6, size.messages/1000), size.messages/10
	rest := size.messages - large - shared - 1
	for _, s := range []load.Source{
		{Run: "two", Size: 2100, Messages: rest / 3},
		{Run: "three", Size: 3300, Messages: rest / 3},
		{Run: "five", Size: 5000, Messages: rest - 2*(rest/3)},
		{Run: "shared", Size: 4000, Messages: shared, Rcpts: 3},
		{Run: "large", Size: largeSize, Messages: large, Rcpts: 2, Conns: 2},
		{Run: "huge", Size: hugeSize, Messages: 1, Rcpts: 2},
		{Run: "held", Size: 3000, Messages: size.queued / 4, Rcpts: 4, Domain: remoteDomain, Mailboxes: 50},
		{Run: "late", Size: 2500, Messages: lateCount / 4, Rcpts: 4, Domain: lateDomain, Mailboxes: lateCount},
	} {
		s.Addr, s.Pipeline = in.smtp, true
		if s.Conns == 0 {
			s.Conns = 8
		}
		if s.Domain == "" {
			s.Domain, s.Mailboxes = localDomain, size.accounts
		}
		first := ""
		s.OnAccepted = func(a load.Accepted) error {
			if first == "" {
				first = a.MessageID
			}
			return nil
		}
		got, err := s.Send(t.Context())
		if err != nil || got.Messages != s.Messages {
			t.Fatalf("%s: %d messages of %d accepted: %v, %v", s.Run, got.Messages, s.Messages, err, got.Errors)
		}
		traces = append(traces, first)
	}
	return traces
}

// use does with an account what people do: it makes gaps between UIDs, flags,
// keywords, copies, mailboxes that were renamed, and some made anew under a name
// that was there before.
func use(t *testing.T, in *installation, n int) (err error) {
	t.Helper()
	s, err := readback.DialIMAP(t.Context(), in.imap, "u", account(n), passwordOf(n))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	draft := fmt.Sprintf("Subject: draft %d\r\n\r\nNot finished yet.\r\n", n)
	for _, command := range []string{
		"CREATE Work/2026", "CREATE Old", "CREATE Empty/", "CREATE &MGAwXzBL-",
		"SUBSCRIBE Work/2026", "SUBSCRIBE &MGAwXzBL-", "CREATE Nowhere", "SUBSCRIBE Nowhere", "DELETE Nowhere", "UNSUBSCRIBE Sent",
		fmt.Sprintf("APPEND Drafts (\\Draft \\Seen) \"05-Mar-2019 07:08:09 +0900\" {%d+}\r\n%s", len(draft), draft),
		"SELECT INBOX",
		`STORE 1:3 +FLAGS.SILENT (\Seen)`,
		`STORE 2:4 +FLAGS.SILENT (\Flagged \Answered $Label1 custom)`,
		"COPY 1:6 Work/2026", "COPY 3 INBOX", "MOVE 7:8 Old",
		`STORE 5,9 +FLAGS.SILENT (\Deleted)`, "EXPUNGE",
		fmt.Sprintf(`STORE %d +FLAGS.SILENT (\Deleted)`, 6+n%3),
		"UNSELECT",
		"DELETE Old", "CREATE Old", "RENAME Old Older",
		fmt.Sprintf("RENAME Work/2026 Work/%d", 2027+n),
		"SELECT Drafts", `STORE 1 -FLAGS.SILENT (\Seen)`, "UNSELECT",
	} {
		if _, _, err := s.Do(command); err != nil {
			return fmt.Errorf("%.40q: %w", command, err)
		}
	}
	if n == 4 {
		_, _, err = s.Do("RENAME INBOX Before")
	}
	return err
}
