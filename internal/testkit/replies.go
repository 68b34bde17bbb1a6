package testkit

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Refusals are the replies in the source of packages that refuse something: what calls of
// mail.Final, mail.Temporary, hangUp and garbled make, and reply{code: 421, ...}. They stand
// there as on the wire, with unknown where they say something that the source does not tell.
// Root is the folder of the packages, whose names may be patterns.
func Refusals(t testing.TB, root, unknown string, packages ...string) []string {
	t.Helper()
	s := sentences{unknown: unknown, statuses: statuses(t, filepath.Join(root, "mail"))}
	for _, name := range packages {
		for _, file := range sources(t, filepath.Join(root, name)) {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					s.call(n)
				case *ast.CompositeLit:
					s.literal(n)
				}
				return true
			})
		}
	}
	return s.found
}

func sources(t testing.TB, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, file)
	}
	return out
}

// statuses are those of package mail, by name: "1", "1", "450", "550".
func statuses(t testing.TB, dir string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, file := range sources(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, value := range v.Values {
				row, ok := value.(*ast.CompositeLit)
				if !ok || fmt.Sprint(row.Type) != "Status" || len(row.Elts) != 4 {
					continue
				}
				for _, e := range row.Elts {
					out[v.Names[i].Name] = append(out[v.Names[i].Name], sentences{}.words(e))
				}
			}
			return true
		})
	}
	return out
}

// sentences finds replies.
type sentences struct {
	unknown  string
	statuses map[string][]string
	found    []string
}

func (s *sentences) add(begin string, text ast.Expr) {
	if words := s.words(text); words != s.unknown { // else it is made elsewhere
		s.found = append(s.found, begin+" "+words)
	}
}

func (s *sentences) call(c *ast.CallExpr) {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		switch {
		case f.Name == "hangUp" && len(c.Args) == 1:
			s.add("421 4.7.0", c.Args[0])
		case f.Name == "garbled" && len(c.Args) == 2:
			s.add("500 5.5.2", c.Args[1])
		}
	case *ast.SelectorExpr:
		if len(c.Args) != 2 || fmt.Sprint(f.X) != "mail" {
			return
		}
		status, named := c.Args[0].(*ast.SelectorExpr)
		if !named || s.words(c.Args[1]) == s.unknown {
			return
		}
		switch row := s.statuses[status.Sel.Name]; f.Sel.Name {
		case "Final":
			s.add(row[3]+" 5."+row[0]+"."+row[1], c.Args[1])
		case "Temporary":
			s.add(row[2]+" 4."+row[0]+"."+row[1], c.Args[1])
		}
	}
}

// literal reads reply{code: 421, enhanced: "4.3.2", lines: []string{"..."}}.
func (s *sentences) literal(l *ast.CompositeLit) {
	if fmt.Sprint(l.Type) != "reply" {
		return
	}
	fields := map[string]ast.Expr{}
	for _, e := range l.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			fields[fmt.Sprint(kv.Key)] = kv.Value
		}
	}
	code, ok := fields["code"].(*ast.BasicLit)
	lines, ok2 := fields["lines"].(*ast.CompositeLit)
	if ok && ok2 && code.Value >= "400" {
		s.add(code.Value+" "+s.words(fields["enhanced"]), lines.Elts[0])
	}
}

// words is the text of an expression.
func (s sentences) words(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
		return e.Value
	case *ast.BinaryExpr:
		return s.words(e.X) + s.words(e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return regexp.MustCompile(`%[a-z]`).ReplaceAllString(s.words(e.Args[0]), s.unknown)
		}
	}
	return s.unknown
}
