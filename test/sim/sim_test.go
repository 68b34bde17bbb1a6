package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	// usual is how many seeds the ordinary tests run.
	usual = 50
	// length is how many steps of trouble a seed has.
	length = 1500
	// again is of how many usual seeds one runs twice, to see that both runs are equal.
	again = 5
)

// result is what came of a seed.
type result struct {
	hash       uint64
	seeds      int
	steps      int
	days       time.Duration
	wrong      string
	lines      []string
	duplicates map[string]int
	kinds      map[string]int
}

// run lives through a seed in a bubble of its own.
func run(t *testing.T, seed uint64) (out result) {
	t.Helper()
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, seed)
		w.live(length)
		out = result{
			hash: w.hash(), steps: w.step, days: time.Since(w.start), wrong: w.wrong, lines: w.lines,
			duplicates: w.model.duplicates, kinds: w.model.kinds,
		}
	})
	return out
}

// folder is where the database is: in memory if the system has such a place,
// since nothing here depends on what a disk keeps.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
	return dir
}

// number reads a setting of the environment.
func number(t *testing.T, name string) (n int, set bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// TestSimulation lives through seeds. HAYAUMA_SEEDS says how many, HAYAUMA_SEED
// repeats one and writes its trace.
func TestSimulation(t *testing.T) {
	t.Parallel()
	if seed, set := number(t, "HAYAUMA_SEED"); set {
		repeat(t, uint64(seed))
		return
	}
	every := 1
	seeds, set := number(t, "HAYAUMA_SEEDS")
	if !set {
		seeds, every = usual/scale, again
	}
	total := result{duplicates: map[string]int{}, kinds: map[string]int{}}
	var mu sync.Mutex
	t.Cleanup(func() {
		t.Logf("%d seeds, %d steps, %v of their time; outcomes %v; second copies %v",
			total.seeds, total.steps, total.days.Round(time.Hour), total.kinds, total.duplicates)
	})
	parts := min(runtime.GOMAXPROCS(0), seeds)
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			// A part ends at the first seed that fails.
			for seed := part; seed < seeds && !t.Failed(); seed += parts {
				got := run(t, uint64(seed))
				tell(t, seed, got)
				if seed%every == 0 && !t.Failed() {
					compare(t, seed, got, run(t, uint64(seed)))
				}
				mu.Lock()
				total.add(got)
				mu.Unlock()
			}
		})
	}
}

// add sums results up.
func (r *result) add(one result) {
	r.seeds++
	r.steps += one.steps
	r.days += one.days
	for k, n := range one.duplicates {
		r.duplicates[k] += n
	}
	for k, n := range one.kinds {
		r.kinds[k] += n
	}
}

// tell says what went wrong with a seed, and how it came to that.
func tell(t *testing.T, seed int, r result) {
	t.Helper()
	if r.wrong == "" {
		return
	}
	for _, line := range r.lines[max(0, len(r.lines)-60):] {
		t.Log(line)
	}
	t.Errorf("seed %d, trace %016x: %s\nmake sim SEED=%d repeats it", seed, r.hash, r.wrong, seed)
}

func compare(t *testing.T, seed int, a, b result) {
	t.Helper()
	if a.hash == b.hash {
		return
	}
	for i := range min(len(a.lines), len(b.lines)) {
		if a.lines[i] != b.lines[i] {
			for _, line := range a.lines[max(0, i-20):i] {
				t.Log(line)
			}
			t.Errorf("seed %d ran in two ways\n%s\n%s", seed, a.lines[i], b.lines[i])
			return
		}
	}
	t.Errorf("seed %d ran in two ways: %d and %d lines", seed, len(a.lines), len(b.lines))
}

// repeat runs one seed twice and leaves its trace in a file.
func repeat(t *testing.T, seed uint64) {
	t.Helper()
	r := run(t, seed)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("sim-%d.txt", seed))
	if err := os.WriteFile(path, []byte(strings.Join(r.lines, "\n")), 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("trace %016x of %d lines, %d steps and %v in %s", r.hash, len(r.lines), r.steps, r.days, path)
	tell(t, int(seed), r)
	compare(t, int(seed), r, run(t, seed))
}
