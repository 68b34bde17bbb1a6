package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/intake"
)

const letter = "From: Alice <alice@hayauma.test>\r\nSubject: Hello\r\nMessage-ID: <one@hayauma.test>\r\n\r\nHello\r\n"

func send(t *testing.T, w way, o control.Outgoing) control.Sent {
	t.Helper()
	sent, err := control.Send(t.Context(), w.Client, o)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return sent
}

func TestSend(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		sent := send(t, w, control.Outgoing{From: "alice@hayauma.test", User: "root",
			Recipients: []string{"alice@hayauma.test", "x+1&2@elsewhere.test"}, Message: strings.NewReader(letter)})
		in := w.stack.Inbox("alice@hayauma.test")
		if len(in) != 1 || !strings.HasSuffix(in[0], letter) {
			t.Errorf("INBOX %q", in)
		}
		queued := w.stack.Queued()
		if len(queued) != 1 || queued[0].ID.String() != sent.Message || queued[0].Recipients[0].Address.String() != "x+1&2@elsewhere.test" {
			t.Errorf("queue %+v", queued)
		}
	})
}

// TestSendToMany: as many recipients as the settings allow come through, however long
// they are, and whoever names more learns that.
func TestSendToMany(t *testing.T) {
	t.Parallel()
	const many, most = 6000, 4500
	o := options()
	o.Messages = func(s *intake.Settings) { s.Recipients = most }
	both(t, o, func(t *testing.T, w way) {
		domain := strings.Repeat("a-rather-long-name.", 9) + "elsewhere.test"
		var list []string
		for i := range many {
			list = append(list, fmt.Sprintf("%d+%s@%s", i, strings.Repeat("x", 50), domain))
		}
		send(t, w, control.Outgoing{Recipients: list[:most], Message: strings.NewReader(letter)})
		q := w.stack.Queued()
		if len(q) != 1 || len(q[0].Recipients) != most {
			t.Fatalf("%d messages are queued", len(q))
		}
		got := map[string]bool{}
		for _, r := range q[0].Recipients {
			got[r.Address.String()] = true
		}
		for _, r := range list[:most] {
			if !got[r] {
				t.Fatalf("%s is not among them", r)
			}
		}
		_, err := control.Send(t.Context(), w.Client, control.Outgoing{Recipients: list, Message: strings.NewReader(letter)})
		if err == nil || !strings.Contains(err.Error(), "452 4.5.3 Too many recipients") {
			t.Errorf("of %d recipients: %v", many, err)
		}
	})
}

func TestSendIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	o := options()
	o.Messages = func(s *intake.Settings) { s.MessageSize = 1 << 20 }
	both(t, o, func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		for reason, out := range map[string]control.Outgoing{
			"the message has no recipients":                                       {},
			"the envelope is too long: take fewer recipients at once":             {User: strings.Repeat("x", 33<<20)},
			`sender "@": not a valid mail address`:                                {From: "@", Recipients: []string{"alice@hayauma.test"}},
			`recipient "x y": not a valid mail address`:                           {Recipients: []string{"alice@hayauma.test", "x y"}},
			`sender "caf\xe9@a.test": not a valid mail address`:                   {From: "caf\xe9@a.test", Recipients: []string{"alice@hayauma.test"}},
			`recipient "caf\xe9@a.test": not a valid mail address`:                {Recipients: []string{"caf\xe9@a.test"}},
			"recipient bob@hayauma.test: 550 5.1.1 There is no such mailbox here": {Recipients: []string{"bob@hayauma.test"}},
			"552 5.3.4": {Recipients: []string{"alice@hayauma.test"}},
		} {
			// Far more than the socket takes: the answer comes before the end.
			out.Message = io.MultiReader(strings.NewReader(letter), io.LimitReader(endless{}, 8<<20))
			_, err := control.Send(t.Context(), w.Client, out)
			if err == nil || !strings.HasPrefix(err.Error(), reason) {
				t.Errorf("got %v, want %q", err, reason)
			}
		}
		if in := w.stack.Inbox("alice@hayauma.test"); len(in) != 0 {
			t.Errorf("%d messages were filed", len(in))
		}
	})
}

// endless is a message whose text never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	const line = "The quick brown fox jumps over the lazy dog, again and again.\r\n"
	n := 0
	for n < len(p) {
		n += copy(p[n:], line)
	}
	return n, nil
}

// Not parallel: it measures what the whole process allocates.
func TestSendOfALargeMessageTakesLittleMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	const size, most = 20 << 20, 15 << 20
	test := func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		message := io.MultiReader(strings.NewReader(letter), io.LimitReader(endless{}, size), strings.NewReader("\r\n"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sent := send(t, w, control.Outgoing{Recipients: []string{"alice@hayauma.test"}, Message: message})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%d octets were allocated for a message of %d", took, size)
		}
		events := w.stack.Timeline(sent.Message)
		if len(events) != 2 || events[0].Detail.Size < size {
			t.Errorf("events %+v", events)
		}
	}
	t.Run("socket", func(t *testing.T) { test(t, dialled(t, options())) })
	t.Run("direct", func(t *testing.T) {
		w := dialled(t, options())
		w.Client = control.Direct(service(w.stack).Handler())
		test(t, w)
	})
}

// A sender who stops in the middle has sent nothing.
func TestSendThatBreaksOff(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		errBroken := errors.New("the pipe broke")
		message := io.MultiReader(strings.NewReader(letter), io.LimitReader(endless{}, 3<<20), failing{errBroken})
		_, err := control.Send(t.Context(), w.Client, control.Outgoing{
			Recipients: []string{"alice@hayauma.test", "x@elsewhere.test"}, Message: message,
		})
		if err == nil || !strings.Contains(err.Error(), errBroken.Error()) {
			t.Errorf("the sender learned %v", err)
		}
		nothing(t, w)
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// nothing checks that nothing was taken, and that the calls still work.
func nothing(t *testing.T, w way) {
	t.Helper()
	ask(t, w, control.DomainList, none{})
	if in := w.stack.Inbox("alice@hayauma.test"); len(in) != 0 {
		t.Errorf("%d messages were filed", len(in))
	}
	if q := w.stack.Queued(); len(q) != 0 {
		t.Errorf("%d messages were queued", len(q))
	}
	if e := w.stack.Events("one@hayauma.test"); e != "" {
		t.Errorf("events %s", e)
	}
}

// A command that is killed in the middle leaves nothing behind and nobody
// waiting: the server's Shutdown at the end of the test would find it.
func TestClientsThatVanish(t *testing.T) {
	t.Parallel()
	w := dialled(t, options())
	w.stack.Account("alice@hayauma.test", 0)

	ctx, cancel := context.WithCancel(t.Context())
	r, pipe := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := control.Send(ctx, w.Client, control.Outgoing{Recipients: []string{"alice@hayauma.test"}, Message: r})
		ended <- err
	}()
	if _, err := io.Copy(pipe, io.MultiReader(strings.NewReader(letter), io.LimitReader(endless{}, 3<<20))); err != nil { // the server is reading
		t.Fatal(err)
	}
	cancel()
	// Else the client may wait for octets that never come before it gives up.
	if err := pipe.CloseWithError(context.Canceled); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the sender learned %v", err)
	}

	const envelope = `{"recipients": ["alice@hayauma.test"]}` + "\n"
	for _, said := range []string{
		"", "\x00\xff\r\n\r\n",
		"POST /v1/send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"recipients\": [\"alice@hayauma.test\"]",
		"POST /v1/domain/add HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"domain\"",
		fmt.Sprintf("POST /v1/send HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s%s", len(envelope)+len(letter)+1, envelope, letter),
		"POST /v1/account/list HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", // does not wait for the answer
	} {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "unix", w.socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	nothing(t, w)
}
