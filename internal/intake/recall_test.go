package intake_test

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

// TestRecalledCountsForNobody: a message that its sender takes back leaves room for
// another one.
func TestRecalledCountsForNobody(t *testing.T) {
	t.Parallel()
	limits := rate.Limits{}
	for i, r := range rate.Rules() {
		if r.Name == "messages_per_hour" {
			limits[i] = 1
		}
	}
	s := stack.New(t, stack.Options{Asleep: true, SendLimits: limits})
	alice := s.Account("alice@hayauma.test", 0)
	sender := rate.Sender{Account: alice.ID, Domain: alice.Address.Domain}
	for range 3 {
		room, fault := s.Rates.Begin(t.Context(), sender)
		if fault != nil {
			t.Fatal(fault)
		}
		tx := s.Intake.Begin(mail.Origin{Door: mail.DoorSubmission, Account: alice.ID, Login: alice.Address}, mail.Envelope{
			From: alice.Address, Release: mail.Micros(time.Now().Add(time.Minute)),
		})
		tx.Counts(room)
		to := s.Address("x@elsewhere.test")
		target, fault := tx.Resolve(t.Context(), to)
		if fault == nil {
			fault = tx.Add(t.Context(), mail.Recipient{Address: to}, target)
		}
		if fault != nil {
			t.Fatal(fault)
		}
		_, _ = tx.Write([]byte("Subject: x\r\n\r\n")) // its fault is that of Commit
		result := tx.Commit(t.Context())
		if result.Fault != nil {
			t.Fatal(result.Fault)
		}
		if fault := s.Rates.Check(t.Context(), sender, 1); fault == nil {
			t.Error("the message is not counted")
		}
		if n, err := s.Queue.Recall(t.Context(), result.ID, alice.ID); n != 1 || err != nil {
			t.Fatalf("recalled %d, %v", n, err)
		}
	}
}

// TestMissedIsNoRepeat: whoever sends again what did not arrive, or what he took back,
// means it.
func TestMissedIsNoRepeat(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*stack.Stack, mail.ID) error{
		"recalled": func(s *stack.Stack, id mail.ID) error {
			_, err := s.Queue.Recall(t.Context(), id, 0)
			return err
		},
		"deleted": func(s *stack.Stack, id mail.ID) error {
			_, err := s.Queue.Delete(t.Context(), queue.Filter{IDs: []mail.ID{id}})
			return err
		},
		"bounced": func(s *stack.Stack, id mail.ID) error {
			_, err := s.Queue.Bounce(t.Context(), queue.Filter{IDs: []mail.ID{id}})
			return err
		},
		"still waiting": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Asleep: true})
			send := func(release int64) mail.ID {
				tx := s.Intake.Begin(origin, mail.Envelope{From: s.Address("y@elsewhere.test"), Release: release})
				if fault := add(t, s, tx, "x@elsewhere.test"); fault != nil {
					t.Fatal(fault)
				}
				r := finish(t, tx, hello)
				want(t, r, "250")
				return r.ID
			}
			later := mail.Micros(time.Now().Add(time.Hour))
			first := send(later)
			if end != nil {
				if err := end(s, first); err != nil {
					t.Fatal(err)
				}
			}
			second := send(later + 1)
			if (second == first) != (end == nil) {
				t.Errorf("%s was sent again as %s", first, second)
			}
			if again := send(later); again != second {
				t.Errorf("the repeat of %s is %s", second, again)
			}
			if now := send(0); now == second {
				t.Error("what is to go at once is taken for what waits")
			}
		})
	}
}
