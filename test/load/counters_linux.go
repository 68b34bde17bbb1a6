package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counters are the kernel's own counts of the system calls of a process tree. They
// cost hardly anything, so the server runs as it always does.
type counters struct {
	fds map[string][]int
}

// tracepoints is where the kernel tells of them.
const tracepoints = "/sys/kernel/tracing/events"

// startCounting counts from now on for the processes, their threads, and those that
// come after them.
func startCounting(pid int) (*counters, error) {
	procs, err := readProcesses()
	if err != nil {
		return nil, err
	}
	c := &counters{fds: map[string][]int{}}
	for _, p := range descendants(procs, []int{pid}) {
		if err := c.watch(p); err != nil {
			_, _ = c.stop() // the error that matters is the first
			return nil, err
		}
	}
	return c, nil
}

// watch counts for the threads that a process has.
func (c *counters) watch(pid int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // it has ended
	}
	for _, name := range append([]string{allCalls}, namedCalls()...) {
		at := filepath.Join("syscalls", "sys_enter_"+name)
		if name == allCalls {
			at = "raw_syscalls/sys_enter"
		}
		id, err := os.ReadFile(filepath.Join(tracepoints, at, "id"))
		if errors.Is(err, os.ErrNotExist) && name != allCalls {
			continue // this architecture has no such call
		}
		if err != nil {
			return fmt.Errorf("the kernel's tracepoints: %w", err)
		}
		config, err := strconv.ParseUint(strings.TrimSpace(string(id)), 10, 64)
		if err != nil {
			return err
		}
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			fd, err := countFor(tid, config)
			if errors.Is(err, unix.ESRCH) {
				continue // it has ended
			}
			if err != nil {
				return fmt.Errorf("count %s: %w", name, err)
			}
			c.fds[name] = append(c.fds[name], fd)
		}
	}
	return nil
}

func countFor(tid int, config uint64) (int, error) {
	attr := &unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Config: config, Bits: unix.PerfBitInherit,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
	}
	return unix.PerfEventOpen(attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
}

// stop returns the counts by name. Call it once.
func (c *counters) stop() (map[string]float64, error) {
	sums := map[string]float64{}
	var errs []error
	for name, fds := range c.fds {
		for _, fd := range fds {
			var b [8]byte
			if _, err := unix.Read(fd, b[:]); err != nil {
				errs = append(errs, fmt.Errorf("count of %s: %w", name, err))
			}
			sums[name] += float64(binary.NativeEndian.Uint64(b[:]))
			errs = append(errs, unix.Close(fd))
		}
	}
	return sums, errors.Join(errs...)
}
