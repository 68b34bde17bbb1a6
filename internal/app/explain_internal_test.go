package app

import (
	"strings"
	"testing"
)

// TestReportsDoNotPromiseToTryAgain: what a sender reads of a temporary reply for which
// his message was given up is what to do now; nobody tries again.
func TestReportsDoNotPromiseToTryAgain(t *testing.T) {
	t.Parallel()
	explain := (&app{}).explainer()
	for _, reply := range []string{
		"451 4.7.1 Greylisted, come back", "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
		"421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address.", "421 4.4.2 timed out",
	} {
		for language, bad := range map[string][]string{"en": {"Nothing has to be done", "by itself"}, "ja": {"対応は必要ありません", "自動で再送", "数分後に再送"}} {
			said := explain(reply, language)
			for _, words := range bad {
				if strings.Contains(said, words) || said == "" {
					t.Errorf("%s: %s", reply, said)
				}
			}
		}
	}
}
