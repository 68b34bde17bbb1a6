package outbound

import (
	"net"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// TestClearHold: a connection that fell back to cleartext serves its worker for a minute,
// another one as long as there is work.
func TestClearHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fellBack string
		age      time.Duration
		want     bool
	}{
		{"STARTTLS: timed out", clearHold - 10*time.Second, true},
		{"STARTTLS: timed out", clearHold, false},
		{"", time.Hour, true},
	} {
		near, far := net.Pipe()
		defer far.Close()
		w := &worker{c: newClient(near, target{host: "mx.x.test"}, Timeouts{})}
		defer w.c.close()
		w.set.MessagesPerConnection = 100
		w.c.fellBack, w.c.made = c.fellBack, time.Now().Add(-c.age)
		if got := w.usable(); got != c.want {
			t.Errorf("%q, %v old: usable is %v", c.fellBack, c.age, got)
		}
	}
}

// TestWantsTLS: which replies are about the connection.
func TestWantsTLS(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"530 5.7.0 Must issue a STARTTLS command first":               true,
		"530 Authentication required":                                 true,
		"550 5.7.10 Encryption needed":                                true,
		"550 5.7.10 No":                                               true,
		"554 5.7.1 Session encryption is required":                    true,
		"550 5.7.1 TLSv1.2 or newer, please":                          true,
		"503 5.5.1 Issue STARTTLS first":                              true,
		"550 Unencrypted mail is not taken":                           true,
		"538 5.7.11 Encryption required for that":                     true,
		"454 4.7.0 TLS not available":                                 false,
		"451 4.7.10 Encryption needed":                                false,
		"550 5.1.1 <tls@x.test>: no such user":                        false,
		"552 5.2.2 The mailbox of tls is full":                        false,
		"554 5.7.1 Bottles of nothing, see http://x.test/?id=1starts": false,
		"250 2.0.0 Taken over TLS":                                    false,
	} {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			_, _ = far.Write([]byte(text + "\r\n")) // who reads it sees what is missing
		}()
		reply, err := smtp.NewReplyReader(near).Read()
		if err != nil {
			t.Fatal(err)
		}
		if got := wantsTLS(reply); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
