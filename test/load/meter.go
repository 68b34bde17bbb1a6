package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// ticksPerSecond is USER_HZ, which Linux fixes at 100 for /proc on every
// architecture that Go knows.
const ticksPerSecond = 100

// Usage is what a set of process trees used.
type Usage struct {
	CPUSeconds  float64 `json:"cpu_seconds"` // user + system
	RSS         int64   `json:"rss_bytes"`   // sum; pages that processes share count for each
	PSS         int64   `json:"pss_bytes"`   // sum; a shared page is divided among its users
	Processes   int     `json:"processes"`
	OthersCores float64 `json:"others_cores"` // cores kept busy by the rest of the machine
}

// ReadUsage adds up the processes and all their descendants as they are now.
// OthersCores stays 0.
func ReadUsage(pids ...int) (Usage, error) {
	procs, err := readProcesses()
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	for _, pid := range descendants(procs, pids) {
		u.CPUSeconds += float64(procs[pid].ticks) / ticksPerSecond
		rss, pss := readMemory(pid)
		u.RSS += rss
		u.PSS += pss
		u.Processes++
	}
	return u, nil
}

type procStat struct {
	parent int
	ticks  int64 // own and those of children already waited for
}

func readProcesses() (map[int]procStat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	procs := make(map[int]procStat, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		if st, ok := parseStat(raw); ok {
			procs[pid] = st
		}
	}
	return procs, nil
}

// parseStat reads the fields after the name, which ends at the last ')': state
// ppid ... utime stime cutime cstime are fields 3, 4, 14, 15, 16, 17 of proc(5).
func parseStat(raw []byte) (procStat, bool) {
	end := bytes.LastIndexByte(raw, ')')
	if end < 0 {
		return procStat{}, false
	}
	f := bytes.Fields(raw[end+1:])
	if len(f) < 15 {
		return procStat{}, false
	}
	parent, err := strconv.Atoi(string(f[1]))
	if err != nil {
		return procStat{}, false
	}
	st := procStat{parent: parent}
	for _, field := range f[11:15] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return procStat{}, false
		}
		st.ticks += n
	}
	return st, true
}

// descendants lists the roots that live and everything below them, each once.
func descendants(procs map[int]procStat, roots []int) []int {
	children := make(map[int][]int)
	for pid, p := range procs {
		children[p.parent] = append(children[p.parent], pid)
	}
	seen := make(map[int]bool)
	var all []int
	queue := append([]int(nil), roots...)
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		if _, live := procs[pid]; !live || seen[pid] {
			continue
		}
		seen[pid] = true
		all = append(all, pid)
		queue = append(queue, children[pid]...)
	}
	return all
}

// readMemory gives 0 for a process that ended or that is not ours to see.
func readMemory(pid int) (rss, pss int64) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(raw) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(f[0]) {
		case "Rss:":
			rss = kb << 10
		case "Pss:":
			pss = kb << 10
		}
	}
	return rss, pss
}

// machineTicks is the time that all cores were busy.
func machineTicks() int64 {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	f := bytes.Fields(line)
	var busy int64
	for i, field := range f {
		// cpu user nice system idle iowait irq softirq steal guest guest_nice;
		// guest time is part of user.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0
		}
		busy += n
	}
	return busy
}

// Meter watches process trees from Start to Stop: the CPU that they used between
// and the highest memory that a sample showed.
type Meter struct {
	pids    []int
	first   Usage
	self    Usage
	machine int64
	began   time.Time

	mu   sync.Mutex
	peak Usage
	err  error

	quit chan struct{}
	done chan struct{}
}

// StartMeter begins to watch; it samples memory each interval.
func StartMeter(interval time.Duration, pids ...int) (*Meter, error) {
	m := &Meter{pids: pids, quit: make(chan struct{}), done: make(chan struct{})}
	var err error
	if m.first, err = ReadUsage(pids...); err != nil {
		return nil, err
	}
	if m.self, err = ReadUsage(os.Getpid()); err != nil {
		return nil, err
	}
	m.machine, m.began = machineTicks(), time.Now()
	go m.watch(interval)
	return m, nil
}

func (m *Meter) watch(interval time.Duration) {
	defer close(m.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
			m.sample()
		}
	}
}

func (m *Meter) sample() {
	u, err := ReadUsage(m.pids...)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.err = err
		return
	}
	m.peak.CPUSeconds = u.CPUSeconds
	m.peak.RSS = max(m.peak.RSS, u.RSS)
	m.peak.PSS = max(m.peak.PSS, u.PSS)
	m.peak.Processes = max(m.peak.Processes, u.Processes)
}

// Stop takes the last sample and tells what was used. Call it once.
func (m *Meter) Stop() (Usage, error) {
	close(m.quit)
	<-m.done
	m.sample()
	if m.err != nil {
		return Usage{}, m.err
	}
	u := m.peak
	u.CPUSeconds = max(0, u.CPUSeconds-m.first.CPUSeconds)
	self, err := ReadUsage(os.Getpid())
	if err != nil {
		return Usage{}, err
	}
	// Servers that this process started are its descendants: counted in self.
	mine := self.CPUSeconds - m.self.CPUSeconds
	if !ownTree(m.pids) {
		mine += u.CPUSeconds
	}
	if took := time.Since(m.began).Seconds(); took > 0 {
		busy := float64(machineTicks()-m.machine) / ticksPerSecond
		u.OthersCores = max(0, (busy-mine)/took)
	}
	return u, nil
}

// ownTree says whether all the processes are descendants of this one.
func ownTree(pids []int) bool {
	procs, err := readProcesses()
	if err != nil {
		return false
	}
	mine := make(map[int]bool)
	for _, pid := range descendants(procs, []int{os.Getpid()}) {
		mine[pid] = true
	}
	for _, pid := range pids {
		if !mine[pid] {
			return false
		}
	}
	return true
}
