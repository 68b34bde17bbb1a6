package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with one setting.
type Problem struct {
	File  string // empty where the settings came from no file
	Line  int    // 0 where the key stands in no line
	Key   string // like limits.recipients
	Value string // as TOML, shortened; empty where there is none
	Text  string // what is allowed, and what to do
}

// Error returns one sentence: place, key, value, what is allowed, what to do.
func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	case p.File != "":
		fmt.Fprintf(&b, "%s: ", p.File)
	}
	b.WriteString(p.Key)
	if p.Value != "" {
		b.WriteString(" = " + p.Value)
	}
	b.WriteString(": " + p.Text)
	return b.String()
}

// UnknownKey is a key that no setting has.
type UnknownKey struct {
	File    string
	Line    int
	Key     string
	Nearest string // the known key most like it; empty where none is
}

// Error names file, line, key and the nearest known key.
func (e *UnknownKey) Error() string {
	s := fmt.Sprintf("unknown key %s in %s line %d: ", e.Key, e.File, e.Line)
	if e.Nearest == "" {
		return s + "remove it; docs/reference/config.md lists all keys"
	}
	return s + "did you mean " + e.Nearest + "?"
}

// origin remembers where the settings came from.
type origin struct {
	file  string
	lines map[string]int // key -> line, for the keys in the file
}

// problem makes a Problem for key with the place where the key stands.
func (o origin) problem(key, value, text string) *Problem {
	const longest = 100
	if len(value) > longest {
		value = strings.ToValidUTF8(value[:longest], "") + "..."
	}
	return &Problem{File: o.file, Line: o.lines[key], Key: key, Value: value, Text: text}
}
