package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/test/stack"
)

type none = control.Empty

func TestDomains(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		if list := ask(t, w, control.DomainList, none{}); len(list) != 0 {
			t.Errorf("an empty server has domains: %+v", list)
		}
		ask(t, w, control.DomainAdd, control.DomainSettings{Domain: "Hayauma.TEST"})
		ask(t, w, control.DomainAdd, control.DomainSettings{Domain: "other.test"})
		refused(t, w, control.DomainAdd, control.DomainSettings{Domain: "hayauma.test"}, "hayauma.test: it exists already")
		refused(t, w, control.DomainAdd, control.DomainSettings{Domain: "a b"}, `a b: not a valid domain name`)
		refused(t, w, control.DomainRemove, control.DomainName{Domain: "nobody.test"},
			"nobody.test: "+account.ErrNoDomain.Error())
		ask(t, w, control.AccountAdd, control.AccountLogin{Address: "a@hayauma.test", Password: stack.Password})
		refused(t, w, control.DomainRemove, control.DomainName{Domain: "hayauma.test"},
			"hayauma.test: "+account.ErrInUse.Error())
		ask(t, w, control.DomainRemove, control.DomainName{Domain: "other.test"})
		list := ask(t, w, control.DomainList, none{})
		if len(list) != 1 || list[0].Name != "hayauma.test" || list[0].Accounts != 1 {
			t.Errorf("domains %+v", list)
		}
	})
}

// TestDomainWithMail: a domain for which mail waits is not given up, since that would go
// where MX leads.
func TestDomainWithMail(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		everybody, yes := account.ByAny, true
		ask(t, w, control.DomainAdd, control.DomainSettings{Domain: "one.test", Relay: &yes, Recipients: &everybody})
		send(t, w, control.Outgoing{Recipients: []string{"x@one.test"}, Message: strings.NewReader("Subject: Hello\r\n\r\nHello\r\n")})
		refused(t, w, control.DomainRemove, control.DomainName{Domain: "one.test"}, "one.test: mail in the queue waits for this domain, for 1 recipients: once it is delivered the domain can be removed; 'hayauma queue list --domain one.test' tells why it waits, 'hayauma queue bounce' returns it, 'hayauma queue reroute' gives it another way")
		ask(t, w, control.QueueDelete, control.QueueFilter{All: true})
		ask(t, w, control.DomainRemove, control.DomainName{Domain: "one.test"})
	})
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		const alice = "alice@hayauma.test"
		login := control.AccountLogin{Address: alice, Password: stack.Password}
		refused(t, w, control.AccountAdd, login, alice+": "+account.ErrNoDomain.Error())
		ask(t, w, control.DomainAdd, control.DomainSettings{Domain: "hayauma.test"})
		refused(t, w, control.AccountAdd, control.AccountLogin{Address: alice, Password: "short"}, alice+": "+account.ErrPassword.Error())
		ask(t, w, control.AccountAdd, login)
		refused(t, w, control.AccountAdd, login, alice+": it exists already")

		if got := ask(t, w, control.AccountList, none{})[0]; got.Quota != 0 || !got.Default {
			t.Errorf("a new account: %+v", got)
		}
		ask(t, w, control.AccountQuota, control.AccountSettings{Address: alice, Quota: 5_000_000})
		refused(t, w, control.AccountQuota, control.AccountSettings{Address: "bob@hayauma.test"}, "bob@hayauma.test: there is no such account")
		refused(t, w, control.AccountQuota, control.AccountSettings{Address: alice, Quota: -2}, alice+": a quota cannot be negative")
		ask(t, w, control.AccountLanguage, control.AccountSettings{Address: alice, Language: "ja"})
		refused(t, w, control.AccountLanguage, control.AccountSettings{Address: alice, Language: "de"}, alice+": the languages are en and ja")
		send(t, w, control.Outgoing{Recipients: []string{alice}, Message: strings.NewReader(letter)})

		list := ask(t, w, control.AccountList, none{})
		if len(list) != 1 {
			t.Fatalf("accounts %+v", list)
		}
		got := list[0]
		if got.Address != alice || got.Quota != 5_000_000 || got.Default || got.Messages != 1 || got.Used < int64(len(letter)) || len(got.ID) != 13 {
			t.Errorf("account %+v", got)
		}
		if made, err := time.Parse(time.RFC3339, got.Created); err != nil || time.Since(made) > time.Hour {
			t.Errorf("made %q, %v", got.Created, err)
		}

		ask(t, w, control.AccountPasswd, control.AccountLogin{Address: alice, Password: "another horse"})
		if _, err := w.stack.Directory.Authenticate(t.Context(), alice, "another horse"); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if _, err := w.stack.Directory.Authenticate(t.Context(), alice, stack.Password); err == nil {
			t.Error("the old password still opens")
		}
		refused(t, w, control.AccountPasswd, control.AccountLogin{Address: alice, Password: "x"}, alice+": "+account.ErrPassword.Error())
		refused(t, w, control.AccountPasswd, control.AccountLogin{Address: "b@hayauma.test", Password: stack.Password}, "b@hayauma.test: there is no such account")

		ask(t, w, control.AccountRemove, control.AccountName{Address: alice})
		refused(t, w, control.AccountRemove, control.AccountName{Address: alice}, alice+": there is no such account")
		refused(t, w, control.AccountRemove, control.AccountName{Address: "@"}, `@: not a valid mail address`)
		if list := ask(t, w, control.AccountList, none{}); list == nil || len(list) != 0 {
			t.Errorf("no accounts are %+v", list)
		}
	})
}

func TestAliases(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		team := account.Alias{Address: "team@hayauma.test", Targets: []string{"alice@hayauma.test", "x@elsewhere.test"}}
		ask(t, w, control.AliasAdd, team)
		ask(t, w, control.AliasAdd, account.Alias{Address: "*@hayauma.test", Targets: []string{"alice@hayauma.test"}})
		refused(t, w, control.AliasAdd, account.Alias{Address: "alice@hayauma.test", Targets: team.Targets},
			"alice@hayauma.test: it exists already, as an account")
		refused(t, w, control.AliasAdd, account.Alias{Address: "a@elsewhere.test", Targets: team.Targets},
			"a@elsewhere.test: "+account.ErrNoDomain.Error())
		refused(t, w, control.AliasAdd, account.Alias{Address: "a@hayauma.test"}, "a@hayauma.test: an alias needs 1 to 500 targets")
		refused(t, w, control.AliasRemove, control.AliasName{Address: "b@hayauma.test"}, "b@hayauma.test: there is no such alias")
		want := []account.Alias{{Address: "*@hayauma.test", Targets: []string{"alice@hayauma.test"}}, team}
		if diff := cmp.Diff(want, ask(t, w, control.AliasList, none{})); diff != "" {
			t.Errorf("aliases (-want +got):\n%s", diff)
		}
		ask(t, w, control.AliasRemove, control.AliasName{Address: "*@hayauma.test"})
		ask(t, w, control.AliasRemove, control.AliasName{Address: "team@hayauma.test"})
		if list := ask(t, w, control.AliasList, none{}); len(list) != 0 {
			t.Errorf("no aliases are %+v", list)
		}
	})
}

func TestTraceAndCheck(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		sent := send(t, w, control.Outgoing{From: "alice@hayauma.test", User: "root",
			Recipients: []string{"alice@hayauma.test", "x@elsewhere.test"}, Message: strings.NewReader(letter)})
		for _, ref := range []string{sent.Message, "one@hayauma.test", "<one@hayauma.test>"} {
			lines := ask(t, w, control.Trace, control.MessageName{Message: ref})
			if len(lines) != 1 || lines[0].Message.String() != sent.Message || len(lines[0].Events) != 2 {
				t.Fatalf("%s: %+v", ref, lines)
			}
			first := lines[0].Events[0]
			if first.Detail.Door != "command" || first.Detail.From != "alice@hayauma.test" || time.Since(first.Time()) > time.Hour {
				t.Errorf("%s: %+v", ref, first)
			}
		}
		refused(t, w, control.Trace, control.MessageName{Message: "nobody"},
			"no message is known by this id or Message-ID: it was never accepted here, or its history is older than the retention")
		if faults := ask(t, w, control.Check, none{}); len(faults) != 0 {
			t.Errorf("faults of sound stores: %v", faults)
		}
	})
}

func TestUnknownCall(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		refused(t, w, control.Call[none, none]{Name: "domain/rename"}, none{},
			"the server knows no POST /v1/domain/rename: is it of another version than the command line?")
	})
}

func TestQuestionsThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		type newer struct {
			Domain string `json:"domain"`
			Since  string `json:"since"`
		}
		refused(t, w, control.Call[newer, none]{Name: "domain/add"}, newer{Domain: "hayauma.test", Since: "now"},
			`the question is not understood: json: unknown field "since"`)
		refused(t, w, control.Call[[]int, none]{Name: "domain/add"}, []int{1},
			"the question is not understood: json: cannot unmarshal array into Go value of type control.DomainSettings")
		if list := ask(t, w, control.DomainList, none{}); len(list) != 0 {
			t.Errorf("what was not understood was done: %+v", list)
		}
	})
}

func TestQuestionTooLarge(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		refused(t, w, control.DomainAdd, control.DomainSettings{Domain: strings.Repeat("x", 20<<20)},
			"the question is not understood: http: request body too large")
		ask(t, w, control.DomainList, none{})
	})
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	w := way{Client: control.Dial(control.SocketPath(t.TempDir()))}
	_, err := control.Ask(t.Context(), w.Client, control.DomainList, none{})
	if err == nil || !strings.HasPrefix(err.Error(), "the server does not answer on its admin socket: ") {
		t.Errorf("%v", err)
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		alice := control.AccountName{Address: "alice@hayauma.test"}
		give := func(s string) control.Identity {
			return control.Identity{Address: "alice@hayauma.test", Identity: s}
		}
		for _, s := range []string{"Alice@Elsewhere.test", "*@bücher.test", "alice@elsewhere.test"} {
			ask(t, w, control.IdentityAdd, give(s))
		}
		if got := strings.Join(ask(t, w, control.IdentityList, alice), " "); got != "*@xn--bcher-kva.test alice@elsewhere.test" {
			t.Errorf("identities %s", got)
		}
		ask(t, w, control.IdentityRemove, give("*@BÜCHER.test"))
		refused(t, w, control.IdentityRemove, give("*@bücher.test"), "alice@hayauma.test: *@bücher.test: "+account.ErrNoIdentity.Error())
		nobody := control.Identity{Address: "bob@hayauma.test", Identity: "a@b.test"}
		refused(t, w, control.IdentityAdd, nobody, "bob@hayauma.test: "+account.ErrNoAccount.Error())
		ask(t, w, control.AccountRemove, alice)
		refused(t, w, control.IdentityList, alice, "alice@hayauma.test: "+account.ErrNoAccount.Error())
	})
}
