package move

import (
	"regexp"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
)

// declared is what the steps of schemas say about tables.
type declared struct {
	tables []string        // those that are left at the end, in the order of their creation
	seeded map[string]bool // those into which a step inserts rows of its own
}

// declaredTables reads the steps of schemas in both dialects. Only the words that
// make, rename and drop a table are looked at; columns and keys are asked of the
// engines.
func declaredTables(schemas []db.Schema) declared {
	word := regexp.MustCompile(`(?is)\b(?:` +
		`CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(?P<made>\w+)` +
		`|DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?"?(?P<gone>\w+)` +
		`|ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?"?(?P<old>\w+)"?\s+RENAME\s+TO\s+"?(?P<new>\w+)` +
		// Rows that a step takes from another table are none of its own.
		`|INSERT\s+INTO\s+"?(?P<filled>\w+)"?\s*(?:\([^)]*\))?\s*VALUES\b)`)
	d := declared{seeded: map[string]bool{}}
	for _, s := range schemas {
		for _, step := range s.Steps {
			d.read(word, step.Common())
			if other := step.ForPostgres(); other != step.Common() {
				d.read(word, other)
			}
		}
	}
	return d
}

func (d *declared) read(word *regexp.Regexp, sql string) {
	const made, gone, before, after, filled = 1, 2, 3, 4, 5
	for _, m := range word.FindAllStringSubmatch(sql, -1) {
		switch {
		case m[made] != "":
			d.add(m[made])
		case m[gone] != "":
			d.drop(m[gone])
		case m[before] != "":
			seeded := d.seeded[m[before]]
			d.drop(m[before])
			d.add(m[after])
			d.seeded[m[after]] = d.seeded[m[after]] || seeded
		case m[filled] != "":
			d.seeded[m[filled]] = true
		}
	}
}

func (d *declared) add(name string) {
	if !slices.Contains(d.tables, name) {
		d.tables = append(d.tables, name)
	}
}

func (d *declared) drop(name string) {
	if i := slices.Index(d.tables, name); i >= 0 {
		d.tables = slices.Delete(d.tables, i, i+1)
	}
	delete(d.seeded, name)
}
