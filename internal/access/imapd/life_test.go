package imapd_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/access/imapd"
	"github.com/hayauma/hayauma/internal/mailbox"
)

func wantBye(t *testing.T, what, said string) {
	t.Helper()
	if !strings.HasPrefix(said, "* BYE ") || strings.Contains(said, "\n") {
		t.Errorf("%s: %q instead of a BYE", what, said)
	}
}

// A session reads nothing more where its password has ended, and hears of nothing.
func TestLoginEndsDuringItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reading, idling := w.enter("INBOX"), w.enter("INBOX")
	idling.send("i IDLE\r\n")
	if got := idling.line(); got != "+ idling" {
		t.Fatal(got)
	}
	w.must(w.directory.SetPassword(t.Context(), w.account.Address, "slower than a snail"))
	w.keep("INBOX", []byte("Subject: x\r\n\r\nx\r\n"), 0)
	wantBye(t, "in IDLE, when mail comes", idling.ends())
	reading.send("a FETCH 1 BODY[]\r\n")
	wantBye(t, "between commands", reading.ends())
}

// Who gives up at SCRAM's challenge, or goes, has failed to log in: it told him something.
func TestGivenUpLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scram.Store(true)
	first := base64.StdEncoding.EncodeToString([]byte("n,,n=" + login + ",r=abc"))
	say := func(c *client, line, want string) {
		t.Helper()
		c.send(line + "\r\n")
		if got := c.line(); !strings.HasPrefix(got, want) {
			t.Fatalf("%s: %q", line, got)
		}
	}
	begin := func(c *client) {
		t.Helper()
		say(c, "a AUTHENTICATE SCRAM-SHA-256", "+ ")
		say(c, first, "+ ")
	}
	c := w.connect()
	begin(c)
	say(c, "*", "a BAD Login cancelled")
	begin(c)
	say(c, "eA==", "a BAD The answer does not follow the mechanism")
	begin(c)
	w.must(c.conn.Close())
	w.wg.Wait()
	c = w.connect()
	say(c, "a AUTHENTICATE SCRAM-SHA-256", "+ ")
	say(c, first, "a NO [UNAVAILABLE] Too many failed logins from your network, try again in about 10 minutes")
}

func TestShutdownEndsSessionsWithBye(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger, waiting, idling, half := w.connect(), w.enter(""), w.enter("INBOX"), w.enter("")
	idling.send("i IDLE\r\n")
	if got := idling.line(); got != "+ idling" {
		t.Fatal(got)
	}
	appending := w.enter("")
	appending.send("a APPEND INBOX {10}\r\n")
	if got := appending.line(); !strings.HasPrefix(got, "+ ") {
		t.Fatal(got)
	}
	half.send("h NO")
	w.stop()
	wantBye(t, "not logged in", stranger.ends())
	wantBye(t, "between commands", waiting.ends())
	wantBye(t, "in IDLE", idling.ends())
	wantBye(t, "in the middle of a command", half.ends())
	// The command that is running is finished.
	appending.send("0123456789\r\n")
	said := appending.ends()
	if !strings.HasPrefix(said, "a OK [APPENDUID ") || !strings.Contains(said, "\n* BYE ") {
		t.Errorf("in APPEND: %q", said)
	}
}

// TestSilenceEndsSessions sends all that a session hears before it reads, so
// that nothing but the silence behind it can be too slow.
func TestSilenceEndsSessions(t *testing.T) {
	t.Parallel()
	const short = 50 * time.Millisecond
	enter := fmt.Sprintf("l LOGIN %s %q\r\ns SELECT INBOX\r\n", login, password)
	for _, c := range []struct {
		name, input string
		change      func(*imapd.Settings)
	}{
		{"before login", "", func(s *imapd.Settings) { s.LoginTimeout = short }},
		{"in the middle of a login", "a AUTHENTICATE PLAIN\r\n", func(s *imapd.Settings) { s.LoginTimeout = short }},
		{"behind login", enter, func(s *imapd.Settings) { s.IdleTimeout = short }},
		{"in IDLE", enter + "i IDLE\r\n", func(s *imapd.Settings) { s.IdleTimeout = short }},
		{"in the middle of a message", enter + "a APPEND INBOX {99+}\r\nSubject:", func(s *imapd.Settings) { s.DataTimeout = short }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.change(c.change)
			conn, err := w.dial("")
			w.must(err)
			peer := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
			peer.send(c.input)
			said := peer.ends()
			wantBye(t, c.name, said[strings.LastIndexByte(said, '\n')+1:])
		})
	}
}

func TestPeerThatNeverReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.change(func(s *imapd.Settings) { s.WriteTimeout, s.MessageSize = 50*time.Millisecond, 4<<20 })
	w.keep("INBOX", bytes.Repeat([]byte("never read\r\n"), 100_000), 0)
	c := w.enter("INBOX")
	c.send("f FETCH 1 BODY.PEEK[]\r\n")
	done := make(chan struct{})
	go func() {
		w.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
}

func TestPeerThatVanishesInAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.enter("")
	c.send("a APPEND INBOX {100+}\r\nSubject: half")
	_ = c.conn.Close() // as a broken line does
	w.wg.Wait()
	st, err := w.boxes.Status(t.Context(), w.account.ID, "INBOX")
	if err != nil || st.Messages != 0 {
		t.Errorf("%d messages, %v", st.Messages, err)
	}
}

func TestLargeMessageArrivesWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef\r\n", 60_000)
	w.change(func(s *imapd.Settings) { s.MessageSize = 4 << 20 })
	c := w.enter("INBOX")
	c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
	c.send("f FETCH 1 BODY[]\r\n")
	size, found := strings.CutPrefix(c.line(), "* 1 FETCH (BODY[] {")
	if n, err := strconv.Atoi(strings.TrimSuffix(size, "}")); !found || err != nil || n != len(text) {
		t.Fatalf("size %q, want %d", size, len(text))
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c.in, got); err != nil || string(got) != text {
		t.Fatalf("the message came back otherwise (%v)", err)
	}
	if rest := c.line(); rest != ` FLAGS (\Seen \Recent))` {
		t.Errorf("behind it: %q", rest)
	}
	if rest := c.line(); rest != "f OK Done" {
		t.Errorf("behind it: %q", rest)
	}
}

func TestOverQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quota.Store(100)
	c := w.enter("INBOX")
	text := strings.Repeat("x", 80)
	c.ok(fmt.Sprintf("APPEND INBOX {80+}\r\n%s", text))
	for _, command := range []string{fmt.Sprintf("APPEND INBOX {80+}\r\n%s", text), "COPY 1 Archive"} {
		if _, got := c.run(command); !strings.HasPrefix(got, "NO [OVERQUOTA] ") {
			t.Errorf("%.10s: %s", command, got)
		}
	}
	c.ok("MOVE 1 Archive")
}

func TestBrokenStoreIsTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keep("INBOX", []byte("Subject: a\r\n\r\nb\r\n"), 0)
	c := w.enter("INBOX")
	w.must(w.db.Close())
	for _, command := range []string{
		"FETCH 1 (ENVELOPE BODY[])", "STORE 1 +FLAGS (\\Seen)", "SEARCH TEXT b", "COPY 1 Archive", "EXPUNGE",
		"LIST \"\" *", "STATUS INBOX (MESSAGES)", "APPEND INBOX {1+}\r\na", "CREATE New", "SELECT INBOX",
	} {
		_, got := c.run(command)
		if !strings.HasPrefix(got, "NO [UNAVAILABLE] ") || strings.Contains(got, "closed") {
			t.Errorf("%s: %s", command, got)
		}
	}
	if !strings.Contains(w.log.String(), "command failed") {
		t.Error("the log does not tell the cause")
	}
}

func TestNewMailReachesAllWhoIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const watchers = 20
	var idle []*client
	for range watchers {
		c := w.enter("INBOX")
		c.send("i IDLE\r\n")
		c.line()
		idle = append(idle, c)
	}
	w.keep("INBOX", []byte("Subject: a\r\n\r\nb\r\n"), mailbox.Flagged, "$Label")
	for _, c := range idle {
		if got := c.line(); got != "* 1 EXISTS" {
			t.Errorf("a session hears %q", got)
		}
	}
}
