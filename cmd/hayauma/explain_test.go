package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/explain"
)

func TestExplainPrints(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, args, want string }{
		{"a known reply", "--lang en|550 Unknown user a@docomo.ne.jp", `reply       550 Unknown user a@docomo.ne.jp
from        NTT docomo
kind        permanent failure: the message is not tried again and comes back
            to its sender
class       bad-mailbox
meaning     There is no docomo mailbox with this address. Before 2025-03-13
            docomo said the same when a filter of the recipient refused the
            message.
who acts    the sender
what to do  Check the address letter by letter, and ask the recipient by
            another way for the right one. Take it off mailing lists: trying
            dead addresses again and again harms the reputation of your
            server.
source      https://github.com/sisimai/go-sisimai/issues/64 (2025-02-27)
`},
		{"a code, in pieces", "--lang|en|4.7.25|said|\x1b[31m", `reply       4.7.25 said [31m
kind        temporary failure: the sending server keeps the message and tries
            again
class       identity
meaning     The sending IP address has no reverse DNS name that leads back to
            it.
who acts    the administrator of the sending server or domain
what to do  Let the owner of the IP address (your provider) set a PTR record
            to a real host name of yours, and give that name an A or AAAA
            record back to the same address. Names that look like a dial-up
            line are often refused.
source      RFC 7372
`},
		{"in Japanese", "--lang|ja|552 5.2.2 full", `応答        552 5.2.2 full
種類        恒久エラー(再送されず、送信者にエラーメールが返されます)
分類        full
意味        メールボックスがいっぱいです。
対応者      受信者
対処        受信者がメールを削除するか、容量を増やす必要があります。別の手段で
            連絡し、空きができてから送り直してください。
出典        RFC 3463
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"explain"}, strings.Split(strings.Replace(row.args, "--lang ", "--lang|", 1), "|")...)
			got := commandLine(t, "", args...)
			if diff := cmp.Diff(row.want, got.stdout); diff != "" || got.code != exitDone || got.stderr != "" {
				t.Errorf("exit %d, stderr %q\n%s", got.code, got.stderr, diff)
			}
		})
	}
}

func TestExplainReadsABounce(t *testing.T) {
	t.Parallel()
	bounce := "It failed.\n\nDiagnostic-Code: smtp; 550 5.1.1 <a@x.test>: nobody\nDiagnostic-Code: smtp; 452 4.2.2\n    full\n"
	got := commandLine(t, bounce, "explain", "--json")
	var explained []explain.Explanation
	if err := json.Unmarshal([]byte(got.stdout), &explained); err != nil {
		t.Fatalf("%v in %q, stderr %q", err, got.stdout, got.stderr)
	}
	var rules []string
	for _, e := range explained {
		rules = append(rules, e.Rule+" "+string(e.Kind)+" "+string(e.Who))
	}
	if want := []string{"X.1.1 permanent sender", "X.2.2 temporary recipient"}; !slices.Equal(rules, want) {
		t.Errorf("%q", rules)
	}
	if text := commandLine(t, bounce, "explain", "--lang", "en").stdout; strings.Count(text, "\n\nreply ") != 1 {
		t.Errorf("the explanations are not set apart: %s", text)
	}
}

// TestExplainSaysWhatItLeavesOut: of a long text, not all of which is explained.
func TestExplainSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	for i := range 201 {
		fmt.Fprintf(&log, "550 5.1.1 user%d is unknown\n", i)
	}
	got := commandLine(t, log.String(), "explain", "--json")
	var explained []explain.Explanation
	if err := json.Unmarshal([]byte(got.stdout), &explained); err != nil || len(explained) != 100 {
		t.Fatalf("%v, %d replies", err, len(explained))
	}
	if got.code != exitDone || !strings.Contains(got.stderr, "100 replies are explained, and 101 more are not") {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
	if got := commandLine(t, "550 5.1.1 a\n"+strings.Repeat("x\n", maxBounce/2), "explain", "--json"); !strings.Contains(got.stderr, "only the first 1 MiB are read") {
		t.Errorf("a text that is cut: %q", got.stderr)
	}
}

func TestExplainWantsSomething(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, want string }{
		{"explain", "say which reply"},
		{"explain|", "say which reply"},
		{"explain|--lang|fr|550", `--lang "fr": write en or ja`},
	} {
		got := commandLine(t, " \n", strings.Split(row.args, "|")...)
		if got.code != exitUsage || !strings.Contains(got.stderr, row.want) || got.stdout != "" {
			t.Errorf("%q: exit %d, %q", row.args, got.code, got.stderr)
		}
	}
}

func TestExplainLanguage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		flag string
		env  map[string]string
		want explain.Language
	}{
		{"", nil, explain.English},
		{"", map[string]string{"LANG": "ja_JP.UTF-8"}, explain.Japanese},
		{"", map[string]string{"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, explain.English},
		{"", map[string]string{"LANG": "C", "LC_MESSAGES": "ja_JP.UTF-8"}, explain.Japanese},
		{"en", map[string]string{"LC_ALL": "ja_JP.UTF-8"}, explain.English},
		{"ja", nil, explain.Japanese},
	} {
		got, err := language(row.flag, func(name string) string { return row.env[name] })
		if err != nil || got != row.want {
			t.Errorf("%+v: %s, %v", row, got, err)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, text, want string }{
		{"words", "one two three", "one two|three"},
		{"a word too long", "a https://example.org/x b", "a|https://example.org/x|b"},
		{"Japanese", "送信者のアドレス", "送信者の|アドレス"},
		{"no mark at the beginning", "送信者の。アドレス", "送信者|の。アド|レス"},
		{"both", "送信 SPF を", "送信 SPF|を"},
		{"nothing", "", ""},
	} {
		if got := strings.Join(wrap(row.text, 8), "|"); got != row.want {
			t.Errorf("%s: %q", row.name, got)
		}
	}
}
