package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Output     string
}

// report collects events and prints packages as they end.
type report struct {
	out                     io.Writer
	output                  map[string][]string // of running tests and packages, by package and test
	builds                  map[string]bool     // packages that did not build
	passed, failed, skipped int
	failures, skips         []string
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string][]string{}, builds: map[string]bool{}}
}

// read takes events to their end. A line that is no event is printed as it is.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(r.out, line)
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] = append(r.output[key], e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.builds[e.ImportPath] = true
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e, key)
		}
	}
}

func (r *report) endTest(e event, key string) {
	text := r.output[key]
	delete(r.output, key)
	name := e.Package + " " + e.Test
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.failures = append(r.failures, name)
		fmt.Fprint(r.out, strings.Join(text, ""))
	case "skip":
		r.skipped++
		r.skips = append(r.skips, name+reason(text))
	}
}

// reason is what a test said when it skipped itself.
func reason(text []string) string {
	for _, line := range slices.Backward(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			return ": " + line
		}
	}
	return ""
}

// endPackage prints the package's line; where it failed also all that its own
// output and its unfinished tests said (a panic, a time limit).
func (r *report) endPackage(e event) {
	prefix := e.Package + " "
	var keys []string
	for key := range r.output {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if e.Action == "fail" {
		for _, key := range keys {
			if key != prefix {
				r.failed++
				r.failures = append(r.failures, key+" (did not end)")
				fmt.Fprint(r.out, strings.Join(r.output[key], ""))
			}
		}
	}
	for _, line := range r.output[prefix] {
		if e.Action == "fail" || strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
			fmt.Fprint(r.out, line)
		}
	}
	for _, key := range keys {
		delete(r.output, key)
	}
	if e.Action == "fail" {
		r.failures = append(r.failures, e.Package)
	}
}

// finish prints the counts and says whether the run can count as good.
func (r *report) finish(noSkip bool) bool {
	for _, name := range r.skips {
		fmt.Fprintln(r.out, "SKIP", name)
	}
	for _, name := range r.failures {
		fmt.Fprintln(r.out, "FAILED", name)
	}
	ok := len(r.failures) == 0 && len(r.builds) == 0
	if noSkip && r.skipped > 0 {
		fmt.Fprintln(r.out, "testreport: skipped tests are not allowed here")
		ok = false
	}
	if r.passed+r.failed == 0 {
		fmt.Fprintln(r.out, "testreport: no test ran")
		ok = false
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return ok
}
