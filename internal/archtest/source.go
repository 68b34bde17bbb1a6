package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Limits on size, in lines.
const (
	maxFile     = 700
	maxTestFile = 1000
	maxFunc     = 100
	maxFuncP95  = 60
)

// source is one Go file. path is relative to the module's root, with slashes.
type source struct {
	path      string
	text      []byte
	file      *ast.File
	set       *token.FileSet
	generated bool
}

func parseSource(path string, text []byte) (source, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	return source{path: path, text: text, file: file, set: set, generated: ast.IsGenerated(file)}, nil
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) line(pos token.Pos) int { return s.set.Position(pos).Line }

func (s source) at(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.line(pos), fmt.Sprintf(format, args...))
}

// checkFileSize says whether a file is too long.
func checkFileSize(s source) []string {
	lines, limit := strings.Count(string(s.text), "\n"), maxFile
	if s.test() {
		limit = maxTestFile
	}
	if s.generated || lines <= limit || allowed(longFiles(), s.path) {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d lines, the limit is %d", s.path, lines, limit)}
}

// functionSizes are the lengths of the functions outside tests, and a sentence
// for each that is too long.
func functionSizes(s source) (lengths []int, wrong []string) {
	if s.generated || s.test() {
		return nil, nil
	}
	for _, decl := range s.file.Decls {
		f, is := decl.(*ast.FuncDecl)
		if !is || f.Body == nil {
			continue
		}
		length := s.line(f.End()) - s.line(f.Pos()) + 1
		lengths = append(lengths, length)
		if length > maxFunc {
			wrong = append(wrong, s.at(f.Pos(), "%s has %d lines, the limit is %d", f.Name.Name, length, maxFunc))
		}
	}
	return lengths, wrong
}

// percentile of lengths, which it sorts; 0 for none.
func percentile(lengths []int, percent int) int {
	if len(lengths) == 0 {
		return 0
	}
	slices.Sort(lengths)
	return lengths[min(len(lengths)*percent/100, len(lengths)-1)]
}

// checkInit finds init functions.
func checkInit(s source) []string {
	var wrong []string
	for _, decl := range s.file.Decls {
		if f, is := decl.(*ast.FuncDecl); is && f.Recv == nil && f.Name.Name == "init" {
			wrong = append(wrong, s.at(f.Pos(), "init function: let app call what has to run"))
		}
	}
	return wrong
}

// checkGlobals finds package-level variables. Fine are errors (Err... or err...
// = errors.New), SQL statements (db.SQL, db.Insert, db.Stmt: the domain packages
// keep theirs beside the functions that run them), embedded files, `var _ I = T{}`,
// tables in files named as such, and generated files.
func checkGlobals(s source) []string {
	if s.generated || s.test() || tableFile.MatchString(path.Base(s.path)) || allowed(globals(), s.path) {
		return nil
	}
	var wrong []string
	for _, decl := range s.file.Decls {
		g, is := decl.(*ast.GenDecl)
		if !is || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v, is := spec.(*ast.ValueSpec)
			if is && !embeds(g.Doc) && !embeds(v.Doc) && !harmless(v) {
				wrong = append(wrong, s.at(v.Pos(), "package-level variable %s", v.Names[0].Name))
			}
		}
	}
	return wrong
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// harmless is a variable that nobody changes: a blank one, a sentinel error or
// an SQL statement.
func harmless(v *ast.ValueSpec) bool {
	for i, name := range v.Names {
		if name.Name == "_" {
			continue
		}
		if i >= len(v.Values) || !statement(v.Values[i]) && !sentinel(name.Name, v.Values[i]) {
			return false
		}
	}
	return true
}

func sentinel(name string, value ast.Expr) bool {
	call, is := value.(*ast.CallExpr)
	return is && strings.HasPrefix(strings.ToLower(name), "err") &&
		(isSelector(call.Fun, "errors", "New") || isSelector(call.Fun, "fmt", "Errorf"))
}

func statement(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CallExpr:
		return isSelector(v.Fun, "db", "SQL")
	case *ast.CompositeLit:
		return v.Type != nil && (isSelector(v.Type, "db", "Insert") || isSelector(v.Type, "db", "Stmt"))
	}
	return false
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, is := e.(*ast.SelectorExpr)
	if !is || sel.Sel.Name != name {
		return false
	}
	x, is := sel.X.(*ast.Ident)
	return is && x.Name == pkg
}

// checkSleep finds time.Sleep, under whatever name time is imported. Within the
// call of synctest.Test it is fine: there it moves the bubble's clock.
func checkSleep(s source) []string {
	local := importName(s, "time")
	if local == "" || allowed(sleepers(), s.path) {
		return nil
	}
	var wrong []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if call, is := n.(*ast.CallExpr); is && isSelector(call.Fun, "synctest", "Test") {
			return false
		}
		if e, is := n.(ast.Expr); is && isSelector(e, local, "Sleep") {
			wrong = append(wrong, s.at(e.Pos(), "time.Sleep: wait for what has to happen"))
		}
		return true
	})
	return wrong
}

// importName is the name under which a file knows a package, "" if it does not.
func importName(s source, pkg string) string {
	for _, spec := range s.file.Imports {
		switch {
		case spec.Path.Value != `"`+pkg+`"`:
		case spec.Name != nil:
			return spec.Name.Name
		default:
			return path.Base(pkg)
		}
	}
	return ""
}

// checkFolder finds folder and file names that say nothing.
func checkFolder(name string) []string {
	vague := []string{"util", "utils", "common", "helper", "helpers", "base", "manager", "misc", "types"}
	for part := range strings.SplitSeq(strings.TrimSuffix(name, ".go"), "/") {
		if slices.Contains(vague, part) {
			return []string{fmt.Sprintf("%s: the name %q says nothing", name, part)}
		}
	}
	return nil
}

// checkPackageComments takes the sources of the whole tree.
func checkPackageComments(sources []source) []string {
	type state struct {
		first string
		good  bool
	}
	dirs := map[string]state{}
	for _, s := range sources {
		if s.test() {
			continue
		}
		dir := path.Dir(s.path)
		name := s.file.Name.Name
		want := "Package " + name + " "
		if name == "main" {
			want = "Command "
		}
		d, seen := dirs[dir]
		if !seen {
			d.first = fmt.Sprintf("%s: no file has a package comment that begins %q", dir, want)
		}
		d.good = d.good || strings.HasPrefix(s.file.Doc.Text(), want)
		dirs[dir] = d
	}
	var wrong []string
	for _, d := range dirs {
		if !d.good {
			wrong = append(wrong, d.first)
		}
	}
	slices.Sort(wrong)
	return wrong
}

// checkText finds marks of unfinished work and paths of one machine in a file
// of any kind.
func checkText(name string, text []byte) []string {
	if allowed(anyText(), name) {
		return nil
	}
	var wrong []string
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if m := unfinished.FindString(line); m != "" {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %s: finish it, or file an issue", name, number, m))
		}
		if m := machine.FindString(line); m != "" {
			wrong = append(wrong, fmt.Sprintf("%s:%d: a path of one machine", name, number))
		}
	}
	return wrong
}
