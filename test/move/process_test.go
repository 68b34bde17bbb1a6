package move

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/move"
	"github.com/hayauma/hayauma/internal/testkit"
)

const (
	// mostMemory is what a copy may take, whatever its size.
	mostMemory  = 256 << 20
	sampleEvery = 20 * time.Millisecond
)

// copying is one process of `hayauma storage copy`.
type copying struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	ended  chan struct{}
	err    error // of Wait; valid once ended is closed

	mu          sync.Mutex
	moved       chan struct{} // closed, and replaced, with each line
	step, steps int           // of the last line of progress
	said        bytes.Buffer  // all of standard error
	peak        int64         // most resident memory seen, in octets
}

// copyTo starts a copy.
func (in *installation) copyTo(t *testing.T, to *installation) *copying {
	t.Helper()
	c := &copying{ended: make(chan struct{}), moved: make(chan struct{})}
	c.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), testkit.Binary(t),
		"storage", "copy", "--json", "--config", in.configFile(), "--to", to.configFile())
	c.cmd.Stdout = &c.stdout
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.weigh()
	go func() {
		c.listen(stderr)
		c.err = c.cmd.Wait() // after the pipe's end, as its documentation asks
		close(c.ended)
	}()
	t.Cleanup(c.kill)
	return c
}

// listen follows the lines of progress: "3 of 24: copy table mailbox, 12 so far".
func (c *copying) listen(stderr io.Reader) {
	progress := regexp.MustCompile(`^(\d+) of (\d+): .*, \d+ so far$`)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		c.mu.Lock()
		c.said.WriteString(lines.Text() + "\n")
		if m := progress.FindStringSubmatch(lines.Text()); m != nil {
			c.step, _ = strconv.Atoi(m[1]) // the pattern lets only digits pass
			c.steps, _ = strconv.Atoi(m[2])
			close(c.moved)
			c.moved = make(chan struct{})
		}
		c.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, stderr) // after a line too long to scan, so that the process is not blocked
}

// weigh looks how much memory the process has had at most, as far as the system
// tells.
func (c *copying) weigh() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	most := regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	path := fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid)
	for {
		if text, err := os.ReadFile(path); err == nil {
			if m := most.FindSubmatch(text); m != nil {
				n, _ := strconv.ParseInt(string(m[1]), 10, 64) // the pattern lets only digits pass
				c.mu.Lock()
				c.peak = max(c.peak, n<<10)
				c.mu.Unlock()
			}
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return
		}
	}
}

// reach waits until the process works on a step; false if it ended before.
func (c *copying) reach(t *testing.T, step func(steps int) int) bool {
	t.Helper()
	limit := time.NewTimer(longest)
	defer limit.Stop()
	for {
		c.mu.Lock()
		now, steps, moved := c.step, c.steps, c.moved
		c.mu.Unlock()
		if steps > 0 && now >= step(steps) {
			return true
		}
		select {
		case <-moved:
		case <-c.ended:
			return false
		case <-limit.C:
			t.Fatal("the copy gets nowhere")
		}
	}
}

// kill ends the process without warning. It may have ended by itself.
func (c *copying) kill() {
	_ = c.cmd.Process.Kill() // fails only if it has ended already
	<-c.ended
}

// cutOff kills the process at a moment after it has begun a step, and tells
// whether that was before it ended.
func (c *copying) cutOff(t *testing.T, step func(steps int) int, after time.Duration) bool {
	t.Helper()
	if c.reach(t, step) {
		moment := time.NewTimer(after)
		defer moment.Stop()
		select {
		case <-moment.C:
		case <-c.ended:
		}
	}
	c.kill()
	exit, ok := errors.AsType[*exec.ExitError](c.err)
	if c.err != nil && (!ok || exit.Exited()) {
		t.Fatalf("the copy failed before it was killed: %v\n%s", c.err, c.said.String())
	}
	return ok
}

// judge looks at the memory that a process took which has ended, and returns it.
func (c *copying) judge(t *testing.T) int64 {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peak > mostMemory {
		t.Errorf("the copy took %d MiB of memory, at most %d are fine", c.peak>>20, mostMemory>>20)
	}
	return c.peak
}

// finish lets the process come to its end and returns its report.
func (c *copying) finish(t *testing.T) (r move.Report) {
	t.Helper()
	limit := time.NewTimer(longest)
	defer limit.Stop()
	select {
	case <-c.ended:
	case <-limit.C:
		t.Fatal("the copy does not end")
	}
	if c.err != nil {
		t.Fatalf("the copy failed: %v\n%s", c.err, c.said.String())
	}
	if err := json.Unmarshal(c.stdout.Bytes(), &r); err != nil {
		t.Fatalf("the report: %v in %.200q", err, c.stdout.String())
	}
	return r
}

// cut is when a copy is killed: some time after a step has begun.
type cut struct {
	step  func(steps int) int
	after time.Duration
}

// cuts are the moments of several kills, in the order of the work: among the
// bodies, among the tables, and while both sides are compared. The first half of
// the steps copies, and each half begins with the bodies.
func cuts(rng *rand.Rand, size scale) []cut {
	// Copying the bodies takes the longest, and longer the more there are: about
	// as long as this.
	bodies := 30*time.Millisecond + time.Duration(size.messages)*20*time.Microsecond
	soon := func(most time.Duration) time.Duration { return rand.N(most) }
	part := rng.Float64()
	return []cut{
		{func(int) int { return 1 }, soon(bodies)},
		{func(int) int { return 1 }, soon(bodies)},
		{func(steps int) int { return 2 + int(part*float64(steps/2-2)) }, soon(20 * time.Millisecond)},
		{func(steps int) int { return steps/2 + 1 }, soon(bodies / 4)},
		{func(steps int) int { return steps/2 + 2 }, 0},
	}
}

// moveTo copies an installation to another and kills the copy on its way. Each
// time the half copy refuses to be served.
func (in *installation) moveTo(t *testing.T, to *installation, moments []cut) {
	t.Helper()
	began, kills, runs := time.Now(), 0, 1
	var peak int64
	c := in.copyTo(t, to)
	for _, m := range moments {
		landed := c.cutOff(t, m.step, m.after)
		took := c.judge(t)
		peak = max(peak, took)
		if !landed {
			break
		}
		t.Logf("%s to %s: killed at step %d of %d, peak of memory %d MiB", in.name, to.name, c.step, c.steps, took>>20)
		kills++
		to.refuses(t)
		c = in.copyTo(t, to)
		runs++
	}
	r := c.finish(t)
	peak = max(peak, c.judge(t))
	if want := min(3, len(moments)); kills < want {
		t.Errorf("%s to %s: only %d kills came before the end, want %d", in.name, to.name, kills, want)
	}
	var rows int64
	for _, table := range r.Tables {
		rows += table.Rows
	}
	if !r.Resumed || r.DamagedBodies != 0 || r.Bodies.Count == 0 || rows == 0 {
		t.Errorf("%s to %s: resumed %v, %d damaged bodies, %d bodies, %d rows", in.name, to.name, r.Resumed, r.DamagedBodies, r.Bodies.Count, rows)
	}
	t.Logf("%s to %s: %d bodies of %d MiB and %d rows in %d tables; %d kills, %d runs in %v, the last one compared in %v; peak of memory %d MiB",
		in.name, to.name, r.Bodies.Count, r.Bodies.Octets>>20, rows, len(r.Tables), kills, runs, since(began),
		r.Verified.Round(time.Millisecond), peak>>20)
}
