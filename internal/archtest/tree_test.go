package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree reads the module that the tests stand in.
func tree(t *testing.T) (root string, files []string) {
	t.Helper()
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err = listFiles(t.Context(), root)
	if err != nil || !slices.Contains(files, "internal/archtest/doc.go") {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return root, files
}

func treeSources(t *testing.T) []source {
	t.Helper()
	root, files := tree(t)
	sources, err := goFiles(root, files)
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	root, _ := tree(t)
	packages, err := listPackages(t.Context(), root)
	if err != nil || len(packages) == 0 {
		t.Fatalf("%d packages, %v", len(packages), err)
	}
	report(t, checkLayers(packages))
}

func TestSizes(t *testing.T) {
	t.Parallel()
	var all []int
	sources := treeSources(t)
	for _, s := range sources {
		report(t, checkFileSize(s))
		lengths, wrong := functionSizes(s)
		report(t, wrong)
		all = append(all, lengths...)
	}
	p95 := percentile(all, 95)
	t.Logf("%d files, %d functions: median %d lines, p95 %d, longest %d",
		len(sources), len(all), percentile(all, 50), p95, percentile(all, 100))
	if p95 > maxFuncP95 {
		t.Errorf("p95 of functions is %d lines, the limit is %d", p95, maxFuncP95)
	}
}

func TestForbiddenCode(t *testing.T) {
	t.Parallel()
	for _, s := range treeSources(t) {
		report(t, checkInit(s))
		report(t, checkGlobals(s))
		report(t, checkSleep(s))
		report(t, checkFolder(s.path))
	}
}

func TestPackageComments(t *testing.T) {
	t.Parallel()
	report(t, checkPackageComments(treeSources(t)))
}

func TestText(t *testing.T) {
	t.Parallel()
	root, files := tree(t)
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text[:min(len(text), 8000)]), "\x00") {
			report(t, checkText(name, text))
		}
	}
}

func TestFilesWithoutGit(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"a/b.go", "bin/x", ".git/config", "data/y", "c.txt"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := walkFiles(root)
	if err != nil || !slices.Equal(files, []string{"a/b.go", "c.txt"}) {
		t.Errorf("%v, %v", files, err)
	}
}
