package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
)

// shell runs command lines on the stores of a server that does not run.
type shell struct {
	t      *testing.T
	config string
}

// outcome is how a command line ended.
type outcome struct {
	stdout, stderr string
	code           int
}

func newShell(t *testing.T, settings string) *shell {
	t.Helper()
	s := &shell{t: t, config: filepath.Join(t.TempDir(), "hayauma.toml")}
	text := "hostname = \"mx1.one.test\"\ndata_dir = \"data\"\n" + settings + "\n[storage]\nmin_free = \"1MB\"\n"
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// commandLine runs a command line as it is.
func commandLine(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	c := &cli{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, program: "hayauma"}
	code := c.run(t.Context(), args)
	return outcome{out.String(), errs.String(), code}
}

// try runs a command with the shell's settings.
func (s *shell) try(stdin string, args ...string) outcome {
	s.t.Helper()
	return commandLine(s.t, stdin, append([]string{"--config", s.config}, args...)...)
}

// do runs a command that must succeed and returns what it printed.
func (s *shell) do(stdin string, args ...string) string {
	s.t.Helper()
	got := s.try(stdin, args...)
	if got.code != exitDone || got.stderr != "" {
		s.t.Fatalf("%q: exit %d, stderr %q", args, got.code, got.stderr)
	}
	return got.stdout
}

// rows runs a listing with --json.
func (s *shell) rows(args ...string) []map[string]any {
	s.t.Helper()
	var rows []map[string]any
	text := s.do("", append(args, "--json")...)
	if err := json.Unmarshal([]byte(text), &rows); err != nil || rows == nil {
		s.t.Fatalf("%q: %v in %s", args, err, text)
	}
	return rows
}

func (s *shell) fails(want string, stdin string, args ...string) {
	s.t.Helper()
	got := s.try(stdin, args...)
	if got.code != exitFailed || !strings.HasPrefix(got.stderr, "hayauma: ") || !strings.Contains(got.stderr, want) || got.stdout != "" {
		s.t.Errorf("%q: exit %d, stdout %q, stderr %q, want %q", args, got.code, got.stdout, got.stderr, want)
	}
}

// house is a domain with two accounts.
func (s *shell) house() {
	s.t.Helper()
	s.do("", "domain", "add", "one.test")
	s.do("long enough\n", "account", "add", "alice@one.test", "--password-stdin")
	s.do("long enough\r\nsecond line", "account", "add", "bob@one.test", "--password-stdin")
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, want string }{
		{"", "say which command: account, alias"},
		{"nope", `there is no command "nope"`},
		{"domian add x.test", "did you mean domain?"},
		{"login list --limit 0", "--limit 0: must be from 1 to 10000"},
		{"domain", "say which command: add, limit, list, recipient, remove, set"},
		{"domain ad x.test", "did you mean add?"},
		{"domain add", "DOMAIN is missing; write 'hayauma domain add DOMAIN'"},
		{"domain add a.test b.test", `takes no argument "b.test"`},
		{"domain add a_b@c", "write it like example.org"},
		{"domain list --jsn", "unknown flag: --jsn"},
		{"domain list extra", `takes no argument "extra"`},
		{"account add alice --password-stdin", "write it like user@example.org"},
		{"account add alice@one.test", "--password-stdin"},
		{"account add alice@one.test secret --password-stdin", `takes no argument "secret"`},
		{"account add alice@one.test --password-stdin", "the first line of standard input is empty"},
		{"route set r --host h.test --proxy-password-stdin", "the first line of standard input is empty"},
		{"account passwd alice@one.test", "--password-stdin"},
		{"account set alice@one.test", "--quota SIZE"},
		{"account set alice@one.test --language", "needs an argument"},
		{"account set alice@one.test --quota 5XB", "like \"50MB\""},
		{"account set alice@one.test --quota -1", "like \"50MB\""},
		{"alias add a@one.test", "TARGET... is missing"},
		{"alias add *@ b@one.test", "*@example.org"},
		{"identity add a@one.test", "ADDRESS is missing"},
		{"identity add a@one.test *@", "*@example.org"},
		{"identity add a b@one.test", "user@example.org"},
		{"recall one", "it stands in the reply to DATA"},
		{"alias add a@one.test b", "user@example.org"},
		{"ban clear", "ADDRESS|NETWORK|--all is missing"},
		{"ban clear a@one.test --all", `either "a@one.test" or --all`},
		{"ban clear a b", `takes no argument "b"`},
		{"outbound explain", "ADDRESS|DOMAIN is missing"},
		{"outbound explain a@b@", "write it like"},
		{"outbound limit x.test --despite-policy", "goes with --tls none"},
		{"outbound limit x.test --tls required --despite-policy", "goes with --tls none"},
		{"outbound events --since soon", "30m, 2h or 3d"},
		{"outbound reply remove x", "the number of a rule"},
		{"queue retry", "say which: ids, --all"},
		{"queue hold --older soon", "30m, 2h or 3d"},
		{"queue hold --older -2h", "30m, 2h or 3d"},
		{"queue delete --all --reply busy", "either ids"},
		{"queue delete --state asleep", "deferred"},
		{"queue bounce --class fool", "bad-mailbox"},
		{"queue delete --all --class full", "either ids"},
		{"queue hold --all 0000000000000", "either ids"},
		{"queue delete --all --domain a.test", "either ids"},
		{"queue delete x", "not an id"},
		{"queue delete --sender x", "--sender"},
		{"queue delete --domain ..", "--domain"},
		{"queue list --state asleep", "deferred"},
		{"queue list --limit -1", "negative"},
		{"queue show x", "not an id"},
		{"trace", "MESSAGE is missing"},
		{"trace a b", `takes no argument "b"`},
		{"send --loud", "send does not know --loud"},
		{"send -Z", "send does not know -Z"},
		{"send -f", "-f needs a value"},
		{"send -bs", "only sends"},
		{"send -q", "queue retry"},
		{"send --config", "needs the name of a file"},
		{"bench", "say what to do"},
		{"help nope", `there is no command "nope"`},
		{"serve --config", "flag needs an argument"},
		{"serve now", `takes no argument "now"`},
		{"version 2", `takes no argument "2"`},
	} {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			got := commandLine(t, "", strings.Fields(row.args)...)
			if got.code != exitUsage || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 ||
				!strings.HasPrefix(got.stderr, "hayauma: ") || !strings.Contains(got.stderr, row.want) {
				t.Errorf("exit %d, stdout %q, stderr %q, want %q", got.code, got.stdout, got.stderr, row.want)
			}
		})
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--help": "Exit codes", "help": "Exit codes", "help queue list": "--state", "queue --help": "bounce",
		"account add -h": "--password-stdin", "send --help": "-t ", "send -h": "-t ", "bench --help": "--compare",
		"version": version, "--version": "hayauma " + version,
	} {
		if got := commandLine(t, "", strings.Fields(args)...); got.code != exitDone || got.stderr != "" || !strings.Contains(got.stdout, want) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", args, got.code, got.stdout, got.stderr)
		}
	}
}

func TestSendmailName(t *testing.T) {
	t.Parallel()
	if got := arguments([]string{"/usr/sbin/sendmail", "-t"}); len(got) != 2 || got[0] != "send" {
		t.Errorf("%q", got)
	}
	if got := arguments([]string{"bin/hayauma", "send"}); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "nothing.toml")
	got := commandLine(t, "", "domain", "list", "--config", missing)
	if got.code != exitFailed || !strings.Contains(got.stderr, "--config") || !strings.Contains(got.stderr, "nothing.toml") {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	s := newShell(t, "[limits]\nrecipents = 5\n[queue]\nlifetime = \"x\"")
	got = s.try("", "check")
	if got.code != exitFailed || !strings.Contains(got.stderr, "did you mean limits.recipients?") {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	for text := range strings.Lines(got.stderr) {
		if !strings.HasPrefix(text, "hayauma: ") {
			t.Errorf("line %q", text)
		}
	}
}

func TestConfigStandsAnywhere(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.do("", "domain", "add", "one.test")
	for _, args := range [][]string{
		{"--config", s.config, "domain", "list", "--json"},
		{"domain", "--config", s.config, "list", "--json"},
		{"domain", "list", "--config=" + s.config, "--json"},
		{"domain", "list", "--json", "--config", s.config},
	} {
		if got := commandLine(t, "", args...); got.code != exitDone || !strings.Contains(got.stdout, "one.test") {
			t.Errorf("%q: exit %d, %q", args, got.code, got.stderr)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[auth]\nallow_cleartext = true\n[dns]\nresolver = \"127.0.0.1:9\"\n")
	if got := s.do("", "check"); !strings.Contains(got, "warning: auth.allow_cleartext") || !strings.Contains(got, "the settings are fine") {
		t.Errorf("%q", got)
	}
	s.house()
	var found checked
	if err := json.Unmarshal([]byte(s.do("", "check", "--deep", "--json")), &found); err != nil {
		t.Fatal(err)
	}
	if !found.Deep || len(found.Faults) != 0 || len(found.Warnings) != 1 || found.Config != s.config {
		t.Errorf("%+v", found)
	}
}

func TestAppPasswords(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	made := strings.TrimSpace(s.do("", "account", "app-password", "add", "bob@one.test", "phone", "--scope", "imap,smtp", "--network", "::ffff:192.0.2.7", "--expires", "90d"))
	if len(made) != 26 {
		t.Errorf("made %q", made)
	}
	s.fails("exists already", "", "account", "app-password", "add", "bob@one.test", "phone")
	s.fails("no such account", "", "account", "app-password", "add", "carol@one.test", "phone")
	s.fails("one of the scopes", "", "account", "app-password", "add", "bob@one.test", "pad", "--scope", "ftp")
	s.fails("no network", "", "account", "app-password", "add", "bob@one.test", "pad", "--network", "here")
	s.fails("no network", "", "account", "app-password", "add", "bob@one.test", "pad", "--network", "::ffff:192.0.2.0/120")
	if got := fmt.Sprint(s.rows("account", "app-password", "list", "bob@one.test")); strings.Contains(got, made) ||
		!strings.Contains(got, "name:phone networks:[192.0.2.7/32] scopes:[imap smtp]") || !strings.Contains(got, "expires:") {
		t.Error(got)
	}
	s.do("", "account", "app-password", "revoke", "bob@one.test", "phone")
	s.fails("no such app password", "", "account", "app-password", "revoke", "bob@one.test", "phone")
	if rows := s.rows("account", "app-password", "list", "bob@one.test"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
}

func TestDomainsAccountsAliases(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.do("", "domain", "add", "early.test")
	s.do("", "domain", "remove", "early.test")
	if rows := s.rows("domain", "list"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	s.fails("not ours", "long enough", "account", "add", "alice@one.test", "--password-stdin")
	s.house()
	s.fails("exists already", "", "domain", "add", "ONE.test")
	s.fails("8 to 1024", "short\n", "account", "add", "carol@one.test", "--password-stdin")
	s.fails("no such account", "long enough\n", "account", "passwd", "carol@one.test", "--password-stdin")
	s.do("another one\n", "account", "passwd", "bob@one.test", "--password-stdin")
	s.do("", "account", "set", "bob@one.test", "--quota", "5GB")
	s.do("", "alias", "add", "*@one.test", "bob@one.test")
	s.do("", "alias", "add", "team@one.test", "alice@one.test", "someone@else.test")

	if got := fmt.Sprint(s.rows("domain", "list")); got != "[map[accounts:2 aliases:2 name:one.test]]" {
		t.Error(got)
	}
	accounts := s.rows("account", "list")
	if len(accounts) != 2 {
		t.Fatalf("%v", accounts)
	}
	for _, key := range []string{"address", "id", "quota", "used", "messages", "created"} {
		if accounts[1][key] == nil {
			t.Errorf("no %q in %v", key, accounts[1])
		}
	}
	if accounts[1]["address"] != "bob@one.test" || accounts[1]["quota"] != 5e9 {
		t.Errorf("%v", accounts[1])
	}
	if got := fmt.Sprint(s.rows("alias", "list")); !strings.Contains(got, "address:*@one.test targets:[bob@one.test]") ||
		!strings.Contains(got, "alice@one.test someone@else.test") {
		t.Error(got)
	}
	table := strings.Split(s.do("", "account", "list"), "\n")
	if !strings.HasPrefix(table[0], "ACCOUNT ") || strings.Index(table[0], "QUOTA") != strings.Index(table[2], "5GB") {
		t.Errorf("%q", table)
	}

	s.fails("still has accounts", "", "domain", "remove", "one.test")
	s.do("", "alias", "remove", "*@one.test")
	s.fails("no such alias", "", "alias", "remove", "*@one.test")
	s.do("", "alias", "remove", "team@one.test")
	s.do("", "account", "remove", "alice@one.test")
	s.do("", "account", "remove", "bob@one.test")
	s.do("", "domain", "remove", "one.test")
	if rows := s.rows("account", "list"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
}

// Of what leads to nobody the commands warn: the typo, the loop, the account that goes.
func TestAliasesToNobody(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	for _, row := range []struct{ args, warning string }{
		{"alias add team@one.test alice@one.test bobb@one.test", "hayauma: bobb@one.test leads to nobody, and senders are told so: make that account or alias, or add team@one.test again without it\n"},
		{"alias add self@one.test self@one.test", "hayauma: self@one.test leads to nobody"},
		{"alias add pair@one.test alice@one.test Bob+x@one.test far@else.test", ""},
		{"account remove bob@one.test", "hayauma: the alias pair@one.test still names bob@one.test, which leads to nobody now"},
		{"alias add *@one.test alice@one.test", ""},
		{"alias add team@one.test bobb@one.test", ""}, // the catch-all has it
	} {
		got := s.try("", strings.Fields(row.args)...)
		if got.code != exitDone || got.stdout == "" || !strings.Contains(got.stderr, row.warning) || (got.stderr == "") != (row.warning == "") {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", row.args, got.code, got.stdout, got.stderr)
		}
	}
}

// TestMailOfARemovedAccount: who removes an account hears what of its mail is left, and
// how to go on with it.
func TestMailOfARemovedAccount(t *testing.T) {
	t.Parallel()
	eve, err := addressArgument("eve@one.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		left control.AccountLeft
		want string
	}{
		{control.AccountLeft{ID: "ID"}, ""},
		{control.AccountLeft{ID: "ID", Waiting: 1}, "hayauma: what eve@one.test sent still waits in the queue for 1 recipient, and it goes on: " +
			"'hayauma queue list --account ID' shows it, 'hayauma queue delete --account ID' takes it out\n"},
		{control.AccountLeft{ID: "ID", Waiting: 3, Held: 2}, "hayauma: what eve@one.test sent still waits in the queue for 3 recipients, and it is on hold for 2 of them: " +
			"'hayauma queue list --account ID' shows it, 'hayauma queue release --account ID' lets go on what is on hold, " +
			"'hayauma queue delete --account ID' takes it out\n"},
	} {
		var said bytes.Buffer
		(&cli{stderr: &said}).warnOfLeft(eve, row.left)
		if said.String() != row.want {
			t.Errorf("%+v: %q, want %q", row.left, said.String(), row.want)
		}
	}
}

func TestSendAndTrace(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	said := s.do("To: Bob <bob@one.test>\nCc: ghost@one.test (nobody)\nBcc: alice@one.test\nMessage-ID: <m1@x.test>\nSubject: =?utf-8?B?5pep6aas?=\n\nbody\n.\nnot sent\n",
		"alias", "list") // a command that does not read leaves its input alone
	if said != "ALIAS  TARGETS\n" {
		t.Errorf("%q", said)
	}
	s.fails("ghost@one.test", "To: bob@one.test\nCc: ghost@one.test\n\nx\n", "send", "-t")
	said = s.do("To: Bob <bob@one.test>\nBcc: alice@one.test\nMessage-ID: <m1@x.test>\nSubject: =?utf-8?B?5pep6aas?=\n\nbody\n.\nnot sent\n",
		"send", "-t", "-v", "-f", "alice@one.test")
	words := strings.Fields(said)
	if len(words) < 2 || !strings.Contains(said, "2 recipients") {
		t.Fatalf("%q", said)
	}
	for _, a := range s.rows("account", "list") {
		if a["messages"] != 1.0 {
			t.Errorf("%v", a)
		}
	}
	for _, ref := range []string{words[1], "<m1@x.test>", "m1@x.test"} {
		got := s.do("", "trace", ref)
		for _, want := range []string{"message " + words[1], "accepted", "sender      alice@one.test", "subject     早馬", "filed bob@one.test", "mailbox     INBOX, uid 1"} {
			if !strings.Contains(got, want) {
				t.Errorf("trace %s lacks %q:\n%s", ref, want, got)
			}
		}
	}
	timelines := s.rows("trace", "m1@x.test")
	if len(timelines) != 1 || timelines[0]["message"] != words[1] {
		t.Fatalf("%v", timelines)
	}
	first := timelines[0]["events"].([]any)[0].(map[string]any)
	if first["kind"] != "accepted" || first["at"] == nil || first["detail"].(map[string]any)["from"] != "alice@one.test" {
		t.Errorf("%v", first)
	}
	s.fails("no message is known", "", "trace", "nothing@x.test")
	if got := s.try("Subject: x\n\n", "send"); got.code != exitUsage || !strings.Contains(got.stderr, "no recipients") {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
}

func TestOutboundExplain(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[outbound]\nsmart_host = \"127.0.0.7:2526\"\nsmart_host_tls = \"none\"\nper_destination = 7\n")
	s.house()
	if got := s.do("", "outbound", "explain", "alice@one.test"); got != "one.test is served here: nothing goes out\n" {
		t.Errorf("%q", got)
	}
	want := `domain  far.test
by      smart host
hosts   127.0.0.7  127.0.0.7:2526
TLS     never
with    127.0.0.7: 0 attempts under way of 5 that it is thought to bear now
source  127.0.0.1 (no pool: the system chooses it)
limits  connections: 7 (outbound.per_destination)
        messages per connection: 100 (outbound.messages_per_connection)
        recipients: 100 (RFC 5321 §4.5.3.1.8)
        rate: none (nothing is known)
        retry: 5m 15m 30m 1h 2h 4h 8h (queue.retry)
        given up after: 5d (queue.lifetime)
`
	if got := s.do("", "outbound", "explain", "x@far.test"); got != want {
		t.Errorf("%s", got)
	}
	s.do("", "outbound", "limit", "127.0.0.7", "--connections", "2", "--rate", "60/min")
	got := s.do("", "outbound", "explain", "x@far.test")
	for _, want := range []string{"of 2 that it is", "connections: 2 (set on ", "rate: 60/min (set on "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := s.do("", "outbound", "limit", "127.0.0.7", "--unset", "rate,connections"); !strings.Contains(strings.Join(strings.Fields(got), " "), "connections 7 outbound.per_destination") {
		t.Errorf("%s", got)
	}
	if rows := s.rows("outbound", "events"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	s.fails("is no provider", "", "outbound", "events", "--provider", "a b")
	if got := s.do("", "outbound", "limit", "x.test", "--tls", "none", "--despite-policy"); !strings.Contains(strings.Join(strings.Fields(got), " "), "tls none despite-policy set on ") {
		t.Errorf("%s", got)
	}
	s.fails("write none, opportunistic, required or verified", "", "outbound", "limit", "x.test", "--tls", "maybe")
	s.fails("write messages in a time", "", "outbound", "limit", "*", "--rate", "fast")
	s.fails("there is no limit", "", "outbound", "limit", "*", "--unset", "colour")
	if got := s.do("", "outbound", "limit", "outlook.com"); !strings.Contains(got, "KumoCorp/kumomta") {
		t.Errorf("%s", got)
	}
	if got := s.do("", "outbound", "explain", "x@far.test", "--json"); !strings.Contains(got, `"127.0.0.7:2526"`) {
		t.Errorf("%s", got)
	}
}

// TestRoutePasswords: both come by standard input, and neither is shown by any command.
func TestRoutePasswords(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	set := []string{"route", "set", "r", "--host", "h.test", "--user", "me", "--proxy", "socks5://us@127.0.0.1:1080"}
	s.fails("go together", "", set...)
	s.do("hunter2\r\nhunter3\n", append(set, "--password-stdin", "--proxy-password-stdin")...)
	s.do("", append(set, "--tls", "implicit")...)
	shown := func() string {
		return s.do("", "route", "list") + strings.Join(strings.Fields(s.do("", "route", "list", "--json")), "")
	}
	if got := shown(); strings.Contains(got, "hunter") || !strings.Contains(got, `"has_secret":true`) || !strings.Contains(got, `"proxy":"socks5://us@127.0.0.1:1080","has_proxy_secret":true`) {
		t.Errorf("%s", got)
	}
	s.do("hunter4\n", "route", "set", "r", "--host", "h.test", "--tls", "none", "--proxy", "http://us@127.0.0.1:3128", "--proxy-password-stdin")
	if got := shown(); strings.Contains(got, "hunter") || strings.Contains(got, `"has_secret"`) || !strings.Contains(got, `"has_proxy_secret":true`) {
		t.Errorf("%s", got)
	}
	s.fails("write a proxy like socks5:", "", "route", "set", "r", "--host", "h.test", "--proxy", "socks5://us:hunter2@127.0.0.1:1080")
}

func TestQueue(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[queue]\nhold = true\n")
	s.house()
	s.do("Subject: one\n\nbody\n", "send", "-f", "alice@one.test", "x@far.test", "y@away.test")
	s.do("Subject: two\n\nbody\n", "send", "-f", "<>", "z@far.test")
	want := "\nhold    new mail is held by the setting queue.hold; 'hayauma queue release' lets it go\nby      "
	if got := s.do("", "outbound", "explain", "x@[127.0.0.1]", "--account", "alice@one.test"); !strings.Contains(got, want) {
		t.Errorf("%q", got)
	}
	rows := s.rows("queue", "list")
	if len(rows) != 3 {
		t.Fatalf("%v", rows)
	}
	for _, r := range rows {
		for _, key := range []string{"message", "id", "state", "sender", "recipient", "size", "received", "expires", "attempts"} {
			if r[key] == nil {
				t.Errorf("no %q in %v", key, r)
			}
		}
		if r["state"] != "held" || r["why"] != "held by the setting queue.hold" {
			t.Errorf("%v", r)
		}
	}
	for args, want := range map[string]int{
		"--state held": 3, "--state queued": 0, "--domain far.test": 2, "--sender alice@one.test": 2, "--sender <>": 1,
		"--domain far.test --sender <>": 1, "--limit 1 --sender <>": 1, "--all": 3, rows[0]["id"].(string): 1,
	} {
		if got := s.rows(append([]string{"queue", "list"}, strings.Fields(args)...)...); len(got) != want {
			t.Errorf("%s: %d rows, want %d", args, len(got), want)
		}
	}
	message := rows[0]["message"].(string)
	if got := s.do("", "queue", "show", message); !strings.Contains(got, "Subject: ") || !strings.Contains(got, "held") || strings.Contains(got, "body") {
		t.Errorf("%q", got)
	}
	for _, step := range []struct{ args, want string }{
		{"release --domain away.test --older 1h", "0 recipients released"},
		{"release --domain away.test --dry-run", "1 recipient would be chosen; nothing was changed. " +
			"'hayauma queue list' with the same options shows what the queue holds of them."},
		{"hold --reply busy", "0 recipients held"},
		{"release --domain away.test", "1 recipient released"},
		{"hold --domain away.test", "1 recipient held"},
		{"release --all", "3 recipients released"},
		{"retry --domain far.test", "0 recipients will be tried now"}, // they are due already
		{"delete --sender alice@one.test", "2 recipients deleted"},
		{"bounce --all", "1 recipient given up; nobody is told, since there is no sender, or none who wants to hear"},
	} {
		if got := s.do("", append([]string{"queue"}, strings.Fields(step.args)...)...); strings.TrimSpace(got) != step.want {
			t.Errorf("%s: %q, want %q", step.args, got, step.want)
		}
	}
	s.fails("no such message", "", "queue", "retry", message)
}
