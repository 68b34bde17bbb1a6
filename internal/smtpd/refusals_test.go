package smtpd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// notInDialogs are refusals that depend on what happens between two steps of one command, by
// the test that has their words.
func notInDialogs() map[string]string {
	return map[string]string{
		"has other messages under way": "../policy/rate/rate_test.go",
		"We cannot look up how much":   "../policy/rate/rate_test.go",
	}
}

// madeElsewhere are refusals whose text is no literal where the reply is made.
func madeElsewhere() []string {
	return []string{
		"535 5.7.8 " + account.Refusal(account.ErrCredentials), "535 5.7.8 " + account.Refusal(sasl.ErrBinding),
		"421 4.7.0 Too many failed logins from your network, try again in about 10 minutes", "421 4.7.0 " + account.LoginEnded,
		"550 5.7.1 This mail is not accepted here", "450 4.7.1 This mail is not accepted at the moment, please try again later",
		"451 4.3.0 Temporary failure here, please try again later",
	}
}

// TestEachRefusalHasADialog: whatever a session may refuse stands in a golden dialog.
func TestEachRefusalHasADialog(t *testing.T) {
	t.Parallel()
	const unknown = "\x00"
	dialogs, elsewhere := heardInDialogs(t), notInDialogs()
	for _, text := range append(testkit.Refusals(t, "..", unknown, "smtpd", "intake", "policy", "policy/*"), madeElsewhere()...) {
		if regexp.MustCompile("(?m)^" + strings.ReplaceAll(regexp.QuoteMeta(text), unknown, ".+") + "$").MatchString(dialogs) {
			continue
		}
		found := false
		for words, file := range elsewhere {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(text, words) && strings.Contains(string(source), words)
		}
		if !found {
			t.Errorf("in no dialog: %q", text)
		}
	}
}

// heardInDialogs are the replies of all golden dialogs, one on a line.
func heardInDialogs(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var heard strings.Builder
	reply := regexp.MustCompile(`(?m)^S\d*([:~]) (.*)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reply.FindAllStringSubmatch(string(text), -1) {
			line := m[2]
			if m[1] == "~" {
				line = strings.ReplaceAll(line, `\`, "")
			}
			heard.WriteString(line + "\n")
		}
	}
	return heard.String()
}
