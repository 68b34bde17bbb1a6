package intake_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// abroad is the far side: it knows nobody whose name begins with "moved".
type abroad struct {
	mu  sync.Mutex
	got []string
}

func (a *abroad) deliver(_ *queue.Message, r queue.Recipient) queue.Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, r.Address.String())
	if strings.HasPrefix(r.Address.Local, "moved") {
		return queue.Outcome{Result: queue.Refused, Code: 550, Enhanced: "5.1.1", Host: "old.test", Reply: "No such user"}
	}
	return queue.Outcome{Result: queue.Delivered, Code: 250, Enhanced: "2.0.0", Host: "old.test", Reply: "OK"}
}

// TestComingHome: mail that waits for a relay domain is filed here once its mailbox, or
// the whole domain, is here.
func TestComingHome(t *testing.T) {
	t.Parallel()
	local := func(t *testing.T, s *stack.Stack) {
		d, _ := mail.ParseDomain("one.test")
		err := s.Directory.ChangeDomain(t.Context(), d, func(*account.Relay) (*account.Relay, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		to     []string
		change func(t *testing.T, s *stack.Stack)
		filed  []string // who has the message at last
		got    []string // by the old host
		events string
		waits  string // what is said of whom no mailbox is there for
	}{
		"nothing has changed": {
			[]string{"stays@one.test"}, func(*testing.T, *stack.Stack) {}, nil, []string{"stays@one.test"}, "accepted delivered", "",
		},
		"a mailbox of a split domain": {
			[]string{"stays@one.test", "moved@one.test"}, func(_ *testing.T, s *stack.Stack) { s.Account("moved@one.test", 0) },
			[]string{"moved@one.test"}, []string{"stays@one.test"}, "accepted delivered delivered", "",
		},
		"the whole domain": {
			[]string{"moved@one.test", "moved2@one.test"}, func(t *testing.T, s *stack.Stack) {
				s.Account("moved@one.test", 0)
				s.Account("moved2@one.test", 0)
				local(t, s)
			}, []string{"moved@one.test", "moved2@one.test"}, nil, "accepted delivered delivered", "",
		},
		"an alias to several": {
			[]string{"moved@one.test"}, func(t *testing.T, s *stack.Stack) {
				s.Account("a@one.test", 0)
				s.Account("b@one.test", 0)
				s.Alias("moved@one.test", "a@one.test", "b@one.test", "c@far.test")
				local(t, s)
			}, []string{"a@one.test", "b@one.test"}, []string{"c@far.test"}, "accepted delivered delivered", "",
		},
		"an alias of itself, whose mailbox is there": {
			[]string{"stays@one.test"}, func(_ *testing.T, s *stack.Stack) {
				s.Account("a@one.test", 0)
				s.Alias("stays@one.test", "stays@one.test", "a@one.test")
			}, nil, []string{"stays@one.test"}, "accepted delivered", "",
		},
		"the domain before the mailbox": {
			[]string{"moved@one.test"}, local, nil, nil, "accepted deferred", "450 4.1.1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := new(abroad)
			s := stack.New(t, stack.Options{Asleep: true, Deliverer: stack.Deliver(old.deliver)})
			s.Relay("one.test", account.Relay{Recipients: account.ByAny, Split: true, To: []string{"old.test"}})
			r := finish(t, begin(t, s, c.to...), hello)
			want(t, r, "250")
			c.change(t, s)
			s.Wake()
			testkit.Eventually(t, 20*time.Second, c.events, func() bool { return s.Events(r.ID.String()) == c.events })
			wantCopies(t, s, 1, c.filed...)
			old.mu.Lock()
			if !slices.Equal(old.got, c.got) {
				t.Errorf("the old host got mail for %q, want %q", old.got, c.got)
			}
			old.mu.Unlock()
			if c.waits == "" {
				return
			}
			s.Account("moved@one.test", 0)
			if _, err := s.Queue.Retry(t.Context(), queue.Filter{All: true}); err != nil {
				t.Fatal(err)
			}
			testkit.Eventually(t, 20*time.Second, "filed", func() bool { return len(s.Inbox("moved@one.test")) == 1 })
		})
	}
}

// TestComingHomeIsTold: who asked to be told of success hears that it is delivered.
func TestComingHomeIsTold(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true, Deliverer: stack.Deliver(new(abroad).deliver)})
	s.Account("writer@hayauma.test", 0)
	s.Relay("one.test", account.Relay{Recipients: account.ByAny, Split: true})
	tx := s.Intake.Begin(mail.Origin{}, mail.Envelope{From: s.Address("writer@hayauma.test")})
	to := mail.Recipient{Address: s.Address("moved@one.test"), Notify: mail.NotifySuccess}
	if fault := tx.Add(t.Context(), to, account.Target{Kind: account.Onward}); fault != nil {
		t.Fatal(fault)
	}
	want(t, finish(t, tx, hello), "250")
	s.Account("moved@one.test", 0)
	s.Wake()
	testkit.Eventually(t, 20*time.Second, "the report", func() bool { return len(s.Inbox("writer@hayauma.test")) == 1 })
	if got := s.Inbox("writer@hayauma.test")[0]; !strings.Contains(got, "Action: delivered\r\n") {
		t.Error(got)
	}
	wantCopies(t, s, 1, "moved@one.test")
}
