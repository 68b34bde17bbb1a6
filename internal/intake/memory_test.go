package intake_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/test/stack"
)

// TestHalfMessagesCount: what has come of a message counts against the memory of all, a
// header that has not ended too, and is given back however the message ends.
func TestHalfMessagesCount(t *testing.T) {
	t.Parallel()
	const size = 100_000
	head := "From: alice@hayauma.test\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("a", 88)+"\r\n", size/100)
	for _, c := range []struct {
		name, content string
		door          mail.Door
	}{
		{"a submission's header", head, mail.DoorSubmission},
		{"a submission's first line, folded", " " + head, mail.DoorSubmission},
		{"a submission's body", "From: alice@hayauma.test\r\n\r\n" + head, mail.DoorSubmission},
		{"a stranger's header", head, mail.DoorSMTP},
	} {
		for _, commits := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				budget := ratelimit.NewBudget(1<<20, 0)
				s := stack.New(t, stack.Options{Memory: budget})
				alice := s.Account("alice@hayauma.test", 0)
				o := mail.Origin{Door: c.door}
				if c.door == mail.DoorSubmission {
					o.Account, o.Login = alice.ID, alice.Address
				}
				tx := s.Intake.Begin(o, mail.Envelope{From: alice.Address})
				target, fault := tx.Resolve(t.Context(), alice.Address)
				if fault == nil {
					fault = tx.Add(t.Context(), mail.Recipient{Address: alice.Address}, target)
				}
				if fault != nil {
					t.Fatal(fault)
				}
				if _, err := tx.Write([]byte(c.content)); err != nil {
					t.Fatal(err)
				}
				if held := budget.Held(); held < size {
					t.Errorf("%d octets count of %d that came", held, len(c.content))
				}
				if commits {
					if r := tx.Commit(t.Context()); r.Fault != nil {
						t.Fatal(r.Fault)
					}
				}
				tx.Abort()
				if held := budget.Held(); held != 0 {
					t.Errorf("%d octets are held of a message that is over", held)
				}
			})
		}
	}
}

// TestHeaderWithoutMemory: a header for which there is no memory is put off, with the
// reason.
func TestHeaderWithoutMemory(t *testing.T) {
	t.Parallel()
	budget := ratelimit.NewBudget(100_000, 0)
	s := stack.New(t, stack.Options{Memory: budget})
	alice := s.Account("alice@hayauma.test", 0)
	if err := budget.Take(90_000); err != nil {
		t.Fatal(err)
	}
	s.Account("bob@hayauma.test", 0)
	r := submitted(t, s, alice, "From: alice@hayauma.test\r\n"+strings.Repeat("X-Filler: a\r\n", 5000))
	if r.Fault == nil || r.Fault.Code() != 451 || r.Fault.Enhanced() != "4.3.2" || !strings.HasPrefix(r.Fault.Public, "Too many messages") {
		t.Errorf("the message got %v, want 451 4.3.2 and why", r.Fault)
	}
	if held := budget.Held(); held != 90_000 {
		t.Errorf("%d octets are held, want 90000", held)
	}
}
