package pop3d

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// Every command in every state, with a good argument: which are taken, and
// which refused with which words.
func TestEveryCommandInEveryState(t *testing.T) {
	t.Parallel()
	const misplacedEarly, misplacedLate, noTLS = "-ERR Log in first", "-ERR You are logged in already", "-ERR Use STLS before"
	arguments := map[string]string{
		"USER": " " + login, "PASS": " " + password, "AUTH": " PLAIN =", "RETR": " 1", "TOP": " 1 0", "DELE": " 1", "LIST": " 1", "UIDL": " 1",
	}
	want := map[string][3]string{ // in clear, at login, logged in
		"CAPA": {"+OK", "+OK", "+OK"},
		"NOOP": {misplacedEarly, misplacedEarly, "+OK"},
		"QUIT": {"+OK", "+OK", "+OK"},
		"STLS": {"+OK", "+OK", misplacedLate},
		"USER": {noTLS, "+OK", misplacedLate},
		"PASS": {noTLS, "-ERR Send USER first", misplacedLate},
		"AUTH": {noTLS, "-ERR The answer", misplacedLate},
		"STAT": {misplacedEarly, misplacedEarly, "+OK"},
		"LIST": {misplacedEarly, misplacedEarly, "+OK"},
		"UIDL": {misplacedEarly, misplacedEarly, "+OK"},
		"RETR": {misplacedEarly, misplacedEarly, "+OK"},
		"TOP":  {misplacedEarly, misplacedEarly, "+OK"},
		"DELE": {misplacedEarly, misplacedEarly, "+OK"},
		"RSET": {misplacedEarly, misplacedEarly, "+OK"},
		"APOP": {"-ERR Command not", "-ERR Command not", "-ERR Command not"},
	}
	for _, c := range commands {
		if _, known := want[c.verb]; !known {
			t.Errorf("%s is not in this test", c.verb)
		}
	}
	strict := settings()
	strict.AllowCleartext = false
	inClear, open := newWorld(t, strict), newWorld(t, settings())
	open.append(letters()...)
	for _, verb := range slices.Sorted(maps.Keys(want)) {
		line := verb + arguments[verb]
		inClear.client(t.Context()).do(line, want[verb][0])
		open.client(t.Context()).do(line, want[verb][1])
		c := open.session(t.Context())
		c.do(line, want[verb][2])
		if verb == "CAPA" || verb == "RETR" || verb == "TOP" {
			c.body()
		}
		if verb != "QUIT" {
			c.do("RSET", "+OK")
			c.do("QUIT", "+OK")
		}
		c.wantEnd()
	}
	if n := open.count(); n != len(letters()) {
		t.Errorf("%d messages are left", n)
	}
}

func TestNothingIsDeletedWithoutQuit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	c := w.session(t.Context())
	c.do("DELE 1", "+OK")
	_ = c.Close()
	testkit.Eventually(t, 10*time.Second, "the lock", func() bool {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		return len(w.server.locked) == 0
	})
	c = w.session(t.Context())
	c.do("STAT", "+OK 3 ")
	c.do("DELE 1", "+OK")
	c.do("DELE 3", "+OK")
	c.do("QUIT", "+OK")
	if n := w.count(); n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

// What a session marked stays where its password has ended.
func TestLoginEndsDuringItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	c := w.session(t.Context())
	c.do("DELE 1", "+OK")
	w.must(w.directory.SetPassword(t.Context(), w.account.Address, "kawa to mori"))
	c.do("QUIT", "-ERR [AUTH] The password that you logged in with was changed or revoked, or has expired: log in again")
	c.wantEnd()
	if n := w.count(); n != len(letters()) {
		t.Errorf("%d messages are left", n)
	}
}

func TestDeletionThatFailsIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	c := w.session(t.Context())
	c.do("DELE 1", "+OK")
	w.db.fail(errors.New("the disk is on fire"))
	c.do("QUIT", "-ERR [SYS/TEMP] Some deleted messages could not be removed")
	c.wantEnd()
	w.db.fail(nil)
	w.session(t.Context()).do("STAT", "+OK 3 ")
}

func TestMessagesThatAnotherSessionRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	c := w.session(t.Context())
	v, err := w.mailboxes.Select(t.Context(), w.account.ID, mailbox.Inbox, false)
	w.must(err)
	defer v.Close()
	_, err = v.Store(t.Context(), []uint32{1, 2}, mailbox.Add, mailbox.Deleted, nil)
	w.must(err)
	_, err = v.Expunge(t.Context(), nil)
	w.must(err)
	w.append("Subject: new\r\n\r\n")
	c.do("STAT", "+OK 3 ") // the picture of the login
	c.do("RETR 1", "-ERR The message is gone")
	c.do("RETR 3", "+OK")
	c.body()
	c.do("DELE 1", "+OK")
	c.do("DELE 3", "+OK")
	c.do("QUIT", "+OK")
	if n := w.count(); n != 1 { // the new one
		t.Errorf("%d messages are left", n)
	}
}

func TestUniqueIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	ids := func() []string {
		c := w.session(t.Context())
		c.do("UIDL", "+OK")
		var list []string
		for line := range strings.Lines(c.body()) {
			_, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			list = append(list, id)
		}
		c.do("QUIT", "+OK")
		return list
	}
	before := ids()
	v, err := w.mailboxes.Select(t.Context(), w.account.ID, mailbox.Inbox, false)
	w.must(err)
	defer v.Close()
	// Away and back, and once more as a copy beside itself.
	_, err = v.Move(t.Context(), []uint32{1}, "Archive")
	w.must(err)
	_, err = v.Copy(t.Context(), []uint32{2}, mailbox.Inbox)
	w.must(err)
	archive, err := w.mailboxes.Select(t.Context(), w.account.ID, "Archive", false)
	w.must(err)
	defer archive.Close()
	_, err = archive.Move(t.Context(), []uint32{1}, mailbox.Inbox)
	w.must(err)
	after := ids()
	want := []string{before[1], before[2], before[1] + "-4", before[0]}
	if !slices.Equal(after, want) {
		t.Errorf("%q became %q, want %q", before, after, want)
	}
}

func TestRecentIsLeftToIMAP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	c := w.session(t.Context())
	c.do("RETR 1", "+OK")
	c.body()
	c.do("QUIT", "+OK")
	st, err := w.mailboxes.Status(t.Context(), w.account.ID, mailbox.Inbox)
	if err != nil || st.Recent != 3 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	const messages = 1024
	w := newWorld(t, settings())
	text := "Subject: many\r\n\r\n" + strings.Repeat("0123456789012345678901234567890123456789\r\n", 20)
	w.append(text)
	for n := 1; n < messages; n *= 2 {
		v, err := w.mailboxes.Select(t.Context(), w.account.ID, mailbox.Inbox, false)
		w.must(err)
		_, err = v.Copy(t.Context(), v.UIDs(mailbox.Set{{First: 1, Last: 0}}), mailbox.Inbox)
		w.must(err)
		v.Close()
	}
	c := w.session(t.Context())
	var commands strings.Builder
	for i := range messages {
		fmt.Fprintf(&commands, "RETR %d\r\n", i+1)
	}
	commands.WriteString("QUIT\r\n")
	began := time.Now()
	go func() { _, _ = io.WriteString(c, commands.String()) }() // what is lost is missed below
	for i := range messages {
		c.want("+OK")
		if got := c.body(); got != text {
			t.Fatalf("message %d: %.40q", i+1, got)
		}
	}
	c.want("+OK Bye")
	if took := time.Since(began); took > 20*time.Second { // 0.1 s on an idle machine
		t.Errorf("%d messages took %v", messages, took)
	}
}

func TestLargeMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	line := ".dot at the start, and a line of some length behind it\r\n"
	body := strings.Repeat(line, 3<<20/len(line))
	w.append("Subject: large\r\n\r\n" + body)
	c := w.session(t.Context())
	c.do("RETR 1", "+OK")
	if got := c.body(); got != "Subject: large\r\n\r\n"+body {
		t.Errorf("%d octets came", len(got))
	}
	const lines = 2000 // more than one part
	c.do(fmt.Sprintf("TOP 1 %d", lines), "+OK")
	if got := c.body(); got != "Subject: large\r\n\r\n"+strings.Repeat(line, lines) {
		t.Errorf("TOP: %d octets came", len(got))
	}
	c.do("QUIT", "+OK")
}

func TestLongHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	header := "Subject: long\r\n" + strings.Repeat("X-Field: "+strings.Repeat("x", 60)+"\r\n", 1000) + "\r\n"
	w.append(header + "one\r\ntwo\r\n")
	c := w.session(t.Context())
	for lines, want := range []string{header, header + "one\r\n", header + "one\r\ntwo\r\n"} {
		c.do(fmt.Sprintf("TOP 1 %d", lines), "+OK")
		if got := c.body(); got != want {
			t.Errorf("TOP 1 %d: %d octets", lines, len(got))
		}
	}
	c.do("QUIT", "+OK")
}

func TestNothingBehindSTLSIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	c := w.client(t.Context())
	c.send("STLS\r\nUSER " + login + "\r\n")
	c.want("+OK")
	secured := tls.Client(c.Conn, w.ca.ClientConfig("mx.hayauma.test"))
	w.must(secured.Handshake())
	c.Conn = secured
	c.in.Reset(secured)
	c.do("PASS "+password, "-ERR Send USER first")
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.append(letters()...)
	ctx, stop := context.WithCancel(t.Context())
	waiting, busy := w.client(ctx), w.session(ctx)
	busy.do("DELE 1", "+OK")
	asked := w.client(ctx)
	asked.do("AUTH PLAIN", "+ ")
	stop()
	for _, c := range []*client{waiting, busy, asked} {
		c.want("-ERR [SYS/TEMP] mx.hayauma.test is shutting down")
		c.wantEnd()
	}
	if n := w.count(); n != 3 {
		t.Errorf("%d messages are left", n)
	}
}

func TestTooManyErrors(t *testing.T) {
	t.Parallel()
	set := settings()
	set.Errors = 3
	w := newWorld(t, set)
	c := w.client(t.Context())
	c.do("ONE", "-ERR")
	c.do("CAPA", "+OK")
	c.body()
	c.do(strings.Repeat("x", 3000), "-ERR The line is too long")
	c.do("TWO", "-ERR")
	c.do("STAT", "-ERR")
	c.want("-ERR Too many errors")
	c.wantEnd()
}

func TestTooManyFailedLogins(t *testing.T) {
	t.Parallel()
	set := settings()
	set.Errors = 1000
	w := newWorld(t, set)
	c := w.client(t.Context())
	wrong := sasl.Encode([]byte("\x00" + login + "\x00wrong password"))
	for range 3 {
		c.do("AUTH PLAIN "+wrong, "-ERR [AUTH]")
	}
	c.do("AUTH PLAIN "+wrong, "-ERR [SYS/TEMP] Too many failed logins from your network, try again in about 10 minutes")
	c.wantEnd()
}

// Who gives up at SCRAM's challenge, or goes, has failed to log in: it told him something.
func TestGivenUpLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, settings())
	w.scram.Store(true)
	begin := "AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte("n,,n="+login+",r=abc"))
	c := w.client(t.Context())
	c.do(begin, "+ ")
	c.do("*", "-ERR Login cancelled")
	c.do(begin, "+ ")
	c.do("eA==", "-ERR The answer does not follow the mechanism")
	c.do(begin, "+ ")
	w.must(c.Close())
	w.sessions.Wait()
	w.client(t.Context()).do(begin, "-ERR [SYS/TEMP] Too many failed logins from your network, try again in about 10 minutes")
}

// The auto-logout timer says nothing and deletes nothing (RFC 1939 §3).
func TestIdleSessionEnds(t *testing.T) {
	t.Parallel()
	set := settings()
	set.Idle = 10 * time.Minute
	w := newWorld(t, set)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := w.dial(t.Context())
		got, err := io.ReadAll(c)
		if err != nil || !bytes.HasPrefix(got, []byte("+OK ")) || bytes.Count(got, []byte("\n")) != 1 {
			t.Errorf("%q, %v", got, err)
		}
		if took := time.Since(began); took != 10*time.Minute {
			t.Errorf("it took %v", took)
		}
		_ = c.Close()
		w.sessions.Wait()
	})
}

// FuzzSession feeds a session whatever comes. Each line has an answer, in
// order, and the session ends with its client.
func FuzzSession(f *testing.F) {
	plain := sasl.Encode([]byte("\x00" + login + "\x00" + password))
	for _, seed := range []string{
		"CAPA\r\nQUIT\r\n", "USER a\r\nPASS b\r\n", "AUTH PLAIN\r\n*\r\n", "AUTH LOGIN\r\nYQ==\r\nYg==\r\n",
		"AUTH PLAIN " + plain + "\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nNOOP\r\nLIST 9\r\n",
		"AUTH PLAIN " + plain + "\r\nRETR 2\r\nRETR 3\r\nTOP 1 99\r\n\r\n\x00\xff\n", "STLS\r\nxxx",
	} {
		f.Add([]byte(seed))
	}
	set := settings()
	set.Errors = 1000
	w := newWorld(f, set)
	w.append(letters()...)
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Contains(bytes.ToUpper(in), []byte("QUIT")) && bytes.Contains(bytes.ToUpper(in), []byte("DELE")) {
			return // would empty the mailbox that all runs share
		}
		near := w.dial(t.Context())
		defer near.Close()
		half, ok := near.(*testkit.MemConn)
		if !ok {
			t.Fatal("not a connection in memory")
		}
		go func() {
			_, _ = near.Write(in) // the session may end before it has read all
			_ = half.CloseWrite()
		}()
		if err := near.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(near)
		if err != nil {
			t.Fatalf("the session does not end: %v", err)
		}
		if i := bytes.Index(bytes.ToUpper(in), []byte("STLS")); i >= 0 {
			return // what follows is a handshake
		}
		body := false
		for line := range strings.Lines(string(out)) {
			switch {
			case !strings.HasSuffix(line, "\r\n"):
				t.Fatalf("half a line %q", line)
			case body:
				body = line != ".\r\n"
			case strings.HasSuffix(line, "octets\r\n"), line == "+OK The top of the message\r\n", line == "+OK Capabilities\r\n",
				line == "+OK Mechanisms\r\n", strings.HasSuffix(line, " octets)\r\n"), strings.HasSuffix(line, " messages\r\n"):
				body = true
			case !strings.HasPrefix(line, "+OK ") && !strings.HasPrefix(line, "-ERR ") && !strings.HasPrefix(line, "+ "):
				t.Fatalf("line %q", line)
			}
		}
	})
}
