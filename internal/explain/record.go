package explain

import (
	"fmt"
	"maps"
	"strings"
)

// A record is one row of a data file: lines of "key: value", ended by an empty
// line. A line that begins with a space goes on with the value above; one that
// begins with # is for the reader. A record without a name holds what the
// records behind it say unless they say it themselves; it replaces the one
// before.
type record map[string]string

// readRecords reads a data file.
func readRecords(text string) ([]record, error) {
	var out []record
	var defaults record
	current, key := record{}, ""
	end := func() {
		if len(current) > 0 && current["name"] == "" {
			defaults = current
		} else if len(current) > 0 {
			all := maps.Clone(defaults)
			if all == nil {
				all = record{}
			}
			maps.Copy(all, current)
			out = append(out, all)
		}
		current, key = record{}, ""
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			end()
		case strings.HasPrefix(line, " ") && key != "":
			current[key] = join(key, current[key], strings.TrimSpace(line))
		default:
			name, value, ok := strings.Cut(line, ": ")
			if _, twice := current[name]; !ok || twice || value == "" {
				return nil, fmt.Errorf("line %d: %q is not \"key: value\", or the key stands twice", number, line)
			}
			current[name], key = value, name
		}
	}
	end()
	return out, nil
}

// join puts the lines of a value together; Japanese has no space between them.
func join(key, above, line string) string {
	if strings.HasSuffix(key, ".ja") {
		return above + line
	}
	return above + " " + line
}
