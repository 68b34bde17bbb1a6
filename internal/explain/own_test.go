package explain

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// rightCodes are the rows of codes that say what our sentences under them say.
func rightCodes() []string {
	return []string{
		"5.1.1", "5.1.3", "5.2.2", "4.2.4", "4any-full", "4.3.1", "4.3.2", "5.3.4", "5.4.6", "5.5.1", "5.5.2", "4.5.3", "5.5.4", "5.5.6",
		"5.6.7", "4.7.4", "5.7.8", "5.7.11", "5any-user-unknown",
		"5.1.2", "5.1.10", "4.4.2", "4.4.3", "4.4.4", "5.4.4", "4.4.6",
	}
}

// TestOurOwnReplies: what the doors say, and what is found where mail leaves, is explained
// by a row of ours, or by a code that says it.
func TestOurOwnReplies(t *testing.T) {
	t.Parallel()
	b := open(t)
	right := " " + strings.Join(rightCodes(), " ") + " "
	said := ownReplies(t)
	if len(said) < 70 {
		t.Fatalf("only %d replies were found: %q", len(said), said)
	}
	for _, text := range said {
		e := b.Reply(text)
		if e.Provider != "Hayauma" && !strings.Contains(right, fmt.Sprintf(" %c%s ", text[0], strings.TrimPrefix(e.Rule, "X"))) {
			t.Errorf("%-22s %-16s %-15s %s", e.Rule, e.Class, e.Who, text)
		}
	}
}

// ownReplies are the replies in the source of the doors and of what sends, with a word or a number where
// they say something that the source does not tell.
func ownReplies(t *testing.T) []string {
	t.Helper()
	made := []string{ // whose text is made elsewhere
		"421 4.7.0 Too many failed logins from your network, try again in about 10 minutes",
		"421 4.7.0 The password that you logged in with was changed or revoked, or has expired: log in again",
		"550 5.7.1 This mail is not accepted here", "450 4.7.1 This mail is not accepted at the moment, please try again later",
	}
	return append(made, testkit.Refusals(t, "..", "user@example.org", "smtpd", "intake", "policy", "policy/*", "account", "outbound")...)
}
