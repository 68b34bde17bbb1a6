package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

func TestWrongUsageOfPolicy(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, want string }{
		{"policy", "say which command: add, disable, enable, list, move, remove, test"},
		{"policy tets", "did you mean test?"},
		{"policy add", "NAME is missing; write 'hayauma policy add NAME --action ACTION CONDITION...'"},
		{"policy add x --door smtp", "say what the rule does: --action"},
		{"policy add x --action drop --door smtp", `--action "drop": use accept, reject`},
		{"policy add x --action accept", "no condition"},
		{"policy add x --action accept --from example.org", "write @example.org"},
		{"policy add x --action accept --network 10.0.0.0/40", `--network "10.0.0.0/40": use a network`},
		{"policy add x --action accept --door imap", "use smtp, submission"},
		{"policy add a/b --action accept --door smtp", "is no name"},
		{"policy add x --action tarpit --delay 1ms --door smtp", "whole seconds"},
		{"policy add x --action tarpit --delay 2m --door smtp", "1s to 60s"},
		{"policy add x --action accept --door smtp --at 0", "numbers begin at 1"},
		{"policy add x --action accept --door smtp --at 1 --before y", "one place only"},
		{"policy move x", "say where to"},
		{"policy move x --last --at 1", "say where to"},
		{"policy move x --at -1", "numbers begin at 1"},
		{"policy remove", "NAME is missing"},
		{"policy test", "--ip ADDRESS"},
		{"policy test --ip x", "write an address like 192.0.2.1"},
		{"policy test --ip ::1 --from a@", "--from"},
		{"policy test --ip ::1 --door x", "--door"},
	} {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			got := commandLine(t, "", strings.Fields(row.args)...)
			if got.code != exitUsage || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, row.want) {
				t.Errorf("exit %d, stdout %q, stderr %q, want %q", got.code, got.stdout, got.stderr, row.want)
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.do("", "domain", "add", "one.test")
	if rows := s.rows("policy", "list"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	for _, step := range []struct{ args, want string }{
		{"add casino --action reject --text No --from @casino.test --from @.bets.test", "added rule casino as number 1"},
		{"add office --action accept --network 192.0.2.0/24 --before casino", "added rule office as number 1"},
		{"add slow --action tarpit --delay 5s --reverse <> --at 1", "added rule slow as number 1"},
		{"add bulk --action tag --tag bulk --helo *dsl*", "added rule bulk as number 4"},
		{"move bulk --at 1", "rule bulk is number 1"},
		{"move office --last", "rule office is number 4"},
		{"disable office", "disabled rule office"},
	} {
		if got := s.do("", append([]string{"policy"}, strings.Fields(step.args)...)...); strings.TrimSpace(got) != step.want {
			t.Errorf("%s: %q, want %q", step.args, got, step.want)
		}
	}
	want := "#  RULE    ACTION        WITH  WHEN\n" +
		"1  bulk    tag           bulk  helo *dsl*\n" +
		"2  slow    tarpit        5s    reverse <>\n" +
		"3  casino  reject        No    from @casino.test, @.bets.test\n" +
		"4  office  accept (off)  -     network 192.0.2.0/24\n"
	if got := s.do("", "policy", "list"); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got := fmt.Sprint(s.rows("policy", "list")[2]); !strings.Contains(got, "conditions:map[from:[@casino.test @.bets.test]]") {
		t.Error(got)
	}
	s.fails("casino: a rule of this name exists already", "", "policy", "add", "casino", "--action", "accept", "--door", "smtp")
	s.fails("nobody: there is no such rule", "", "policy", "remove", "nobody")
	s.do("", "policy", "remove", "bulk")
	s.do("", "policy", "enable", "office")
	if rows := s.rows("policy", "list"); len(rows) != 3 || rows[2]["off"] != nil || rows[2]["position"] != 3.0 {
		t.Errorf("%v", rows)
	}
}

func TestPolicyTest(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.do("", "policy", "add", "slow", "--action", "tarpit", "--delay", "5s", "--reverse", "<>")
	s.do("", "policy", "add", "bulk", "--action", "tag", "--tag", "bulk", "--helo", "*dsl*")
	s.do("", "policy", "add", "friends", "--action", "accept", "--to", "friends@one.test")
	s.do("", "policy", "add", "casino", "--action", "reject", "--text", "No, thanks", "--from", "@casino.test")
	s.do("", "policy", "add", "odd", "--action", "quarantine", "--network", "198.51.100.0/24")
	got := s.do("", "policy", "test", "--ip", "192.0.2.1", "--helo", "dsl7.test", "--from", "a@casino.test", "--to", "bob@one.test")
	want := "#  RULE     ACTION      MATCHES      WHY\n" +
		"1  slow     tarpit      yes          reverse <> matches <>\n" +
		"2  bulk     tag         yes          helo dsl7.test matches *dsl*\n" +
		"3  friends  accept      no           to bob@one.test does not match friends@one.test\n" +
		"4  casino   reject      yes          from a@casino.test matches @casino.test\n" +
		"5  odd      quarantine  not reached  -\n" +
		"\nreject by rule casino, at RCPT: 550 5.7.1 No, thanks\ntags: bulk\ndelay: 5s\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	for args, want := range map[string]string{
		"--ip 192.0.2.1 --from a@casino.test":                    "\ndecided at RCPT: say --to to see it\n",
		"--ip 192.0.2.1 --from a@b.test --to bob@one.test":       "\nno rule decides: the mail goes on as if there were none\n",
		"--ip 192.0.2.1 --to friends@one.test --reverse a.test":  "\naccept by rule friends, at RCPT: no later rule is asked\n",
		"--ip 198.51.100.7 --to bob@one.test --reverse a.test":   "\nquarantine by rule odd, at RCPT: the mail is taken and held for the operator\n",
		"--ip 192.0.2.1 --helo \x1b[31mdsl --to bob@one.test":    "helo \uFFFD[31mdsl matches",
		"--ip 192.0.2.1 --to bob@one.test --certificate relay-1": "no rule decides",
	} {
		if got := s.do("", append([]string{"policy", "test"}, strings.Fields(args)...)...); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant %q", args, got, want)
		}
	}
	var trial map[string]any
	text := s.do("", "policy", "test", "--json", "--ip", "192.0.2.1", "--from", "a@casino.test", "--to", "bob@one.test")
	if err := json.Unmarshal([]byte(text), &trial); err != nil || trial["rule"] != "casino" || trial["action"] != "reject" ||
		trial["at"] != "RCPT" || trial["delay"] != 5.0 || len(trial["rules"].([]any)) != 5 {
		t.Errorf("%v: %s", err, text)
	}
}

// A running server takes changes and answers tests through its admin socket.
func TestPolicyOfARunningServer(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "policy") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	settings := "hostname = \"mx1.one.test\"\ndata_dir = \"data\"\n[listen]\nsmtp = [\"" + testkit.FreePort(t) + "\"]\n" +
		"submission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\n[storage]\nmin_free = \"1MB\"\n"
	s := &shell{t: t, config: filepath.Join(dir, "hayauma.toml")}
	if err := os.WriteFile(s.config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s.do("", "policy", "add", "casino", "--action", "reject", "--from", "@casino.test") // nobody serves yet
	var out, log buffer
	c := &cli{stdin: strings.NewReader(""), stdout: &out, stderr: &log, program: "hayauma"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- c.run(ctx, []string{"serve", "--config", s.config}) }()
	testkit.Eventually(t, 20*time.Second, "ready", func() bool { return out.String() != "" })
	test := []string{"policy", "test", "--ip", "192.0.2.1", "--from", "a@casino.test"}
	if got := s.do("", test...); !strings.Contains(got, "reject by rule casino, at MAIL") {
		t.Error(got)
	}
	s.do("", "policy", "add", "office", "--action", "accept", "--network", "192.0.2.0/24", "--before", "casino")
	if got := s.do("", test...); !strings.Contains(got, "accept by rule office") {
		t.Error(got)
	}
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit %d\n%s", code, log.String())
	}
	if rows := s.rows("policy", "list"); len(rows) != 2 || rows[0]["name"] != "office" {
		t.Errorf("%v", rows)
	}
}
