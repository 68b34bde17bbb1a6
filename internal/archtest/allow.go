package archtest

// An exception is a path or a folder (ending in "/") and the reason for it.
type exception struct{ path, reason string }

// longFiles may be longer than the limit.
func longFiles() []exception { return nil }

// globals may hold package-level variables.
func globals() []exception {
	return []exception{
		{"internal/testkit/dialog.go", "the flag -rewrite: a test binary parses flags before any test runs"},
		{"internal/testkit/bin.go", "one build of the binary for a test process"},
		{"cmd/hayauma/main.go", "the version, set by the linker"},
	}
}

// sleepers may call time.Sleep.
func sleepers() []exception { return nil }

// anyText are files whose text is not ours to choose.
func anyText() []exception {
	return []exception{
		{"go.sum", "hashes"},
		{"tools/go.sum", "hashes"},
	}
}

// allowed says whether an exception covers a path.
func allowed(list []exception, path string) bool {
	for _, e := range list {
		if e.path == path || e.path[len(e.path)-1] == '/' && len(path) > len(e.path) && path[:len(e.path)] == e.path {
			return true
		}
	}
	return false
}
