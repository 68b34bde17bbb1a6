package intake_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

// TestTLSRequiredNo: the header says that policies of recipients are put aside, unless it
// says it in another way, or MAIL the contrary (RFC 8689 §3).
func TestTLSRequiredNo(t *testing.T) {
	t.Parallel()
	got := make(chan bool, 1)
	s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(m *queue.Message, _ queue.Recipient) queue.Outcome {
		got <- m.TLSOptional
		return queue.Outcome{Result: queue.Delivered, Code: 250}
	})})
	for _, c := range []struct {
		fields   string
		door     mail.Door
		required bool
		want     bool
	}{
		{"TLS-Required: No\r\n", mail.DoorSMTP, false, true},
		{"TLS-Required: No\r\n", mail.DoorCommand, false, true},
		{"tls-required:\r\n nO \r\n", mail.DoorSMTP, false, true},
		{"TLS-Required: No\r\n", mail.DoorSMTP, true, false},
		{"TLS-Required: Yes\r\n", mail.DoorSMTP, false, false},
		{"TLS-Required:\r\n", mail.DoorSMTP, false, false},
		{"TLS-Required: No\r\nTLS-Required: No\r\n", mail.DoorSMTP, false, false},
		{"X-TLS-Required: No\r\n", mail.DoorSMTP, false, false},
		{"\r\nTLS-Required: No\r\n", mail.DoorSMTP, false, false},
	} {
		at := origin
		at.Door = c.door
		tx := s.Intake.Begin(at, mail.Envelope{From: s.Address("a@b.test"), RequireTLS: c.required})
		if fault := add(t, s, tx, "x@elsewhere.test"); fault != nil {
			t.Fatal(fault)
		}
		r := finish(t, tx, "Subject: one\r\n"+c.fields+"\r\nHello\r\n")
		if r.Fault != nil {
			t.Fatal(r.Fault)
		}
		if is := <-got; is != c.want {
			t.Errorf("%q by %v, REQUIRETLS %v: %v", c.fields, c.door, c.required, is)
		}
		wishes := ""
		switch {
		case c.want:
			wishes = "TLS policies put aside"
		case c.required:
			wishes = "TLS all the way"
		}
		if told := s.Timeline(r.ID.String())[0].Detail.Wishes; told != wishes {
			t.Errorf("%q: the history tells %q", c.fields, told)
		}
	}
}
