package explain

import (
	"embed"
	"fmt"
	"regexp"
	"strings"

	"github.com/hayauma/hayauma/internal/classify"
)

//go:embed data/*.txt
var files embed.FS

// unknownRow answers where nothing else does.
const unknownRow = "unknown"

// ruleFiles are the files of known replies, in the order in which they are
// asked: what is most specific comes first.
func ruleFiles() []string {
	return []string{"own", "gmail", "microsoft", "yahoo", "apple", "japan", "filters", "providers", "blocklists", "servers"}
}

// entry is one row.
type entry struct {
	name, provider  string
	class           byte           // '2', '4' or '5'; 0 = any
	pattern         *regexp.Regexp // of a rule: matches the reply in one line
	example         string         // of a rule: a reply that it is for
	meaning         Text
	classes         []classify.Class // what it is about; none = what the code alone, or the example, is classed as
	remedy, refused remedy           // what to do; refused: where nobody tries again
	source          Source
}

// remedy is who must act, and how.
type remedy struct {
	who Actor
	fix Text
}

// Open reads the rows, which are part of the program.
func Open() (*Book, error) {
	advice, err := readAdvice()
	if err != nil {
		return nil, err
	}
	classes, err := classify.New()
	if err != nil {
		return nil, err
	}
	b := &Book{codes: map[string]entry{}, said: map[string]entry{}, classes: classes}
	for _, name := range ruleFiles() {
		rows, err := readEntries(name, advice)
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			b.rules = append(b.rules, b.withClass(e))
		}
	}
	for _, f := range []struct {
		name string
		into map[string]entry
	}{{"enhanced", b.codes}, {"basic", b.codes}, {"classes", b.said}} {
		rows, err := readEntries(f.name, advice)
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			f.into[e.name] = e
		}
	}
	if _, found := b.codes[unknownRow]; !found {
		return nil, fmt.Errorf("the row %q is missing", unknownRow)
	}
	return b, nil
}

// withClass is a rule with what it is about, where it does not say so itself. One whose
// example does not tell may be about anything.
func (b *Book) withClass(e entry) entry {
	r := parse(e.example)
	class := b.classes.Of(classify.Reply{Code: r.code, Enhanced: r.enhanced, Text: r.text})
	if len(e.classes) == 0 && class != classify.Other {
		e.classes = []classify.Class{class}
	}
	return e
}

func readFile(name string) ([]record, error) {
	text, err := files.ReadFile("data/" + name + ".txt")
	if err != nil {
		return nil, err
	}
	records, err := readRecords(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s.txt: %w", name, err)
	}
	return records, nil
}

// readAdvice reads what rows share: who must act, and how.
func readAdvice() (map[string]record, error) {
	records, err := readFile("advice")
	if err != nil {
		return nil, err
	}
	advice := map[string]record{}
	for _, r := range records {
		advice[r["name"]] = r
	}
	return advice, nil
}

func readEntries(file string, advice map[string]record) ([]entry, error) {
	records, err := readFile(file)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(records))
	for _, r := range records {
		e, err := newEntry(r, advice)
		if err != nil {
			return nil, fmt.Errorf("%s.txt: %s: %w", file, r["name"], err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// newEntry makes a row of a record.
func newEntry(r record, advice map[string]record) (entry, error) {
	shared, found := advice[r["advice"]]
	if !found {
		return entry{}, fmt.Errorf("there is no advice %q", r["advice"])
	}
	e := entry{
		name: r["name"], provider: r["provider"], example: r["example"],
		meaning: Text{r["meaning"], r["meaning.ja"]},
		remedy:  newRemedy(r, shared),
		source:  Source{r["source"], r["date"]},
	}
	for name := range strings.FieldsSeq(r["classes"]) {
		c, ok := classify.Parse(name)
		if !ok {
			return entry{}, fmt.Errorf("there is no class %q", name)
		}
		e.classes = append(e.classes, c)
	}
	e.refused = e.remedy
	if name := shared["permanent"]; name != "" {
		e.refused = newRemedy(r, advice[name])
	}
	if c := r["class"]; c != "" {
		e.class = c[0]
	}
	if r["pattern"] == "" {
		return e, nil
	}
	var err error
	e.pattern, err = regexp.Compile("(?i)" + r["pattern"])
	return e, err
}

// newRemedy puts what a row says about the fix before what it shares with others.
func newRemedy(r, shared record) remedy {
	return remedy{
		who: Actor(shared["who"]),
		fix: Text{strings.TrimSpace(r["fix"] + " " + shared["fix"]), r["fix.ja"] + shared["fix.ja"]},
	}
}
