package explain

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hayauma/hayauma/internal/classify"
)

func open(t testing.TB) *Book {
	t.Helper()
	b, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keys are those that a record of each file may have.
func keys(file string) []string {
	switch file {
	case "advice":
		return []string{"name", "who", "fix", "fix.ja", "permanent"}
	case "classes":
		return []string{"name", "meaning", "meaning.ja", "fix", "fix.ja", "advice"}
	case "enhanced", "basic":
		return []string{"name", "class", "classes", "meaning", "meaning.ja", "fix", "fix.ja", "advice", "source", "date"}
	}
	return []string{"name", "provider", "class", "classes", "pattern", "example", "meaning", "meaning.ja", "fix", "fix.ja", "advice", "source", "date"}
}

func TestRecordsHaveOnlyKnownKeys(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, file := range append([]string{"advice", "enhanced", "basic", "classes"}, ruleFiles()...) {
		records, err := readFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			used[r["advice"]], used[r["permanent"]] = true, true
			for key := range r {
				if !strings.Contains(" "+strings.Join(keys(file), " ")+" ", " "+key+" ") {
					t.Errorf("%s.txt: %s: unknown key %q", file, r["name"], key)
				}
			}
		}
	}
	advice, err := readAdvice()
	if err != nil {
		t.Fatal(err)
	}
	for name := range advice {
		if !used[name] {
			t.Errorf("no row uses the advice %q", name)
		}
	}
}

// checkEntry finds what any row must not lack.
func checkEntry(e entry) []string {
	var wrong []string
	for name, text := range map[string]string{
		"meaning": e.meaning.EN, "meaning.ja": e.meaning.JA, "fix": e.remedy.fix.EN, "fix.ja": e.remedy.fix.JA,
		"permanent fix": e.refused.fix.EN, "permanent fix.ja": e.refused.fix.JA,
	} {
		japanese := strings.ContainsFunc(text, func(c rune) bool { return unicode.In(c, unicode.Hiragana, unicode.Katakana) })
		switch {
		case text == "":
			wrong = append(wrong, name+" is missing")
		case japanese != strings.HasSuffix(name, ".ja"):
			wrong = append(wrong, name+" is in the other language")
		case !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "。"):
			wrong = append(wrong, name+" is no sentence")
		}
	}
	for _, do := range []remedy{e.remedy, e.refused} {
		if _, known := do.who.Name(); !known {
			wrong = append(wrong, fmt.Sprintf("nobody is called %q", do.who))
		}
	}
	return append(wrong, checkSource(e.source)...)
}

// TestClassesAreSaid: what is said of a class has no source of its own, and each class
// of which a reply can be about is there.
func TestClassesAreSaid(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, c := range classify.All() {
		e, there := b.said["class-"+string(c)]
		if there == (c == classify.Other) {
			t.Errorf("%s: %t", c, there)
		}
		e.source = Source{Where: "RFC 5321"} // of the code that it stands for
		if wrong := checkEntry(e); there && len(wrong) > 0 {
			t.Errorf("%s: %s", e.name, wrong)
		}
	}
	if len(b.said) != len(classify.All())-1 {
		t.Errorf("%d classes", len(b.said))
	}
}

// checkSource wants an RFC, or a public page with a date.
func checkSource(s Source) []string {
	if regexp.MustCompile(`^RFC \d+$`).MatchString(s.Where) {
		return nil
	}
	if !regexp.MustCompile(`^https?://[^/\s]+\.[^/\s]+/\S+$`).MatchString(s.Where) {
		return []string{fmt.Sprintf("the source %q is no public page", s.Where)}
	}
	if at, err := time.Parse(time.DateOnly, s.Date); err != nil || at.Year() < 2006 {
		return []string{fmt.Sprintf("the source has no date: %q", s.Date)}
	}
	return nil
}

func TestRulesAreWhole(t *testing.T) {
	t.Parallel()
	b := open(t)
	names := map[string]bool{}
	for _, e := range b.rules {
		for _, w := range checkEntry(e) {
			t.Errorf("%s: %s", e.name, w)
		}
		if e.pattern == nil || e.example == "" || e.provider == "" {
			t.Errorf("%s: no pattern, example or provider", e.name)
		}
		if !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(e.name) || names[e.name] {
			t.Errorf("%s: the name stands twice or is malformed", e.name)
		}
		names[e.name] = true
		if e.class != 0 && e.class != '4' && e.class != '5' {
			t.Errorf("%s: class %c", e.name, e.class)
		}
		if strings.HasPrefix(e.source.Where, "RFC") {
			t.Errorf("%s: a reply of a provider needs a public page with a date", e.name)
		}
	}
	if len(b.rules) < 60 {
		t.Errorf("only %d rules", len(b.rules))
	}
}

func TestExamplesReachTheirOwnRule(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, e := range b.rules {
		if got := b.Reply(e.example); got.Rule != e.name {
			t.Errorf("%s: %q is explained by %s", e.name, e.example, got.Rule)
		}
		if got := b.Reply("Diagnostic-Code: smtp; " + e.example + " (in reply to RCPT TO command)"); got.Rule != e.name {
			t.Errorf("%s: in a bounce it is explained by %s", e.name, got.Rule)
		}
	}
}

func TestCodesAreWhole(t *testing.T) {
	t.Parallel()
	b := open(t)
	for name, e := range b.codes {
		for _, w := range checkEntry(e) {
			t.Errorf("%s: %s", name, w)
		}
		if !regexp.MustCompile(`^(X\.[0-7]\.\d{1,2}|[2-5]\d\d|[2-5]xx|unknown)$`).MatchString(name) {
			t.Errorf("%q is no code", name)
		}
	}
	if n := len(b.codes); n != 81+43 {
		t.Errorf("%d codes: one stands twice, or the count here is old", n)
	}
}

// TestNobodyWaitsForARefusedMessage: "it is tried again" is no advice for a reply
// after which nothing is tried, nor for one after which it has been given up.
func TestNobodyWaitsForARefusedMessage(t *testing.T) {
	t.Parallel()
	b := open(t)
	waits := regexp.MustCompile(`again by itself|Nothing has to be done:|自動で再送|数分後に再送`)
	for _, e := range slices.Concat(b.rules, slices.Collect(maps.Values(b.codes)), slices.Collect(maps.Values(b.said))) {
		if waits.MatchString(e.refused.fix.EN + e.refused.fix.JA) {
			t.Errorf("%s: %s", e.name, e.refused.fix.EN)
		}
	}
	for _, text := range []string{"451 4.7.1 Greylisted, come back", "450 4.2.1 The user you are trying to contact is receiving mail too quickly.", "421 x", "4.4.2"} {
		got := b.Reply(text)
		if !waits.MatchString(got.Fix.EN) || !waits.MatchString(got.Fix.JA) || waits.MatchString(got.GivenUp.EN+got.GivenUp.JA) {
			t.Errorf("%s: %s Given up: %s", text, got.Fix.EN, got.GivenUp.EN)
		}
	}
	for _, text := range []string{"550 5.4.310 x", "554 5.3.2 x", "5.7.28", "550 User is receiving email too quickly"} {
		if got := b.Reply(text); got.Who == Nobody || strings.Contains(got.Fix.EN, "by itself") {
			t.Errorf("%s: %s: %s", text, got.Who, got.Fix.EN)
		}
	}
	if got := b.Reply("4.4.2"); got.Who != Nobody {
		t.Errorf("4.4.2: %s", got.Who)
	}
}

// TestRegistryIsCovered holds the IANA registry as of 2024-12-06: the last
// detail of each subject.
func TestRegistryIsCovered(t *testing.T) {
	t.Parallel()
	b := open(t)
	for subject, last := range []int{0, 10, 4, 6, 7, 6, 10, 30} {
		for detail := range last + 1 {
			if name := fmt.Sprintf("X.%d.%d", subject, detail); b.codes[name].name == "" {
				t.Errorf("%s is missing", name)
			}
		}
	}
}

// TestBasicCodesAreCovered holds RFC 5321 §4.2.3 and the codes of later RFCs.
func TestBasicCodesAreCovered(t *testing.T) {
	t.Parallel()
	b := open(t)
	codes := "211 214 220 221 235 250 251 252 334 354 421 432 450 451 452 454 455 458 459 500 501 502 503 504 " +
		"521 523 525 530 534 535 538 550 551 552 553 554 555 556"
	for name := range strings.FieldsSeq(codes) {
		if b.codes[name].name == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestRecordsAreRead(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, text, want string }{
		{"defaults and their end", "source: a\n\nname: x\nsource: b\n\nname: y\n\ndate: c\n\nname: z", "[map[name:x source:b] map[name:y source:a] map[date:c name:z]]"},
		{"long values", "# c\nname: x\nfix: one\n  two\nfix.ja: 一\n  二\n", "[map[fix:one two fix.ja:一二 name:x]]"},
		{"nothing", "\n\n# only this\n", "[]"},
	} {
		got, err := readRecords(row.text)
		if err != nil || fmt.Sprint(got) != row.want {
			t.Errorf("%s: %v, %v", row.name, got, err)
		}
	}
	for _, text := range []string{"name", "name:", "name: x\nname: y", "  goes on"} {
		if _, err := readRecords(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestEntriesAreChecked(t *testing.T) {
	t.Parallel()
	if _, err := newEntry(record{"classes": "spam fool", "advice": "x"}, map[string]record{"x": {}}); err == nil {
		t.Error("a class that is not there was taken")
	}
	if _, err := newEntry(record{"advice": "x"}, nil); err == nil {
		t.Error("an advice that is not there was taken")
	}
	if _, err := newEntry(record{"pattern": "(", "advice": "x"}, map[string]record{"x": {}}); err == nil {
		t.Error("a pattern that cannot be read was taken")
	}
}

// TestClassesAreThoseOfTheTable: what is explained is classed as package classify has
// it in its table, also inside a bounce, where the stage is known.
func TestClassesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	b := open(t)
	table, err := os.ReadFile("../classify/testdata/explained.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(table)) {
		name, class, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = class
	}
	for _, e := range b.rules {
		if got := b.Reply(e.example).Class; want[e.name] != string(got) {
			t.Errorf("%s: %q is %s, want %s", e.name, e.example, got, want[e.name])
		}
		bounce := "Diagnostic-Code: smtp; " + e.example + " (in reply to RCPT TO command)"
		if got := b.Reply(bounce).Class; want[e.name] != "other" && want[e.name] != string(got) {
			t.Errorf("%s: in a bounce it is %s, want %s", e.name, got, want[e.name])
		}
	}
	for text, want := range map[string]classify.Class{
		"250 2.0.0 Ok": "", "354 Go ahead": "", "550 x": classify.Other, "550 x (in reply to RCPT TO command)": classify.BadMailbox,
		"552 x (in reply to MAIL FROM command)": classify.TooLarge, "550 x (in reply to end of DATA command)": classify.Policy,
	} {
		if got := b.Reply(text).Class; got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
