package classify

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sample is a real reply with the class that it must get.
type sample struct {
	where, source, what string // where: the file and line, or the name of the row in explain
	want                Class
	host, text          string
}

// reply takes the codes off a text, as a queue or a bounce has them. "#550", "550-" and
// "(#5.1.1)" occur.
func (s sample) reply() Reply {
	r := Reply{Text: s.text, Host: s.host}
	rest := strings.TrimLeft(s.text, "#")
	if len(rest) >= 4 && basicKey(rest[:3]) && strings.ContainsRune(" -", rune(rest[3])) {
		r.Code, _ = strconv.Atoi(rest[:3])
		rest = rest[4:]
	}
	for word := range strings.FieldsSeq(rest) {
		word = strings.Trim(word, "()#")
		if enhancedKey(word) {
			r.Enhanced = word
			break
		}
	}
	return r
}

// samples reads testdata and the examples of explain.
func samples(t testing.TB) []sample {
	t.Helper()
	out := collected(t)
	examples := explained(t)
	for i, line := range lines(t, "testdata/explained.txt") {
		name, class, ok := strings.Cut(line, " ")
		if line == "" || line[0] == '#' {
			continue
		}
		e, found := examples[name]
		if !ok || !found {
			t.Fatalf("explained.txt:%d: %q is no row of explain, or it has no class, or it stands twice", i+1, line)
		}
		delete(examples, name)
		e.want = classOf(t, class)
		out = append(out, e)
	}
	for name := range examples {
		t.Errorf("explained.txt: %s has no class", name)
	}
	return out
}

func collected(t testing.TB) []sample {
	t.Helper()
	var out []sample
	var at sample
	for i, line := range lines(t, "testdata/replies.txt") {
		at.where = fmt.Sprintf("replies.txt:%d", i+1)
		source, isSource := strings.CutPrefix(line, "source: ")
		what, isWhat := strings.CutPrefix(line, "what: ")
		class, text, isReply := strings.Cut(line, "  ")
		switch {
		case line == "", line[0] == '#':
		case isSource:
			at.source, at.what = source, ""
		case isWhat:
			at.what = what
		case isReply:
			s := at
			s.want, s.text = classOf(t, class), text
			if host, ok := strings.CutPrefix(text, "@"); ok {
				s.host, s.text, _ = strings.Cut(host, "  ")
			}
			out = append(out, s)
		default:
			t.Fatalf("%s: %q is no row", at.where, line)
		}
	}
	return out
}

// explained reads the examples of explain, by the names of their rows.
func explained(t testing.TB) map[string]sample {
	t.Helper()
	files, err := filepath.Glob("../explain/data/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rows of explain: %v", err)
	}
	out := map[string]sample{}
	for _, file := range files {
		var shared, row map[string]string
		for _, line := range append(lines(t, file), "") {
			key, value, _ := strings.Cut(line, ": ")
			switch {
			case strings.HasPrefix(line, "#"), strings.HasPrefix(line, " "):
			case line != "":
				if row == nil {
					row = map[string]string{}
				}
				row[key] = value
			case row["name"] == "" && row != nil:
				shared, row = row, nil
			default:
				if text := row["example"]; text != "" {
					s := sample{where: row["name"], source: row["source"], what: row["provider"], text: text}
					if s.source == "" {
						s.source = shared["source"]
					}
					if s.what == "" {
						s.what = shared["provider"]
					}
					out[row["name"]] = s
				}
				row = nil
			}
		}
	}
	return out
}

func lines(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func classOf(t testing.TB, name string) Class {
	t.Helper()
	c, ok := Parse(name)
	if !ok {
		t.Fatalf("%q is no class", name)
	}
	return c
}
