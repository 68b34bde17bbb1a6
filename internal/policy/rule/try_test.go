package rule_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

// shown is a trial in short: each rule's answer, then the decision.
func shown(t rule.Trial) string {
	var parts []string
	for _, s := range t.Steps {
		parts = append(parts, s.Matches)
	}
	return strings.Join(parts, ",") + " | " + strings.TrimSpace(string(t.Action)+" "+t.Rule) + " | " + t.At
}

func TestTry(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for _, line := range []string{
		"office: accept network=10.0.0.0/8", "bulk: tag tag=bulk helo=*dsl*,*pool*,*dyn*,*dial*,*cable*", "slow: tarpit delay=5 reverse=<>",
		"sleeping: reject off door=smtp", "friends: accept to=friends@ours.test from=*", "casino: reject from=@.casino.test text=No!",
		"held: quarantine certificate=<> login=<> to=@ours.test",
	} {
		s.add(rule.Place{}, line)
	}
	for _, row := range []struct {
		name, want string
		q          rule.Question
	}{
		{"at home", "yes,not reached,not reached,off,not reached,not reached,not reached | accept office | MAIL", rule.Question{IP: "10.1.2.3"}},
		{"the null sender passes the exception", "no,no,yes,off,no,no,waits |  | MAIL", rule.Question{IP: "192.0.2.1"}},
		{"the recipient decides", "no,no,no,off,waits,not reached,not reached |  | MAIL", rule.Question{IP: "192.0.2.1", From: "a@casino.test", Reverse: "x.test"}},
		{"a friend", "no,no,no,off,yes,not reached,not reached | accept friends | RCPT", rule.Question{IP: "192.0.2.1", From: "a@casino.test", Reverse: "x.test", To: "friends@ours.test"}},
		{"another", "no,no,no,off,no,yes,not reached | reject casino | RCPT", rule.Question{IP: "192.0.2.1", From: "a@x.casino.test", Reverse: "x.test", To: "you@ours.test"}},
		{"held", "no,yes,yes,off,no,no,yes | quarantine held | RCPT", rule.Question{IP: "192.0.2.1", Helo: "dsl7", To: "you@ours.test"}},
		{"what is said to be none", "no,no,yes,off,no,no,yes | quarantine held | RCPT", rule.Question{IP: "192.0.2.1", Helo: "<>", Reverse: "<>", Certificate: []string{"<>"}, Login: "<>", From: "<>", To: "you@ours.test"}},
		{"proved", "no,no,no,off,no,no,no |  | RCPT", rule.Question{IP: "192.0.2.1", Certificate: []string{"x"}, Reverse: "a.test", To: "you@ours.test"}},
	} {
		row.q.Door = "smtp"
		got, err := s.Try(t.Context(), row.q)
		if err != nil || shown(got) != row.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", row.name, err, shown(got), row.want)
		}
		switch row.name {
		case "held":
			if strings.Join(got.Tags, ",") != "bulk" || got.Delay != 5 || got.Reply != "" {
				t.Errorf("%+v", got)
			}
			if why := got.Steps[6].Why; why != "login <> matches <>, certificate <> matches <>, to you@ours.test matches @ours.test" {
				t.Error(why)
			}
		case "another":
			if got.Reply != "550 5.7.1 No!" || got.Steps[0].Why != "network 192.0.2.1 does not match 10.0.0.0/8" ||
				got.Steps[1].Why != "helo <> matches none of *dsl*, *pool*, *dyn*, 2 more" {
				t.Errorf("%+v", got)
			}
		}
	}
}

// TestTryOfACertificate: rules on its name and on its fingerprint see the same one, as
// those of a session do.
func TestTryOfACertificate(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	fingerprint := strings.Repeat("0a", 32)
	s.add(rule.Place{}, "named: reject certificate=relay-*")
	s.add(rule.Place{}, "shown: accept certificate="+fingerprint)
	for _, row := range []struct {
		want string
		of   []string
	}{
		{"no,yes | accept shown | MAIL", []string{fingerprint}},
		{"yes,not reached | reject named | MAIL", []string{"relay-1"}},
		{"yes,not reached | reject named | MAIL", []string{fingerprint, "relay-1"}},
		{"no,yes | accept shown | MAIL", []string{"other", "sha256:" + fingerprint}},
		{"no,no |  | MAIL", nil},
	} {
		got, err := s.Try(t.Context(), rule.Question{IP: "192.0.2.1", Door: "smtp", Certificate: row.of})
		if err != nil || shown(got) != row.want {
			t.Errorf("%q: %v\ngot  %s\nwant %s", row.of, err, shown(got), row.want)
		}
	}
}

// TestPostmasters: however he is written, he is judged by the address that he has.
func TestPostmasters(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(rule.Place{}, "host: tag tag=host to=*@[*]")
	s.add(rule.Place{}, "closed: reject to=postmaster@ours.test")
	fails := errors.New("the store is gone")
	var failure error
	s.Store = rule.New(rule.Options{DB: s.db, StandsFor: func(_ context.Context, a mail.Address) (mail.Address, error) {
		if _, literal := a.Domain.Literal(); literal || a.Domain.IsZero() {
			a.Domain = mail.Domain{ASCII: "ours.test"}
		}
		return a, failure
	}})
	for to, want := range map[string]string{
		"postmaster@ours.test":   "no,yes | reject closed | RCPT",
		"postmaster":             "no,yes | reject closed | RCPT",
		"Postmaster@[192.0.2.1]": "yes,yes | reject closed | RCPT",
		"postmaster@other.test":  "no,no |  | RCPT",
		"abuse@[192.0.2.1]":      "yes,no |  | RCPT",
	} {
		got, err := s.Try(t.Context(), rule.Question{IP: "192.0.2.1", Door: "smtp", To: to})
		if err != nil || shown(got) != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", to, err, shown(got), want)
		}
		if why := got.Steps[1].Why; to == "postmaster" && why != "to postmaster (postmaster@ours.test) matches postmaster@ours.test" {
			t.Error(why)
		}
	}
	failure = fails
	if _, err := s.Try(t.Context(), rule.Question{IP: "192.0.2.1", Door: "smtp", To: "postmaster"}); !errors.Is(err, fails) {
		t.Errorf("whom he stands for cannot be told: %v", err)
	}
}

func TestQuestionsThatAreWrong(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for _, row := range []struct {
		q    rule.Question
		want string
	}{
		{rule.Question{}, "--ip"},
		{rule.Question{IP: "192.0.2.1"}, "--door"},
		{rule.Question{IP: "192.0.2.1", Door: "smtp", Certificate: []string{"sha256:1"}}, "--certificate"},
		{rule.Question{IP: "192.0.2.1", Door: "smtp", Certificate: []string{"a", "b"}}, "--certificate"},
		{rule.Question{IP: "192.0.2.1", Door: "smtp", Login: "a b"}, "--login"},
		{rule.Question{IP: "192.0.2.1", Door: "smtp", From: "a@"}, "--from"},
		{rule.Question{IP: "192.0.2.1", Door: "smtp", To: "<>"}, "--to <>"},
	} {
		if _, err := s.Try(t.Context(), row.q); err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%+v: %v", row.q, err)
		}
	}
	got, err := s.Try(t.Context(), rule.Question{IP: "::1", Door: "smtp", From: "<>", To: "postmaster"})
	if err != nil || got.Steps == nil || got.Action != "" {
		t.Errorf("%+v, %v", got, err)
	}
}
