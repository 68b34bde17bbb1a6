package policy_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/internal/wire/mime"
	"github.com/hayauma/hayauma/test/stack"
)

// Whom a message says that it is from, in every way that a reader could see it.
func TestHeader(t *testing.T) {
	t.Parallel()
	s := stack.New(t, stack.Options{Asleep: true})
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	s.Alias("sales@hayauma.test", "alice@hayauma.test")
	for _, identity := range []string{"alice@elsewhere.test", "*@whole.test"} {
		if err := s.Directory.AddIdentity(t.Context(), alice.Address, identity); err != nil {
			t.Fatal(err)
		}
	}
	on := true
	p := policy.New(policy.Options{Directory: s.Directory, RelayNetworks: networks, CheckFrom: func() bool { return on }})
	ask := func(header string, login account.Account) string {
		o := mail.Origin{Door: mail.DoorSubmission, Account: login.ID, Login: login.Address}
		return words(p.Header(t.Context(), o, mime.Header(strings.ReplaceAll(header, "\n", "\r\n"))))
	}
	const may, mayNot, unclear = "ok", "550 5.7.1", "554 5.6.0"
	for header, want := range map[string]string{
		"":                                     may,
		"Subject: x\n":                         may,
		"From: alice@hayauma.test\n":           may,
		"from: Alice <ALICE@Hayauma.test>\n":   may,
		"From: <alice+tag@hayauma.test>\n":     may,
		"From: sales@hayauma.test\n":           may,
		"From: \"Bob\" <alice@hayauma.test>\n": may, // a name is only a name
		"From: \"bob@hayauma.test\" <alice@hayauma.test>\n":               may,
		"From: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= <alice@hayauma.test>\n": may,
		"From: =?x-nobody-knows?Q?=FF?= <alice@hayauma.test>\n":           may,
		"From: alice@elsewhere.test\n":                                    may,
		"From: Alice@Elsewhere.test\n":                                    may,
		"From: anybody@whole.test\n":                                      may,
		"From: alice@hayauma.test, sales@hayauma.test\n":                  may,
		"From: alice@hayauma.test\nSender: sales@hayauma.test\n":          may,
		"From: Alice J. Doe <alice@hayauma.test>\n":                       may,
		"From: alice (bob@hayauma.test) @hayauma.test\n":                  unclear,

		"From: bob@hayauma.test\n":                             mayNot,
		"FROM : bob@hayauma.test\n":                            mayNot,
		"From:\n bob@hayauma.test\n":                           mayNot,
		"From: alice@hayauma.test,\n bob@hayauma.test\n":       mayNot,
		"From: \"alice@hayauma.test\" <bob@hayauma.test>\n":    mayNot,
		"From: (alice@hayauma.test) bob@hayauma.test\n":        unclear,
		"From: bob (alice) @ hayauma . test\n":                 unclear,
		"From: team: alice@hayauma.test, bob@hayauma.test;\n":  mayNot,
		"From: \"alice@hayauma.test, x\"@elsewhere.test\n":     mayNot,
		"From: bob@elsewhere.test\n":                           mayNot,
		"From: x@sub.whole.test\n":                             mayNot,
		"From: alice@[127.0.0.1]\n":                            mayNot,
		"From: alice@hayauma.test\nSender: bob@hayauma.test\n": mayNot,
		"no field at all\nFrom: bob@hayauma.test\n":            mayNot,
		"X: y\n\tz\nFrom: bob@hayauma.test\n":                  mayNot,

		"From: alice@hayauma.test\nFrom: alice@hayauma.test\n":     unclear,
		"From: alice@hayauma.test\nfrom: bob@hayauma.test\n":       unclear,
		"Sender: alice@hayauma.test\nSender: alice@hayauma.test\n": unclear,
		"From:\n":               unclear,
		"From: undisclosed:;\n": unclear,
		"From: alice\n":         unclear,
		"From: alice@hayauma.test bob@hayauma.test\n": unclear,
		"From: <alice@hayauma.test\n":                 unclear,
		"From: \xff <alice@hayauma.test>\n":           unclear,
		"From: alice@hayauma.test;bob@hayauma.test\n": unclear,
	} {
		if got := ask(header, alice); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
		if got := ask(header, account.Account{}); got != may {
			t.Errorf("%q without a login: %s", header, got)
		}
	}
	if on = false; ask("From: bob@hayauma.test\n", alice) != may {
		t.Error("refused without the setting")
	}
	if err := s.Directory.RemoveIdentity(t.Context(), alice.Address, "*@whole.test"); err != nil {
		t.Fatal(err)
	}
	if on = true; ask("From: anybody@whole.test\n", alice) != mayNot {
		t.Error("an identity outlives its end")
	}
}
