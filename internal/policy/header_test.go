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

// house has alice, who may send as some more, and bob, whom she would like to be.
func house(t *testing.T, o stack.Options) (*stack.Stack, account.Account) {
	t.Helper()
	o.Asleep = true
	s := stack.New(t, o)
	alice := s.Account("alice@hayauma.test", 0)
	s.Account("bob@hayauma.test", 0)
	s.Alias("team@hayauma.test", "alice@hayauma.test", "bob@hayauma.test")
	for _, identity := range []string{"sales@partner.test", "*@guests.test"} {
		if err := s.Directory.AddIdentity(t.Context(), alice.Address, identity); err != nil {
			t.Fatal(err)
		}
	}
	return s, alice
}

const (
	may      = "ok"
	mayNot   = "550 5.7.1"
	unsure   = "554 5.6.0"
	otherTop = "Received: x\r\nSubject: y\r\n"
)

func TestHeaderOfAnAccount(t *testing.T) {
	t.Parallel()
	s, alice := house(t, stack.Options{})
	for header, want := range map[string]string{
		"":                                   may, // it says nothing
		"Subject: From: bob@hayauma.test":    may,
		"From: alice@hayauma.test":           may,
		"From: Alice <ALICE+x@Hayauma.Test>": may,
		"From: team@hayauma.test, Alice <alice@hayauma.test>":    may,
		"From: Sales <Sales@partner.test>":                       may,
		"From: x@guests.test\r\nSender: alice@hayauma.test":      may,
		"Sender: alice@hayauma.test":                             may,
		"From: \"bob@hayauma.test\" <alice@hayauma.test>":        may, // a name is what its owner says
		"From: alice@hayauma.test\r\nReply-To: bob@hayauma.test": may,
		"From: alice@hayauma.test\r\nX-From: bob@hayauma.test":   may,
		"From: alice@hayauma.test\r\n\r\nFrom: bob@hayauma.test": may, // the body

		"From: bob@hayauma.test":                                 mayNot,
		"From: alice@elsewhere.test":                             mayNot,
		"From: info@partner.test":                                mayNot,
		"From: x@sub.guests.test":                                mayNot,
		"From: nobody@hayauma.test":                              mayNot,
		"From: Alice <bob@hayauma.test>":                         mayNot,
		"From: alice@hayauma.test\r\nSender: bob@hayauma.test":   mayNot,
		"Sender: alice@hayauma.test\r\nFrom: bob@hayauma.test":   mayNot,
		"From: bob@hayauma.test\r\nSender: alice@hayauma.test":   mayNot,
		"From: alice@hayauma.test, bob@hayauma.test":             mayNot,
		"From: bob@hayauma.test, alice@hayauma.test":             mayNot,
		"From: alice@hayauma.test,\r\n\tBob <bob@hayauma.test>":  mayNot,
		"From: alice@[127.0.0.1]":                                mayNot,
		"Resent-From: alice@hayauma.test\r\nFrom: x@author.test": mayNot,

		// RFC 5322 §3.6.6: the newest stands on top.
		"Resent-From: alice@hayauma.test\r\nFrom: alice@hayauma.test":                                                                         may,
		"Resent-From: alice@hayauma.test, team@hayauma.test\r\nRESENT-SENDER: alice@hayauma.test\r\nFrom: alice@hayauma.test":                 may,
		"Resent-From: alice@hayauma.test\r\nResent-To: x@y.test\r\nResent-From: bob@hayauma.test\r\nFrom: alice@hayauma.test":                 may,
		"Resent-Sender: alice@hayauma.test\r\nResent-From: alice@hayauma.test\r\nResent-Sender: bob@hayauma.test\r\nFrom: alice@hayauma.test": may,
		"Resent-From: alice@hayauma.test\r\nReceived: x\r\nResent-Sender: bob@hayauma.test\r\nFrom: alice@hayauma.test":                       may,
		"From: alice@hayauma.test\r\nResent-From: bob@hayauma.test":                                                                           mayNot,
		"Resent-From: bob@hayauma.test\r\nResent-From: alice@hayauma.test\r\nFrom: alice@hayauma.test":                                        mayNot,
		"Resent-To: x@y.test\r\nX: y\r\nResent-From: bob@hayauma.test\r\nFrom: alice@hayauma.test":                                            mayNot,
		"Resent-From: alice@hayauma.test\r\nResent-Date: x\r\nresent-sender: bob@hayauma.test\r\nFrom: alice@hayauma.test":                    mayNot,
		"Resent-Sender: bob@hayauma.test\r\nX: y\r\nResent-From: alice@hayauma.test\r\nFrom: alice@hayauma.test":                              mayNot,
		"Resent-From: alice@hayauma.test, bob@hayauma.test\r\nFrom: alice@hayauma.test":                                                       mayNot,
		"Resent-From: alice@hayauma.test\r\nResent-Sender: alice@hayauma.test, alice@hayauma.test\r\nFrom: alice@hayauma.test":                unsure,
		"Resent-From: alice@hayauma.test\r\nFrom: alice@hayauma.test\r\nFrom: alice@hayauma.test":                                             unsure,
		"Resent-Sender: alice@hayauma.test\r\nResent-Sender: bob@hayauma.test\r\nResent-From: bob@hayauma.test\r\nFrom: alice@hayauma.test":   mayNot,
		"Resent-From : bob@hayauma.test\r\nFrom: alice@hayauma.test":                                                                          mayNot,
		"Resent\u200b-From: bob@hayauma.test\r\nFrom: alice@hayauma.test":                                                                     unsure,
		"Resent-From: alice@hayauma.test\r\nResent-From\u200b: bob@hayauma.test\r\nFrom: alice@hayauma.test":                                  unsure,
	} {
		check(t, s.Policy, alice, header, want)
		check(t, s.Policy, alice, otherTop+header, want)
	}
}

// What a bad user tries so that we see one sender and readers another.
func TestHeaderAttacks(t *testing.T) {
	t.Parallel()
	s, alice := house(t, stack.Options{})
	const own, bob = "alice@hayauma.test", "bob@hayauma.test"
	for _, test := range []struct{ name, header, want string }{
		{"two From", "From: " + own + "\r\nFrom: " + bob, unsure},
		{"two From, ours last", "From: " + bob + "\r\nFrom: " + own, mayNot},
		{"two of our own", "From: " + own + "\r\nFrom: " + own, unsure},
		{"two in other case", "From: " + own + "\r\nfROM: " + bob, unsure},
		{"two with white space before the colon", "From: " + own + "\r\nFrom \t: " + bob, unsure},
		{"two, far apart", "From: " + own + "\r\n" + strings.Repeat("X: y\r\n", 5000) + "From: " + bob, unsure},
		{"two, one empty", "From:\r\nFrom: " + bob, unsure},
		{"two Sender", "From: " + own + "\r\nSender: " + own + "\r\nSender: " + bob, unsure},
		{"other case", "FROM: " + bob, mayNot},
		{"white space before the colon", "From : " + bob, mayNot},
		{"a tab before the colon", "from\t \t: " + bob, mayNot},
		{"a folded name", "From\r\n : " + bob, unsure},
		{"a name in pieces", "Fr om: " + bob, unsure},
		{"white space before the name, behind junk", "junk\r\n From: " + bob, may}, // it continues the line before
		{"a name with a vertical tab", "From\x0b: " + bob, unsure},
		{"a name with a form feed before", "\x0cFrom: " + bob, unsure},
		{"a name with a NUL", "From\x00: " + bob, unsure},
		{"a name with DEL", "Fr\x7fom: " + bob, unsure},
		{"a name with no-break space", "From\u00a0: " + bob, unsure},
		{"a name with a zero-width space", "F\u200brom: " + bob, unsure},
		{"a name with stray octets", "\xefFrom: " + bob, unsure},
		{"Sender with a zero-width space", "From: " + own + "\r\nSend\u200ber: " + bob, unsure},
		{"a byte order mark", "\ufeffFrom: " + bob, unsure},
		{"behind a line that is no field", "no field\r\nFrom: " + bob, mayNot},
		{"behind the line of an mbox", "From alice Thu Jan  1 00:00:00 2026\r\nFrom: " + bob, mayNot},
		{"behind an unfinished line", "From: " + own + "\r\nX\r\nFrom: " + bob, unsure},
		{"folded before the address", "From:\r\n " + bob, mayNot},
		{"folded many times", "From:" + strings.Repeat("\r\n ", 2000) + bob, mayNot},
		{"folded in the address", "From: alice@\r\n hayauma.test", unsure},
		{"folded into two", "From: " + own + "\r\n " + bob, unsure},
		{"folded before the comma", "From: " + own + "\r\n , " + bob, mayNot},
		{"beyond what is kept of a value", "From: \"" + strings.Repeat("x", 5000) + "\" <" + bob + ">", mayNot},
		{"beyond it, in a list", "From: " + own + "," + strings.Repeat(" ", 5000) + bob, mayNot},
		{"beyond it, in a comment", "From: (" + strings.Repeat("x", 5000) + ") " + bob, mayNot},
		{"more mailboxes than anybody is", "From: " + strings.Repeat(own+", ", 20) + bob, unsure},
		{"as many as may be", "From: " + strings.Repeat(own+", ", 19) + own, may},
		{"a comment instead", "From: (" + own + ") " + bob, unsure},
		{"an address in a comment", "From: " + own + " (" + bob + ")", unsure},
		{"a comment that ends twice", "From: " + own + " (\\) , " + bob + " (\\)", unsure},
		{"a quote in a comment", "From: (\") " + bob + " (\") " + own, unsure},
		{"a comment without end", "From: " + own + " (", unsure},
		{"a group", "From: Us: " + bob + ";", unsure},
		{"a group of our own", "From: Us: " + own + ";", unsure},
		{"an empty group", "From: Us:;", unsure},
		{"an empty group, then somebody", "From: :;" + bob, unsure},
		{"somebody, then an empty group", "From: " + own + ", Us:;", unsure},
		{"an encoded address", "From: =?utf-8?q?bob=40hayauma.test?=", unsure},
		{"an encoded address as a name", "From: =?utf-8?q?=3Cbob=40hayauma.test=3E?= <" + own + ">", may},
		{"an encoded end of text in a name", "From: =?utf-8?q?bob=40hayauma.test=00?= <" + own + ">", unsure},
		{"an encoded line end in a name", "From: =?utf-8?b?DQpGcm9tOiBib2I=?= <" + own + ">", unsure},
		{"an encoded local part", "From: =?utf-8?q?bob=40hayauma.test=00?=@guests.test", unsure},
		{"a quoted local part that is an address", `From: "bob@hayauma.test"@guests.test`, unsure},
		{"a quoted local part with an angle", `From: "<bob@hayauma.test>"@guests.test`, unsure},
		{"a quoted local part", `From: "bob"@hayauma.test`, mayNot},
		{"a quoted pair in it", `From: "b\ob"@hayauma.test`, mayNot},
		{"a quote without end", `From: "x <` + own + ">, " + bob, unsure},
		{"an address as a name without quotes", "From: " + bob + " <" + own + ">", unsure},
		{"a bad address as a name", "From: bob@hayauma..test <" + own + ">", unsure},
		{"two angles", "From: <" + own + "> <" + bob + ">", unsure},
		{"an angle in an angle", "From: <" + own + "<" + bob + ">>", unsure},
		{"an angle without end", "From: <" + own, unsure},
		{"something behind the angle", "From: <" + own + "> " + bob, unsure},
		{"a source route", "From: <@hayauma.test,@x.test:" + own + ">", unsure},
		{"a source route to bob", "From: <@hayauma.test:" + bob + ">", unsure},
		{"dots and white space", "From: alice@hayauma . test", unsure},
		{"a semicolon between", "From: " + own + "; " + bob, unsure},
		{"an empty element", "From: " + own + ",, " + bob, unsure},
		{"a comma at the end", "From: " + own + ",", unsure},
		{"no address", "From: Alice", unsure},
		{"the null path", "From: <>", unsure},
		{"an empty From", "From:", unsure},
		{"an empty Sender", "From: " + own + "\r\nSender:", unsure},
		{"several senders", "From: " + own + "\r\nSender: " + own + ", " + own, unsure},
		{"8-bit text that is no UTF-8", "From: B\xf6b <" + own + ">", unsure},
		{"8-bit text in the address", "From: alice\xff@hayauma.test", unsure},
		{"a full-width @", "From: bob＠hayauma.test <" + own + ">", may}, // a name; no reader takes it for an address
		{"a full-width @ alone", "From: bob＠hayauma.test", unsure},
		{"an address of letters that look alike", "From: аlice@hayauma.test", mayNot},
		{"a zero-width space in an address", "From: alice\u200b@guests.test", unsure},
		{"the other direction in an address", "From: \u202ebob@guests.test", unsure},
		{"full-width letters in a domain", "From: bob@ｈａｙａｕｍａ.test", mayNot},
		{"a NUL behind the address", "From: " + own + "\x00, " + bob, unsure},
		{"a NUL in the address", "From: b\x00ob@hayauma.test", unsure},
		{"a lone CR", "From: " + own + "\r, " + bob, unsure},
		{"a lone CR, then a field", "X: y\rFrom: " + bob, may}, // the door lets none pass
		{"a line separator", "From: " + own + "\u2028From: " + bob, unsure},
		{"raw ISO-2022-JP", "From: \x1b$B<bob@hayauma.test>\x1b(B <" + own + ">", unsure},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, s.Policy, alice, test.header, test.want) })
	}
}

func check(t *testing.T, p *policy.Policy, acc account.Account, header, want string) {
	t.Helper()
	o := mail.Origin{Door: mail.DoorSubmission, Account: acc.ID, Login: acc.Address}
	for _, end := range []string{"", "\r\n", "\r\n\r\nFrom: somebody else\r\n"} {
		fault := p.Header(t.Context(), o, mime.Header(header+end))
		if got := words(fault); got != want {
			t.Errorf("%.200q: %s (%v), want %s", header+end, got, fault, want)
		}
	}
}

func TestHeaderRefusalsNameTheAddress(t *testing.T) {
	t.Parallel()
	s, alice := house(t, stack.Options{})
	o := mail.Origin{Account: alice.ID}
	long := strings.Repeat("x", 128) + "@" + strings.Repeat(strings.Repeat("y", 60)+".", 4) + "test"
	for header, want := range map[string]string{
		"From: Bob <bob@hayauma.test>": "The From field names bob@hayauma.test, and your login may not send as this address",
		"Sender: Bob@Bücher.test":      "The Sender field names Bob@xn--bcher-kva.test, and your login may not send as this address",
		"From: jürgen@hayauma.test":    "The From field names j?rgen@hayauma.test, and your login may not send as this address",
		"From: " + long:                "The From field names " + long[:300] + "..., and your login may not send as this address",
		"From: Us:;":                   `The From field cannot be read for sure: write it like "From: Name <user@example.org>"`,
		"Fr om: x":                     "The name of a From field in the header holds octets that no name may have",
		"From: " + strings.Repeat("alice@hayauma.test, ", 20) + "alice@hayauma.test": "The From field may name at most 20 of those who send: leave the others out",
		"From: alice@hayauma.test\r\nSender: alice@hayauma.test, alice@hayauma.test": "The Sender field may name at most 1 of those who send: leave the others out",
		"sender: alice@hayauma.test\r\nSENDER: alice@hayauma.test":                   "The message has two Sender fields: leave one of them",
	} {
		if fault := s.Policy.Header(t.Context(), o, mime.Header(header)); fault == nil || fault.Public != want {
			t.Errorf("%q: %v, want %s", header, fault, want)
		}
	}
}

func TestHeaderOfOthers(t *testing.T) {
	t.Parallel()
	s, alice := house(t, stack.Options{})
	bad := mime.Header("From: bob@hayauma.test\r\nFrom: <>\r\n")
	for _, door := range doors() {
		if fault := s.Policy.Header(t.Context(), mail.Origin{Door: door}, bad); fault != nil {
			t.Errorf("nobody by %v: %v", door, fault)
		}
	}
	off := policy.New(policy.Options{Directory: s.Directory, RelayNetworks: networks})
	check(t, off, alice, "From: bob@hayauma.test", may)
	if err := s.Directory.RemoveIdentity(t.Context(), alice.Address, "*@guests.test"); err != nil {
		t.Fatal(err)
	}
	check(t, s.Policy, alice, "From: x@guests.test", mayNot)
	p := policy.New(policy.Options{
		Directory: account.New(account.Options{DB: away{s.DB}, IDs: s.IDs}), RelayNetworks: networks, CheckFrom: func() bool { return true },
	})
	check(t, p, alice, "From: bob@hayauma.test", "451 4.3.0")
}
