package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/config"
)

// section is one table of the file; the first one has no name.
type section struct {
	name string
	doc  string
	keys []key
}

// key is one setting with its documentation.
type key struct {
	name    string
	doc     string
	setting config.Setting
}

// readSections reads the comments of the struct Config and of the structs in it,
// and joins them with the settings.
func readSections(src []byte, settings []config.Setting) ([]section, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	structs := map[string]*ast.StructType{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if st, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = st
			}
		}
		return true
	})
	root := structs["Config"]
	if root == nil {
		return nil, errors.New("no struct Config")
	}
	r := reader{structs: structs, settings: map[string]config.Setting{}}
	for _, s := range settings {
		r.settings[s.Key] = s
	}
	sections, err := r.root(root)
	if err != nil {
		return nil, err
	}
	for k := range r.settings {
		return nil, fmt.Errorf("the setting %s has no field in this file", k)
	}
	return sections, nil
}

// reader walks the struct tree; settings holds those not met yet.
type reader struct {
	structs  map[string]*ast.StructType
	settings map[string]config.Setting
}

// root reads Config: its own keys are the first section, its structs the others.
func (r *reader) root(st *ast.StructType) ([]section, error) {
	sections := []section{{}}
	for _, f := range st.Fields.List {
		if !f.Names[0].IsExported() {
			continue
		}
		name, doc, err := describe(f)
		if err != nil {
			return nil, err
		}
		if ident, ok := f.Type.(*ast.Ident); ok && r.structs[ident.Name] != nil {
			keys, err := r.keys(name+".", r.structs[ident.Name])
			if err != nil {
				return nil, err
			}
			sections = append(sections, section{name: name, doc: doc, keys: keys})
			continue
		}
		k, err := r.key("", name, doc)
		if err != nil {
			return nil, err
		}
		sections[0].keys = append(sections[0].keys, k)
	}
	return sections, nil
}

// keys reads the fields of one section.
func (r *reader) keys(prefix string, st *ast.StructType) ([]key, error) {
	var keys []key
	for _, f := range st.Fields.List {
		name, doc, err := describe(f)
		if err != nil {
			return nil, err
		}
		k, err := r.key(prefix, name, doc)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// key joins one field with its setting.
func (r *reader) key(prefix, name, doc string) (key, error) {
	s, ok := r.settings[prefix+name]
	if !ok {
		return key{}, fmt.Errorf("the field %s%s is no setting", prefix, name)
	}
	delete(r.settings, prefix+name)
	return key{name: name, doc: doc, setting: s}, nil
}

// describe returns the name in the file and the comment of a field; both must be there.
func describe(f *ast.Field) (name, doc string, err error) {
	if f.Tag != nil {
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			return "", "", err
		}
		name = reflect.StructTag(tag).Get("toml")
	}
	if name == "" || len(f.Names) != 1 {
		return "", "", fmt.Errorf("the field %s needs a toml tag and a line of its own", f.Names[0].Name)
	}
	doc = strings.TrimSpace(f.Doc.Text())
	if doc == "" {
		return "", "", fmt.Errorf("the field %s has no comment, and so no documentation", f.Names[0].Name)
	}
	return name, doc, nil
}
