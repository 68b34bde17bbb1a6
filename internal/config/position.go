package config

import (
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// keyLines returns the line of each key and table of a document that go-toml
// has already accepted. The decoder proper keeps no positions.
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	p := unstable.Parser{}
	p.Reset(data)
	counter := lineCounter{data: data, line: 1}
	table := ""
	for p.NextExpression() {
		n := p.Expression()
		switch n.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = addKey(lines, &counter, "", n)
		case unstable.KeyValue:
			addKeyValue(lines, &counter, table, n)
		}
	}
	return lines
}

// addKeyValue notes the lines of a key and of the keys of an inline table in it.
func addKeyValue(lines map[string]int, counter *lineCounter, table string, n *unstable.Node) {
	path := addKey(lines, counter, table, n)
	if v := n.Value(); v.Kind == unstable.InlineTable {
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				addKeyValue(lines, counter, path, it.Node())
			}
		}
	}
}

// addKey notes the line of each step of a dotted key and returns its whole path.
func addKey(lines map[string]int, counter *lineCounter, path string, n *unstable.Node) string {
	for it := n.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		if _, seen := lines[path]; !seen {
			lines[path] = counter.at(int(it.Node().Raw.Offset))
		}
	}
	return path
}

// lineCounter counts lines in one pass, since keys come in file order.
type lineCounter struct {
	data []byte
	pos  int
	line int
}

// at returns the line of offset, from 1.
func (c *lineCounter) at(offset int) int {
	if offset < c.pos {
		c.pos, c.line = 0, 1
	}
	for ; c.pos < offset && c.pos < len(c.data); c.pos++ {
		if c.data[c.pos] == '\n' {
			c.line++
		}
	}
	return c.line
}

// join appends name to a dotted path; a name that needs quotes gets them, so
// that a dot inside it is not taken for a step.
func join(path, name string) string {
	bare := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) < 0
	if !bare || name == "" {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
