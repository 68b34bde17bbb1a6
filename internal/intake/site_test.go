package intake_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// TestWayIsChosenOnAcceptance: by who sends, for each recipient; a rule that comes
// later changes nothing, and one of an account ends with it.
func TestWayIsChosenOnAcceptance(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	alice := s.Account("alice@hayauma.test", 0)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"to", "account", "sender"} {
		must(s.Routes.Set(t.Context(), route.Route{Name: name, Kind: route.SMTP, TLS: "none", Hosts: []route.Host{{Name: "h.test", Port: 25}}}))
	}
	for _, r := range []route.Rule{
		{What: route.Recipient, Value: "x.test", Route: "to"},
		{What: route.Account, Value: alice.ID.String(), Route: "account"},
		{What: route.Sender, Value: "b.test", Route: "sender"},
	} {
		must(s.Routes.SetRule(t.Context(), r))
	}
	send := func(account mail.ID, from string) {
		t.Helper()
		o, env := origin, mail.Envelope{}
		o.Account = account
		if from != "" {
			env.From = s.Address(from)
		}
		tx := s.Intake.Begin(o, env)
		for _, to := range []string{"a@x.test", "a@y.test"} {
			if fault := add(t, s, tx, to); fault != nil {
				t.Fatal(fault)
			}
		}
		want(t, finish(t, tx, "Subject: "+from+account.String()+"\r\n\r\nHello\r\n"), "250")
	}
	send(alice.ID, "a@b.test")
	send(0, "a@b.test")
	send(0, "")
	must(s.Directory.RemoveAccount(t.Context(), alice.Address))
	testkit.Eventually(t, 20*time.Second, "the rule of the account to end", func() bool { return len(s.Routes.Rules()) == 2 })
	var sites []string
	for _, m := range s.Queued() {
		for _, r := range m.Recipients {
			sites = append(sites, r.Site)
		}
	}
	if want := []string{"route:to", "route:account", "route:to", "route:sender", "route:to", "y.test"}; !slices.Equal(sites, want) {
		t.Errorf("%v, want %v", sites, want)
	}
}
