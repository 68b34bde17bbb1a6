package smtpd_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("an idle session hears 421", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stack.Options{})
		for _, door := range []string{"1", "3", "4"} {
			defer func(c *client) {
				c.expect("421 4.3.2")
				c.expectEnd()
			}(r.open(door))
		}
		r.stop()
	})
	t.Run("a session in a transaction hears 421", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stack.Options{})
		c := r.open("1")
		c.say("EHLO a", "250")
		c.say("MAIL FROM:<a@b.test>", "250")
		r.stop()
		c.expect("421 4.3.2")
		c.expectEnd()
	})
	t.Run("a session in the middle of a login hears 421", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stack.Options{})
		c := r.open("3")
		c.say("EHLO a", "250")
		c.say("AUTH LOGIN", "334")
		r.stop()
		c.expect("421 4.3.2")
		c.expectEnd()
	})
	t.Run("a message in the middle is taken first", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stack.Options{})
		c := r.open("1")
		c.say("EHLO a", "250")
		c.say("MAIL FROM:<a@b.test>", "250")
		c.say("RCPT TO:<alice@hayauma.test>", "250")
		c.say("DATA", "354")
		c.send("Subject: half\r\n\r\n")
		r.stop()
		c.send("the other half\r\n.\r\n")
		c.expect("250 2.0.0 Accepted")
		c.expect("421 4.3.2")
		c.expectEnd()
		if got := r.Inbox("alice@hayauma.test"); len(got) != 1 || !strings.Contains(got[0], "other half") {
			t.Errorf("INBOX: %q", got)
		}
	})
}

func TestConnectionLostInAMessage(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", "Subject: a\r\n", "Subject: a\r\n\r\nx\r\n", "Subject: a\r\n\r\nx\r\n.", "Subject: a\r\n\r\nx\r\n.\r", strings.Repeat("x", 2<<20)} {
		r := newRig(t, stack.Options{})
		r.change(func(s *smtpd.Settings) { s.MessageSize = 10 << 20 })
		for _, half := range []bool{false, true} {
			c := r.open("1")
			c.say("EHLO a", "250")
			c.say("MAIL FROM:<a@b.test>", "250")
			c.say("RCPT TO:<alice@hayauma.test>", "250")
			c.say("DATA", "354")
			c.send(sent)
			if conn, ok := c.conn.(*testkit.MemConn); half && ok {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				c.expect("421 4.4.2")
				c.expectEnd()
			} else if err := c.conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r.served.Wait()
		if got := r.Inbox("alice@hayauma.test"); len(got) != 0 {
			t.Errorf("after %.20q: filed %q", sent, got)
		}
	}
}

// RFC 1047: a sender that missed our 250 repeats the transaction.
func TestRepeatedTransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	const content = "Message-ID: <one@b.test>\r\nSubject: one\r\n\r\nHello\r\n"
	once := func(content string, to ...string) (string, *client) {
		c := r.open("1")
		c.say("EHLO a", "250")
		return c.deliver("a@b.test", content, to...), c
	}
	lost := func(c *client) {
		if err := c.conn.Close(); err != nil {
			t.Fatal(err)
		}
		r.served.Wait()
	}
	first, c := once(content, "alice@hayauma.test")
	lost(c)
	second, c := once(content, "alice@hayauma.test")
	lost(c)
	if second != first || len(r.Inbox("alice@hayauma.test")) != 1 {
		t.Errorf("the repeat of %s is %s, filed %d times", first, second, len(r.Inbox("alice@hayauma.test")))
	}
	if got := r.Events(first); got != "accepted filed duplicate" {
		t.Errorf("events: %s", got)
	}
	for name, other := range map[string]func() (string, *client){
		"another content":   func() (string, *client) { return once(content+"more\r\n", "alice@hayauma.test") },
		"another recipient": func() (string, *client) { return once(content, "bob@hayauma.test") },
		"one more":          func() (string, *client) { return once(content, "alice@hayauma.test", "bob@hayauma.test") },
	} {
		id, c := other()
		lost(c)
		if id == first {
			t.Errorf("%s is taken for a repeat", name)
		}
	}
	third, c := once(content, "alice@hayauma.test")
	if third != first {
		t.Errorf("the second repeat of %s is %s", first, third)
	}
	c.say("QUIT", "221") // has seen our 250
	c.expectEnd()
	before := len(r.Inbox("alice@hayauma.test"))
	fourth, c := once(content, "alice@hayauma.test")
	if fourth == first || len(r.Inbox("alice@hayauma.test")) != before+1 {
		t.Errorf("a confirmed transaction that comes again: id %s after %s, %d filed after %d", fourth, first, len(r.Inbox("alice@hayauma.test")), before)
	}
	c.say("QUIT", "221")
	c.expectEnd()
	// Without a Message-ID nothing tells a repeat from a second message.
	const plain = "Subject: one\r\n\r\nHello\r\n"
	a, c := once(plain, "bob@hayauma.test")
	lost(c)
	b, c := once(plain, "bob@hayauma.test")
	lost(c)
	if a == b {
		t.Error("two messages without Message-ID are taken for one")
	}
}

// TestRepeatWithOtherWishes: whoever asks for something else has it, and is not told
// of the first message; the very same again is a repeat, whatever the clock says.
func TestRepeatWithOtherWishes(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	at := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for name, all := range map[string][][2]string{ // those of MAIL and of RCPT
		"3": {
			{}, {" REQUIRETLS"}, {" HOLDFOR=86400"}, {" HOLDFOR=60"}, {" HOLDUNTIL=" + at}, {" BY=86400;N"}, {" BY=3600;N"}, {" BY=3600;R"},
			{" BY=3600;RT HOLDFOR=60"}, {" MT-PRIORITY=-3"}, {" MT-PRIORITY=3"}, {" RET=HDRS"}, {" RET=FULL"}, {" ENVID=a"}, {" ENVID=RET"}, {" RET=HDRS ENVID=a"},
			{" SMTPUTF8"}, {"", " NOTIFY=NEVER"}, {"", " NOTIFY=SUCCESS,FAILURE"}, {"", " ORCPT=rfc822;a@b"}, {"", " ORCPT=rfc822;a"}, {"", " NOTIFY=NEVER ORCPT=rfc822;a@b"},
		},
		"1": {{}, {" BY=3600;R"}, {" BY=3600;N"}, {" MT-PRIORITY=-3"}, {"", " NOTIFY=NEVER"}},
	} {
		seen := map[string]string{}
		send := func(wishes [2]string) (id, reply string) {
			c := r.open(name)
			c.say("EHLO client.test", "250")
			if name == "3" {
				c.say("AUTH PLAIN "+plainAlice, "235")
			}
			c.say("MAIL FROM:<alice@hayauma.test>"+wishes[0], "250")
			c.say("RCPT TO:<bob@hayauma.test>"+wishes[1], "250")
			c.say("DATA", "354")
			reply = c.say("Message-ID: <wish@b.test>\r\nSubject: one\r\n\r\nHello\r\n.", "250 2.0.0 Accepted as ")
			if err := c.conn.Close(); err != nil { // our 250 is lost
				t.Fatal(err)
			}
			r.served.Wait()
			id, _, _ = strings.Cut(strings.TrimSpace(strings.TrimPrefix(reply, "250 2.0.0 Accepted as ")), ",")
			return id, reply
		}
		for _, wishes := range all {
			id, _ := send(wishes)
			if other, repeat := seen[id]; repeat {
				t.Errorf("door %s: %q is taken for a repeat of %q", name, wishes, other)
			}
			seen[id] = fmt.Sprintf("%q", wishes)
			if again, reply := send(wishes); again != id || strings.Contains(reply, "goes out") {
				t.Errorf("door %s: the repeat of %s with %q: %q", name, id, wishes, reply)
			}
		}
		if name == "1" { // RFC 2852 §4.1.4: what is left of the time
			if again, _ := send([2]string{" BY=3500;R"}); seen[again] != `[" BY=3600;R" ""]` {
				t.Errorf("a time that was counted down is none of a repeat: %s", seen[again])
			}
		}
	}
}

func TestTooManyFailedLogins(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{LoginFailures: 3})
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00alice@hayauma.test\x00wrong password"))
	c := r.open("3")
	c.say("EHLO a", "250")
	for range 3 {
		c.say("AUTH PLAIN "+wrong, "535 5.7.8")
	}
	c.say("AUTH PLAIN "+wrong, "421 4.7.0 Too many failed logins from your network, try again in about 10 minutes")
	c.expectEnd()
	c = r.open("3")
	c.say("EHLO a", "250")
	c.say("AUTH PLAIN "+plainAlice, "421 4.7.0")
	c.expectEnd()
}

// Who hides behind a front is counted as the front, for the name alone.
func TestTooManyFailedLoginsOfAHiddenClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{LoginFailures: 3})
	r.change(func(s *smtpd.Settings) { s.AllowCleartext = true })
	open := func(client string) *client {
		c := r.open("7")
		c.say("XCLIENT ADDR="+client, "220")
		c.say("EHLO a", "250")
		return c
	}
	wrong := func(name string) string {
		return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"@hayauma.test\x00wrong password"))
	}
	c := open("[UNAVAILABLE]")
	for range 3 {
		c.say(wrong("alice"), "535 5.7.8")
	}
	c.say("AUTH PLAIN "+plainAlice, "421 4.7.0 Too many failed logins")
	c.expectEnd()
	c = open("[UNAVAILABLE]")
	for _, name := range []string{"bob", "tiny", "nobody"} {
		c.say(wrong(name), "535 5.7.8")
	}
	c.say(wrong("bob"), "535 5.7.8")
	open("203.0.113.5").say("AUTH PLAIN "+plainAlice, "235")
}

// TestUnboundLogins: a login that is bound to another connection, or whose client does not
// see that it could be bound, is told apart from a wrong password.
func TestUnboundLogins(t *testing.T) {
	t.Parallel()
	const unbound = "535 5.7.8 The login is not bound to this connection: something between you and this server may read along"
	r := newRig(t, stack.Options{SCRAM: true})
	first := func(header string) string { return encoded(header + "n=alice@hayauma.test,r=abc") }
	for _, begin := range []string{
		"AUTH SCRAM-SHA-256 " + first("y,,"),
		"AUTH SCRAM-SHA-256 " + first("p=tls-exporter,,"),
		"AUTH SCRAM-SHA-256-PLUS " + first("p=tls-unique,,"),
		"AUTH SCRAM-SHA-256-PLUS " + first("n,,"),
	} {
		c := r.open("3")
		c.say("EHLO a", "250")
		c.say(begin, unbound)
	}
	for _, said := range []string{"p=tls-exporter,,another connection", "n,,"} {
		c := r.open("3")
		c.say("EHLO a", "250")
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(c.say("AUTH SCRAM-SHA-256-PLUS "+first("p=tls-exporter,,"), "334 "))[len("334 "):])
		if err != nil {
			t.Fatal(err)
		}
		nonce, _, _ := strings.Cut(string(challenge), ",")
		c.say(encoded("c="+encoded(said)+","+nonce+",p="+encoded(strings.Repeat("x", 32))), unbound)
	}
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// An answer of a login that is longer than the longest line is too long (RFC 4954 §6), alone
// or behind AUTH, and the session goes on.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	long := strings.Repeat("A", 12288)
	c := r.open("3")
	c.say("EHLO a", "250")
	c.say("AUTH PLAIN", "334 ")
	c.say(long, "500 5.5.6 The answer is longer than a login needs")
	c.say("auth PLAIN "+long, "500 5.5.6 The answer is longer than a login needs")
	c.say("NOOP "+long, "500 5.5.2 The line is too long")
	c.say("AUTH PLAIN "+plainAlice, "235")
	c = r.open("")
	c.say("AUTH PLAIN "+long, "500 5.5.2 The line is too long") // there is none at this door
}

// Who gives up at SCRAM's challenge, or goes, has failed to log in: it told him something.
func TestGivenUpLogins(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{LoginFailures: 3, SCRAM: true})
	begin := "AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte("n,,n=alice@hayauma.test,r=abc"))
	c := r.open("3")
	c.say("EHLO a", "250")
	c.say(begin, "334 ")
	c.say("*", "501 5.5.4 Login cancelled")
	c.say(begin, "334 ")
	c.say("eA==", "501 5.5.4 The answer does not follow the mechanism")
	c.say(begin, "334 ")
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	r.served.Wait()
	c = r.open("3")
	c.say("EHLO a", "250")
	c.say(begin, "421 4.7.0 Too many failed logins from your network, try again in about 10 minutes")
	c.expectEnd()
}

func TestCleartextLoginWhereAllowed(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.AllowCleartext = true })
	c := r.open("2")
	if got := c.say("EHLO a", "250"); !strings.Contains(got, "AUTH PLAIN LOGIN") || !strings.Contains(got, "STARTTLS") {
		t.Errorf("EHLO: %q", got)
	}
	c.say("MAIL FROM:<alice@hayauma.test>", "530 5.7.0")
	c.say("AUTH PLAIN "+plainAlice, "235")
	c.deliver("alice@hayauma.test", "Subject: a\r\n\r\nx\r\n", "bob@hayauma.test")
}

// A session sends no more once its account is removed, its app password revoked or its
// own password changed. What others do, or to others, is nothing to it.
func TestLoginEndsDuringItsSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	ctx, alice := t.Context(), r.Address("alice@hayauma.test")
	done := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(auth string) *client {
		c := r.open("3")
		c.say("EHLO a", "250")
		c.say("AUTH PLAIN "+auth, "235")
		c.deliver(alice.String(), "Subject: a\r\n\r\nx\r\n", "bob@hayauma.test")
		return c
	}
	appPassword := func(name string) string {
		password, err := r.Directory.AddAppPassword(ctx, alice, account.AppPassword{Name: name, Scopes: account.Scopes()})
		done(err)
		return base64.StdEncoding.EncodeToString([]byte("\x00" + alice.String() + "\x00" + password))
	}
	const mail = "MAIL FROM:<alice@hayauma.test>"
	over := func(c *client) {
		t.Helper()
		c.send(mail + "\r\nRCPT TO:<bob@hayauma.test>\r\n")
		c.expect("421 4.7.0 The password that you logged in with was changed or revoked, or has expired: log in again")
		c.expectEnd()
	}
	own, phone, pad := open(plainAlice), open(appPassword("phone")), open(appPassword("pad"))
	phone.say(mail, "250")
	done(r.Directory.RevokeAppPassword(ctx, alice, "phone"))
	phone.say("RCPT TO:<bob@hayauma.test>", "250") // what is under way goes on
	phone.say("RSET", "250")
	over(phone)
	done(r.Directory.SetPassword(ctx, r.Address("bob@hayauma.test"), "another horse"))
	own.say(mail, "250")
	own.say("RSET", "250")
	done(r.Directory.SetPassword(ctx, alice, "another horse"))
	over(own)
	pad.say(mail, "250")
	pad.say("RSET", "250")
	done(r.Directory.RemoveAccount(ctx, alice))
	pad.say(mail, "550 5.7.1 The account that you are logged in as was removed")
}
