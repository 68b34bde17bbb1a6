package smtpd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// notInDialogs are refusals that depend on what happens between two steps of one command, by
// the test that has their words.
func notInDialogs() map[string]string {
	return map[string]string{
		"has other messages under way": "../policy/rate/rate_test.go",
		"We cannot look up how much":   "../policy/rate/rate_test.go",
	}
}

// TestEachRefusalHasADialog: whatever a door may refuse stands in a golden dialog.
func TestEachRefusalHasADialog(t *testing.T) {
	t.Parallel()
	const unknown = "\x00"
	dialogs, elsewhere := heardInDialogs(t), notInDialogs()
	for _, text := range testkit.Refusals(t, "..", unknown, "smtpd", "intake", "policy", "policy/*") {
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
