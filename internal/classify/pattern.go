package classify

import (
	"fmt"
	"strconv"
	"strings"
)

// gap is how many words "*" stands for at most in a pattern.
const gap = 12

// pattern is a row of words.txt or hints.txt: words in a row, and who says them when.
type pattern struct {
	class    Class
	name     string     // the row as it stands in the file
	order    int        // its place there: the first counts
	parts    [][]string // what stands between the "*"
	code     int        // 4, 5 or a whole code: only in such a reply; 0 = in any
	enhanced string     // only with this enhanced code; empty = with any, or none
	host     string     // only from hosts below this
	ours     bool       // only in a finding of our own
}

// patterns finds a pattern by its first word.
type patterns struct {
	all   []*pattern
	begin map[string][]*pattern
}

// parsePatterns reads a file of patterns:
//
//	# for the reader
//	[class]
//	words in a row * and some later
//	words | 451 4.7.1 @example.net ours
//
// The conditions behind the bar must all hold: the code, or its first digit; the enhanced
// code; who said it; that it is a finding of our own. A class may come again: what stands
// above outweighs what stands below.
func parsePatterns(file string) (*patterns, error) {
	p := &patterns{begin: map[string][]*pattern{}}
	seen := map[string]bool{}
	var class Class
	for i, line := range strings.Split(file, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, closed := strings.CutSuffix(name, "]")
			if class, ok = Parse(name); !ok || !closed {
				return nil, fmt.Errorf("line %d: %q is no class", i+1, line)
			}
			continue
		}
		row, err := parsePattern(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		case class == "":
			return nil, fmt.Errorf("line %d: no [class] stands above %q", i+1, line)
		case seen[line]:
			return nil, fmt.Errorf("line %d: %q stands twice", i+1, line)
		}
		seen[line] = true
		row.class, row.order = class, len(p.all)
		p.all = append(p.all, row)
		first := row.parts[0][0]
		p.begin[first] = append(p.begin[first], row)
	}
	return p, nil
}

func parsePattern(line string) (*pattern, error) {
	words, conditions, _ := strings.Cut(line, "|")
	p := &pattern{name: line}
	for part := range strings.SplitSeq(words, "*") {
		t := split(part)
		if len(t.words) == 0 {
			return nil, fmt.Errorf("%q has no words, or none at a side of *", line)
		}
		list := make([]string, len(t.words))
		for i := range list {
			list[i] = t.word(i)
		}
		if strings.ToLower(strings.Join(strings.Fields(part), " ")) != strings.TrimSpace(part) {
			return nil, fmt.Errorf("%q: write it in lower case, with single spaces", line)
		}
		p.parts = append(p.parts, list)
	}
	for word := range strings.FieldsSeq(conditions) {
		switch host, isHost := strings.CutPrefix(word, "@"); {
		case isHost && host != "" && p.host == "":
			p.host = host
		case p.code == 0 && (word == "4" || word == "5" || basicKey(word)):
			p.code, _ = strconv.Atoi(word)
		case p.enhanced == "" && word[0] != 'x' && strings.Contains(word, ".") && enhancedKey(word):
			p.enhanced = word
		case word == "ours" && !p.ours:
			p.ours = true
		default:
			return nil, fmt.Errorf("%q: unknown condition %q", line, word)
		}
	}
	return p, nil
}

// first returns the first pattern in the order of the file that a reply fulfils, nil
// if there is none.
func (p *patterns) first(r *Reply, t text) *pattern {
	var best *pattern
	for i := range t.words {
		word := t.word(i)
		best = better(best, p.begin[word], r, t, i)
		// A host is found by the domains that it is in.
		for {
			_, parent, ok := strings.Cut(word, ".")
			if !ok {
				break
			}
			if word = parent; strings.Contains(word, ".") {
				best = better(best, p.begin[word], r, t, i)
			}
		}
	}
	return best
}

func better(best *pattern, list []*pattern, r *Reply, t text, at int) *pattern {
	for _, p := range list { // in the order of the file
		if best != nil && p.order >= best.order {
			break
		}
		if p.allowed(r) && p.matches(t, at) {
			return p
		}
	}
	return best
}

func (p *pattern) allowed(r *Reply) bool {
	return (p.code == 0 || p.code == r.Code || p.code == r.class() || p.code < 10 && r.class() == 0) &&
		(p.enhanced == "" || p.enhanced == r.Enhanced) && (p.host == "" || below(r.Host, p.host)) && (!p.ours || r.Ours)
}

// matches says whether the pattern begins at a word.
func (p *pattern) matches(t text, at int) bool {
	for n, part := range p.parts {
		last := at
		if n > 0 {
			last = at + gap
		}
		for at <= last && !stands(part, t, at) {
			at++
		}
		if at > last {
			return false
		}
		at += len(part)
	}
	return true
}

// stands says whether these words stand there.
func stands(part []string, t text, at int) bool {
	if at+len(part) > len(t.words) {
		return false
	}
	for i, wanted := range part {
		if !same(t.word(at+i), wanted) {
			return false
		}
	}
	return true
}
