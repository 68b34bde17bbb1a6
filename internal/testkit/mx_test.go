package testkit_test

import (
	"errors"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

const patience = 5 * time.Second

// deliver sends a message with the standard library's client.
func deliver(addr string, ca *testkit.CA, to ...string) error {
	client, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if ca != nil {
		if err := client.StartTLS(ca.ClientConfig("mx.example.test")); err != nil {
			return err
		}
	}
	if err := client.Mail("a@example.test"); err != nil {
		return err
	}
	for _, address := range to {
		if err := client.Rcpt(address); err != nil {
			return err
		}
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(data, "Subject: x\r\n\r\n.dot\r\n")
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	return client.Quit()
}

func TestMXRecordsMessages(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	mx := testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "mx.example.test")})
	if err := deliver(mx.Addr, nil, "b@example.test", "c@example.test"); err != nil {
		t.Fatal(err)
	}
	if err := deliver(mx.Addr, ca, "d@example.test"); err != nil {
		t.Fatal(err)
	}
	messages := mx.WaitMessages(2, patience)
	first, second := messages[0], messages[1]
	if first.TLS || !second.TLS || first.Conn != 1 || second.Conn != 2 || mx.Connections() != 2 {
		t.Errorf("connections: %+v", messages)
	}
	if first.From != "a@example.test" || len(first.Recipients) != 2 || first.Recipients[1].Address != "c@example.test" {
		t.Errorf("envelope: %+v", first)
	}
	if !slices.Equal(first.Params, []string{"BODY=8BITMIME", "SMTPUTF8"}) {
		t.Errorf("params: %q", first.Params)
	}
	if string(first.Data) != "Subject: x\r\n\r\n.dot\r\n" {
		t.Errorf("data: %q", first.Data)
	}
	if commands := mx.Commands(); commands[0].Line != "EHLO localhost" || commands[0].Conn != 1 {
		t.Errorf("commands: %v", commands)
	}
}

func TestMXAuth(t *testing.T) {
	t.Parallel()
	mx := testkit.StartMX(t, testkit.MXOptions{Auth: true})
	err := smtp.SendMail(mx.Addr, smtp.PlainAuth("", "user", "secret", "127.0.0.1"), "a@b.test", []string{"c@d.test"}, []byte("x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m := mx.WaitMessages(1, patience)[0]; m.Login != "user" {
		t.Errorf("login %q", m.Login)
	}
}

func TestMXRules(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		rules []testkit.MXRule
		errs  []string // of one delivery after the other
		took  time.Duration
	}{
		{"a recipient", []testkit.MXRule{{Command: "RCPT", Contains: "B@", Reply: "550-5.1.1 No\n550 5.1.1 such user"}},
			[]string{"5.1.1 such user"}, 0},
		{"another recipient", []testkit.MXRule{{Command: "RCPT", Contains: "other@", Reply: "550 no"}}, []string{""}, 0},
		{"the second time", []testkit.MXRule{{Command: "MAIL", Nth: 2, Reply: "451 4.3.0 later"}}, []string{"", "451", ""}, 0},
		{"the first two times", []testkit.MXRule{{Command: "END", Times: 2, Reply: "452 4.3.1 full"}}, []string{"452", "452", ""}, 0},
		{"greeting", []testkit.MXRule{{Command: "CONNECT", Reply: "421 busy", Hangup: true}}, []string{"421"}, 0},
		{"drop at DATA", []testkit.MXRule{{Command: "DATA", Drop: true}}, []string{"EOF"}, 0},
		{"drop after the dot", []testkit.MXRule{{Command: "END", Drop: true, Times: 1}}, []string{"EOF", ""}, 0},
		{"slow", []testkit.MXRule{{Command: "MAIL", Delay: 50 * time.Millisecond}}, []string{""}, 50 * time.Millisecond},
		{"trickle", []testkit.MXRule{{Command: "MAIL", Reply: "250 12345", Trickle: 2 * time.Millisecond}}, []string{""}, 20 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			mx := testkit.StartMX(t, testkit.MXOptions{}, row.rules...)
			start := time.Now()
			for i, want := range row.errs {
				err := deliver(mx.Addr, nil, "b@example.test")
				if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("delivery %d: %v, want %q", i+1, err, want)
				}
			}
			if took := time.Since(start); took < row.took {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestMXCountsOnlyConfirmedMessages(t *testing.T) {
	t.Parallel()
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "END", Nth: 1, Reply: "451 4.3.0 no"})
	for _, fails := range []bool{true, false} {
		if err := deliver(mx.Addr, nil, "b@example.test"); (err != nil) != fails {
			t.Fatal(err)
		}
	}
	if refused := mx.WaitRefused(1, patience); len(refused) != 1 || len(mx.Messages()) != 1 {
		t.Errorf("%d refused, %d accepted", len(refused), len(mx.Messages()))
	}
	v := judged(t, func(tb testing.TB) {
		testkit.StartMX(tb, testkit.MXOptions{}).WaitMessages(1, 10*time.Millisecond)
	})
	if !v.failed {
		t.Error("waited for a message that never came and was content")
	}
}

func TestMXStallsUntilTheTestEnds(t *testing.T) {
	t.Parallel()
	t.Run("inner", func(t *testing.T) {
		mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Stall: true})
		conn, err := net.Dial("tcp", mx.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("a stalled server spoke")
		}
	})
}

func TestMXDropsInTheMiddleOfABody(t *testing.T) {
	t.Parallel()
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "BODY", After: 5, Drop: true})
	if err := deliver(mx.Addr, nil, "b@example.test"); err == nil {
		t.Error("delivered")
	}
	if n := len(mx.Messages()) + len(mx.Refused()); n != 0 {
		t.Errorf("%d messages recorded", n)
	}
}

func TestLMTPRepliesPerRecipient(t *testing.T) {
	t.Parallel()
	mx := testkit.StartMX(t, testkit.MXOptions{LMTP: true}, testkit.MXRule{Command: "END", Contains: "two@", Reply: "550 5.2.2 full"})
	dialog := testkit.Dialog{Dial: func(string) (net.Conn, error) { return net.Dial("tcp", mx.Addr) }}
	dialog.Run(t, "testdata/dialog/lmtp.txt")
	m := mx.WaitMessages(1, patience)[0]
	if !slices.Equal(m.Replies, []string{"250 2.0.0 Taken", "550 5.2.2 full"}) {
		t.Errorf("replies %q", m.Replies)
	}
}
