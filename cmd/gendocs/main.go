// Command gendocs writes the reference of the settings from the comments in the
// source of internal/config: config.md and hayauma.toml.example.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hayauma/hayauma/internal/config"
)

func main() {
	source := flag.String("source", "config.go", "the Go file that declares Config")
	out := flag.String("out", ".", "the folder to write to")
	flag.Parse()
	if err := run(*source, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// run writes both files.
func run(source, out string) error {
	files, err := generate(source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the generated files by name.
func generate(source string) (map[string][]byte, error) {
	src, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	sections, err := readSections(src, config.Default().Settings())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return map[string][]byte{
		"config.md":            reference(sections),
		"hayauma.toml.example": example(sections),
	}, nil
}
