package power_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
	"github.com/hayauma/hayauma/test/power"
)

// defaultCuts is how many moments the power is cut at; HAYAUMA_CUTS overrides it.
const defaultCuts = 200

// TestPowerLoss records what the server does to its disk under load, cuts the
// power at many moments of the record, and starts the server on what is left:
// once on the synced data alone and once with a random part of the rest. What was
// acknowledged before the cut is there, and nothing that can be read is torn. What
// was to be relayed and had not left goes to its host now, and what that host had
// already comes again only if the result was not durable: see relayed.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	strace := testkit.RequireStrace(t)
	cuts, seed := number(t, "HAYAUMA_CUTS", defaultCuts), uint64(number(t, "HAYAUMA_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d (HAYAUMA_SEED repeats the choice of the cuts)", seed)

	rec, w, relayed := recordWork(t, strace, seed)
	promises, first := w.resolve(t, rec)
	sent := dots(t, rec, relayed)
	lines := chooseCuts(rec, moments(promises, sent), cuts, rand.New(rand.NewPCG(seed, 99)))
	t.Logf("%d lines, %d operations on files, %d replies, %d promises, %d recipients relayed", rec.Lines, rec.Operations(), len(rec.Replies), len(promises), len(sent))

	r := &replays{t: t, w: w, promises: promises, sent: sent, first: first, last: rec.Lines, dir: t.TempDir(), seed: seed}
	r.run(rec, lines)
	t.Logf("power loss: %d cuts, %d folders rebuilt and started, %d promises checked, %d messages read whole, %d failures",
		len(lines), r.folders.Load(), r.checked.Load(), r.read.Load(), r.failed.Load())
	t.Logf("of relaying: %d recipients served after a cut, %d of them a second time since the result was not durable",
		r.again.Load(), r.twice.Load())
}

func number(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// recordWork runs the server under strace: from the making of its store to a kill,
// and again from its recovery to its end. It returns the one record of both, the
// promises and what the other host took.
func recordWork(t *testing.T, strace string, seed uint64) (*power.Record, *work, []testkit.MXMessage) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, logs := filepath.Join(dir, "data"), []string{filepath.Join(dir, "strace.1"), filepath.Join(dir, "strace.2")}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	mx, dns, port := startWorld(t, 150*time.Millisecond) // so that many wait, and the power goes between a dot and its reply
	ports := testkit.FreePorts(t, 2)
	options := testkit.ServerOptions{
		Dir: dir, Wrap: power.Strace(strace, logs[0]),
		Config: fmt.Sprintf(config, strconv.Quote(ports[0]), ports[1], dns.Addr, port, "warn"),
	}
	w := &work{smtp: ports[0], imap: ports[1]}
	s := launch(t, options)
	setUp(t, s)
	w.do(t, data, seed)
	s.Kill()
	pids := []int{s.Pid()}

	options.Wrap = power.Strace(strace, logs[1])
	s = launch(t, options)
	w.do(t, data, seed)
	if len(mx.Messages()) == 0 {
		t.Error("nothing was relayed: the record lacks results")
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	return parse(t, data, logs, append(pids, s.Pid())), w, mx.Messages()
}

func launch(t *testing.T, o testkit.ServerOptions) *testkit.Server {
	t.Helper()
	s, err := testkit.LaunchServer(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// do is one round of the work.
func (w *work) do(t *testing.T, data string, seed uint64) {
	t.Helper()
	if err := w.run(t.Context(), seed); err != nil {
		t.Fatal(err)
	}
	settle(t, data)
}

// parse waits until strace has written the end of each process, and reads the
// records as one: what the first left unsynced is so for the second.
func parse(t *testing.T, data string, logs []string, pids []int) *power.Record {
	t.Helper()
	var records []io.Reader
	for i, log := range logs {
		f, err := os.Open(log)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // only read
		end := regexp.MustCompile(`\n` + strconv.Itoa(pids[i]) + ` +\+\+\+ `)
		testkit.Eventually(t, 30*time.Second, "the end of the record", func() bool {
			tail, err := endOf(f)
			if err != nil {
				t.Fatal(err)
			}
			return end.Match(tail) && bytes.HasSuffix(tail, []byte("+++\n"))
		})
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		records = append(records, f)
	}
	rec, err := power.Parse(io.MultiReader(records...), data)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// endOf returns the last part of a file that still grows.
func endOf(f *os.File) ([]byte, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	tail := make([]byte, min(size, 8192))
	_, err = f.ReadAt(tail, size-int64(len(tail)))
	return tail, err
}

func setUp(t *testing.T, s *testkit.Server) {
	t.Helper()
	results := []testkit.Result{s.Hayauma("", "domain", "add", domain)}
	for _, u := range users() {
		results = append(results, s.Hayauma(password+"\n", "account", "add", u, "--password-stdin"))
	}
	for _, r := range results {
		if r.Code != 0 {
			t.Fatalf("set up: %s", r.Stderr)
		}
	}
}

// settle waits until the queue holds nothing that is still on its first way, so
// that attempts, results and bounces are part of the record.
func settle(t *testing.T, data string) {
	t.Helper()
	client := control.Dial(control.SocketPath(data))
	testkit.Eventually(t, worldPatience, "the first attempts", func() bool {
		entries, err := control.Ask(t.Context(), client, control.QueueList, control.QueueFilter{All: true})
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(entries, func(e control.QueueEntry) bool { return e.State != "deferred" && e.State != "held" })
	})
}

// due is a promise with its place in the record.
type due struct {
	promise
	line, end int // end 0 = for ever
}

// resolve finds the replies of the promises. first is the line before which the
// accounts may not be there yet.
func (w *work) resolve(t *testing.T, rec *power.Record) (all []due, first int) {
	t.Helper()
	reply := regexp.MustCompile(`(?m)Accepted as [0-9a-z]+|^reader\d+x\d+ OK`)
	lines := map[string]int{}
	for _, r := range rec.Replies {
		for _, key := range reply.FindAll(r.Text, -1) {
			if _, twice := lines[string(key)]; !twice {
				lines[string(key)] = r.Line
			}
		}
		if first == 0 && bytes.HasPrefix(r.Text, []byte("220 ")) {
			first = r.Line
		}
	}
	for _, p := range w.promises {
		d := due{promise: p, line: lines[p.from], end: lines[p.until]}
		if d.line == 0 || p.until != "" && d.end == 0 {
			t.Fatalf("the record lacks the reply %q or %q (%s)", p.from, p.until, p.what)
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b due) int { return a.line - b.line })
	return all, first
}

// moments are the lines of the acknowledgements and of the final dots.
func moments(promises []due, sent map[string]int) (lines []int) {
	for _, p := range promises {
		lines = append(lines, p.line)
	}
	for _, line := range sent {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// chooseCuts takes half of the cuts right behind acknowledgements and final dots,
// most of these in a row, and half behind any operation on a file.
func chooseCuts(rec *power.Record, acks []int, n int, rng *rand.Rand) []int {
	chosen := map[int]bool{rec.Lines: true} // and the end, where all must hold
	window := min(n/4, len(acks))
	start := rng.IntN(len(acks) - window + 1)
	for _, line := range acks[start : start+window] {
		chosen[line] = true
	}
	for tries := 0; len(chosen) < n && tries < 100*n; tries++ {
		if len(chosen) < n/2 {
			chosen[acks[rng.IntN(len(acks))]] = true
		} else {
			chosen[rec.LineOf(rng.IntN(rec.Operations()))] = true
		}
	}
	var lines []int
	for line := range chosen {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// replays starts the server on many folders, a few at a time.
type replays struct {
	t        *testing.T
	w        *work
	promises []due
	sent     map[string]int // by "Message-ID recipient": the line of its first final dot
	first    int
	last     int // the line at which the server had ended in order
	dir      string
	seed     uint64

	folders, checked, read, again, twice, failed atomic.Int64
}

// replay is one folder to start on.
type replay struct {
	line int
	kind string
	dir  string // holds data
}

// place is where folders are started, one after the other, with the other host.
type place struct {
	ports          []string // smtp and imap
	mx             *testkit.MX
	resolver, port string
}

// maxFailures ends a run that has proved enough.
const maxFailures = 10

func (r *replays) run(rec *power.Record, lines []int) {
	work := make(chan replay)
	var wg sync.WaitGroup
	for range min(2, runtime.NumCPU()) {
		ports := testkit.FreePorts(r.t, 2)
		mx, dns, port := startWorld(r.t, 0)
		place := place{ports: ports, mx: mx, resolver: dns.Addr, port: port}
		wg.Go(func() {
			for p := range work {
				r.folders.Add(1)
				r.t.Run(fmt.Sprintf("line %d, %s", p.line, p.kind), func(t *testing.T) {
					if err := r.check(t, p, place); err != nil {
						r.failed.Add(1)
						t.Error(err)
					}
					if err := os.RemoveAll(p.dir); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	if err := r.rebuild(rec, lines, work); err != nil {
		r.t.Error(err)
	}
	close(work)
	wg.Wait()
}

func (r *replays) rebuild(rec *power.Record, lines []int, work chan<- replay) error {
	disk := power.NewDisk(rec)
	for n, line := range lines {
		if err := disk.Advance(line); err != nil {
			return err
		}
		for kind, fate := range map[string]power.Fate{
			"synced data alone":           power.SyncedOnly(),
			"with a part of what was not": power.SomeUnsynced(rand.New(rand.NewPCG(r.seed, uint64(line)))),
		} {
			p := replay{line: line, kind: kind, dir: filepath.Join(r.dir, fmt.Sprintf("%d.%d", n, len(kind)))}
			if err := os.Mkdir(p.dir, 0o700); err != nil {
				return err
			}
			if err := disk.Rebuild(filepath.Join(p.dir, "data"), fate); err != nil {
				return err
			}
			work <- p
		}
		if r.failed.Load() >= maxFailures {
			return errors.New("too many failures, the rest is left out")
		}
	}
	return nil
}

// check starts the real binary on a folder, lets it relay what is due, and reads
// all that it holds.
func (r *replays) check(t *testing.T, p replay, at place) (err error) {
	had := len(at.mx.Messages())
	s, err := testkit.LaunchServer(t, testkit.ServerOptions{
		Dir: p.dir, Config: fmt.Sprintf(config, strconv.Quote(at.ports[0]), at.ports[1], at.resolver, at.port, "info"),
	})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() {
		s.Kill()
		if !strings.Contains(s.Log(), "body store recovered") {
			err = errors.Join(err, errors.New("the log has no line about the recovery"))
		}
	}()
	client := control.Dial(control.SocketPath(filepath.Join(p.dir, "data")))
	faults, cerr := control.Ask(t.Context(), client, control.Check, control.Empty{})
	for _, f := range faults {
		cerr = errors.Join(cerr, errors.New("check: "+f))
	}
	err = errors.Join(err, cerr)
	if p.line < r.first {
		return err
	}
	settle(t, filepath.Join(p.dir, "data"))
	f, ferr := r.look(t.Context(), client, at.ports[1])
	if err = errors.Join(err, ferr); err != nil {
		return err
	}
	f.line = p.line
	err = f.readSink(at.mx.Messages()[had:])
	for i := range r.promises {
		d := &r.promises[i]
		if d.line > p.line || d.end != 0 && d.end <= p.line {
			continue
		}
		r.checked.Add(1)
		if !d.holds(f) {
			err = errors.Join(err, fmt.Errorf("not kept: %s (acknowledged on line %d)", d.what, d.line))
		}
	}
	r.again.Add(int64(len(f.again)))
	r.twice.Add(int64(f.twice))
	if p.line == r.last && f.twice > 0 {
		err = errors.Join(err, fmt.Errorf("%d recipients were served again though the server had ended in order", f.twice))
	}
	return errors.Join(err, f.doubles())
}

// found is what a server holds.
type found struct {
	mail    map[string]map[string][]readback.Message // by account and Message-ID
	reports map[string][][]byte                      // by account: what the server wrote itself
	queue   map[string]int                           // by "message recipient"
	trace   func(message string) ([]event.Timeline, error)

	line  int            // of the cut
	sent  map[string]int // as that of replays
	again map[string]int // by "Message-ID recipient": how often the other host got it after the cut
	twice int            // of these, how many it may have had before
}

func (f *found) bounced(account, id string) (n int) {
	for _, body := range f.reports[account] {
		if bytes.Contains(body, []byte(id)) {
			n++
		}
	}
	return n
}

// doubles reports what is there more than once.
func (f *found) doubles() (err error) {
	for account, byID := range f.mail {
		for id, messages := range byID {
			if len(messages) > 1 {
				err = errors.Join(err, fmt.Errorf("%s is %d times in the mailboxes of %s", id, len(messages), account))
			}
		}
	}
	for entry, n := range f.queue {
		if n > 1 {
			err = errors.Join(err, fmt.Errorf("%s is %d times in the queue", entry, n))
		}
	}
	return err
}

func (r *replays) look(ctx context.Context, client *control.Client, imap string) (*found, error) {
	f := &found{mail: map[string]map[string][]readback.Message{}, reports: map[string][][]byte{}, queue: map[string]int{}, sent: r.sent, again: map[string]int{}}
	f.trace = func(message string) ([]event.Timeline, error) {
		return control.Ask(ctx, client, control.Trace, control.MessageName{Message: message})
	}
	entries, err := control.Ask(ctx, client, control.QueueList, control.QueueFilter{All: true})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	for _, e := range entries {
		f.queue[e.Message+" "+e.Recipient]++
	}
	for _, user := range users() {
		if err := f.readMail(ctx, imap, user); err != nil {
			return nil, fmt.Errorf("mailboxes of %s: %w", user, err)
		}
		for _, m := range f.mail[user] {
			r.read.Add(int64(len(m)))
		}
	}
	return f, nil
}

func (f *found) readMail(ctx context.Context, imap, user string) error {
	s, err := readback.DialIMAP(ctx, imap, "look", user, password)
	if err != nil {
		return err
	}
	messages, err := s.ReadAll()
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	f.mail[user] = map[string][]readback.Message{}
	for _, m := range messages {
		id, err := readback.Verify(m.Body)
		switch {
		case errors.Is(err, readback.ErrForeign) && bytes.Contains(m.Body, []byte("multipart/report")):
			f.reports[user] = append(f.reports[user], m.Body)
		case err != nil:
			return fmt.Errorf("message %s, uid %d of %s: %w", id, m.UID, m.Mailbox, err)
		default:
			m.Body = nil
			f.mail[user][id] = append(f.mail[user][id], m)
		}
	}
	return nil
}
