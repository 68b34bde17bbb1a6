package explain

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/classify"
)

// TestRulesAgreeWithTheClasses: a rule that explains a real reply is about the class that
// the reply must get. Replies without a rule are explained by their class anyway.
func TestRulesAgreeWithTheClasses(t *testing.T) {
	t.Parallel()
	b := open(t)
	about := map[string][]classify.Class{}
	var explained int
	for _, e := range b.rules {
		about[e.name] = e.classes
		if class := b.Reply(e.example).Class; len(e.classes) > 0 && !slices.Contains(e.classes, class) {
			t.Errorf("%s is about %s, and its example is %s", e.name, e.classes, class)
		}
	}
	for class, text := range realReplies(t) {
		got := b.Reply(text)
		classes, byRule := about[got.Rule]
		if !byRule {
			continue
		}
		explained++
		if len(classes) > 0 && !slices.Contains(classes, class) {
			t.Errorf("%s, which is about %s, explains a reply that is %s: %s", got.Rule, classes, class, text)
		}
		if got.Class != class {
			t.Errorf("%s explains a reply that is taken for %s, not for %s: %s", got.Rule, got.Class, class, text)
		}
	}
	if explained < 150 {
		t.Errorf("rules explain only %d replies", explained)
	}
}

// realReplies are the collection of package classify, without those whose class depends
// on the host that said them, which nobody tells here.
func realReplies(t testing.TB) func(yield func(classify.Class, string) bool) {
	t.Helper()
	table, err := os.ReadFile("../classify/testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(classify.Class, string) bool) {
		for line := range strings.Lines(string(table)) {
			name, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
			class, isReply := classify.Parse(name)
			if isReply && !strings.HasPrefix(text, "@") && !yield(class, text) {
				return
			}
		}
	}
}
