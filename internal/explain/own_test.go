package explain

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

// rightCodes are the rows of codes that say what our sentences under them say.
func rightCodes() []string {
	return []string{
		"5.1.1", "5.1.3", "5.2.2", "4.2.4", "4any-full", "4.3.1", "4.3.2", "5.3.4", "5.4.6", "5.5.1", "5.5.2", "4.5.3", "5.5.4", "5.5.6",
		"5.6.7", "4.7.4", "5.7.8", "5.7.11", "5any-user-unknown",
		"5.1.2", "5.1.10", "4.4.3", "4.4.4", "5.4.4", "4.4.6",
	}
}

// TestOurOwnReplies: what the doors say, and what is found where mail leaves, is explained
// by a row of ours, or by a code that says it.
func TestOurOwnReplies(t *testing.T) {
	t.Parallel()
	b := open(t)
	right := " " + strings.Join(rightCodes(), " ") + " "
	said := ownReplies(t)
	if len(said) < 70 {
		t.Fatalf("only %d replies were found: %q", len(said), said)
	}
	for _, text := range said {
		e := b.Reply(text)
		if e.Provider != "Hayauma" && !strings.Contains(right, fmt.Sprintf(" %c%s ", text[0], strings.TrimPrefix(e.Rule, "X"))) {
			t.Errorf("%-22s %-16s %-15s %s", e.Rule, e.Class, e.Who, text)
		}
	}
}

// ownReplies are the replies in the source of the doors and of what sends, with a word or a number where
// they say something that the source does not tell.
func ownReplies(t *testing.T) []string {
	t.Helper()
	codes := statuses(t)
	out := []string{ // whose text is made elsewhere
		"421 4.7.0 Too many failed logins from your network, try again in about 10 minutes",
		"421 4.7.0 The password that you logged in with was changed or revoked, or has expired: log in again",
		"550 5.7.1 This mail is not accepted here", "450 4.7.1 This mail is not accepted at the moment, please try again later",
	}
	for _, dir := range []string{"smtpd", "intake", "policy", "policy/*", "account", "outbound"} {
		for _, file := range sources(t, "../"+dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if text := said(call, codes); text != "" {
						out = append(out, text)
					}
				}
				return true
			})
		}
	}
	return out
}

func sources(t *testing.T, dir string) []*ast.File {
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

// statuses are those of package mail, by name: "1.1 450 550".
func statuses(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, file := range sources(t, "../mail") {
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
					out[v.Names[i].Name] = append(out[v.Names[i].Name], words(e))
				}
			}
			return true
		})
	}
	return out
}

// said is the reply that a call of mail.Final, mail.Temporary or hangUp makes; empty for
// any other, and where the text comes from elsewhere.
func said(call *ast.CallExpr, codes map[string][]string) string {
	if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "hangUp" {
		if text := words(call.Args[0]); text != anything {
			return "421 4.7.0 " + text
		}
		return ""
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) != 2 || fmt.Sprint(f.X) != "mail" {
		return ""
	}
	status, named := call.Args[0].(*ast.SelectorExpr)
	text := words(call.Args[1])
	if !named || text == anything {
		return ""
	}
	s := codes[status.Sel.Name]
	switch f.Sel.Name {
	case "Final":
		return s[3] + " 5." + s[0] + "." + s[1] + " " + text
	case "Temporary":
		return s[2] + " 4." + s[0] + "." + s[1] + " " + text
	}
	return ""
}

// anything stands for what the source does not tell.
const anything = "user@example.org"

// words is the text of an expression.
func words(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
		return e.Value
	case *ast.BinaryExpr:
		return words(e.X) + words(e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return regexp.MustCompile(`%[a-z]`).ReplaceAllString(words(e.Args[0]), anything)
		}
	}
	return anything
}
