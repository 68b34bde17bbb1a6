package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// benchConfig is what the bench command can be told.
type benchConfig struct {
	source   Source // connections, reuse, size, pipelining
	messages int    // per row; 0 = the row's own number
	rounds   int
	only     string
	hayauma  string
	postgres string // URL of a database for the rows with other engines
	s3       string // storage.bodies of those with S3
	dir      string
	profiles string // folder for the profile of accepting
	keep     bool
	limit    time.Duration // for one run of one row
}

// bench runs each row once in each round, so that all peers see the same moods of
// the machine.
type bench struct {
	benchConfig
	progress io.Writer
	root     string // folder of this bench, below dir
}

func (c *command) bench(ctx context.Context) error {
	b := &bench{progress: c.err}
	var markdown bool
	f := c.define()
	f.IntVar(&b.source.Conns, "conns", 50, "connections at once")
	f.IntVar(&b.source.PerConn, "per-conn", 50, "messages per connection")
	f.IntVar(&b.source.Size, "size", 5120, "bytes of a message")
	f.BoolVar(&b.source.Pipeline, "pipelining", false, "MAIL, RCPT and DATA in one write")
	f.DurationVar(&b.source.Ramp, "ramp", 0, "pause between the starts of two connections")
	f.IntVar(&b.messages, "messages", 0, "messages per run; 0 = by row, some seconds each")
	f.IntVar(&b.rounds, "rounds", 3, "runs of each row, interleaved")
	f.StringVar(&b.only, "only", "", "run only rows whose names contain one of these words (accept,ceiling), or are one (hayauma-accept)")
	f.StringVar(&b.hayauma, "hayauma", "", "the binary; bin/hayauma if empty")
	f.StringVar(&b.postgres, "postgres", os.Getenv("HAYAUMA_TEST_POSTGRES"), "URL of a PostgreSQL database for the rows that use one; empty = without them")
	f.StringVar(&b.s3, "s3", os.Getenv("HAYAUMA_TEST_S3"), "storage.bodies for the rows with S3, its \"*\" a name of each run; empty = without them")
	f.StringVar(&b.dir, "dir", os.TempDir(), "where the peers keep their data while they run")
	f.StringVar(&b.profiles, "profiles", "", "folder for the CPU profile of accepting, cpu.pprof; empty = none is taken")
	f.BoolVar(&b.keep, "keep", false, "leave data and logs of the peers there")
	f.DurationVar(&b.limit, "limit", 3*time.Minute, "for one run of one row")
	f.BoolVar(&markdown, "markdown", false, "print tables in Markdown")
	if err := c.parse(); err != nil {
		return err
	}
	rep, err := b.run(ctx)
	if err != nil {
		return err
	}
	rep.Machine = describeMachine(ctx, b.dir)
	rep.Date = time.Now().UTC().Format("2006-01-02 15:04 MST")
	rep.Command = strings.Join(append([]string{"load", c.name}, c.args...), " ")
	if err := c.report(rep, func(w io.Writer) { rep.print(w, markdown) }); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return rep.failure()
}

func (b *bench) run(ctx context.Context) (*benchReport, error) {
	dir, err := os.MkdirTemp(b.dir, "load-bench-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if !b.keep {
		defer func() { _ = os.RemoveAll(dir) }() // leftovers harm nothing
	}
	// Peers run under users of their own and must reach their folders.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	b.root = dir
	rows := b.chosenRows()
	rep := &benchReport{}
	for _, r := range rows {
		rep.Rows = append(rep.Rows, &benchRow{Name: r.name, Kind: r.kind, Missing: r.missing})
	}
	for round := range b.rounds {
		for i, r := range rows {
			if ctx.Err() != nil {
				return rep, nil
			}
			if out := rep.Rows[i]; out.Missing == "" && out.Error == "" {
				b.runRow(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d", r.name, round)), r, out)
			}
		}
	}
	return rep, nil
}

func (b *bench) runRow(ctx context.Context, dir string, r row, out *benchRow) {
	ctx, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	err := os.Mkdir(dir, 0o755)
	var res *Result
	if err == nil {
		res, err = r.run(ctx, dir)
	}
	if err == nil && res.Failed > 0 {
		err = fmt.Errorf("%d messages failed: %v", res.Failed, res.Errors)
	}
	if !b.keep {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		out.Error = err.Error()
		_, _ = fmt.Fprintf(b.progress, "%-24s %v\n", r.name, err)
		return
	}
	out.Runs = append(out.Runs, res)
	_, _ = fmt.Fprintf(b.progress, "%-24s %8.0f/s  p50 %7.2f ms  CPU %.3f s/1000  RSS %s  others %.1f\n",
		r.name, res.PerSecond, res.Latency.P50, res.CPUPer1000, mib(res.Usage.RSS), res.Usage.OthersCores)
}

// drive is one measured run against a server that is up.
type drive struct {
	source  Source
	warm    int // messages before the clock starts
	pids    []int
	every   time.Duration                                // between two looks at memory
	settled func(ctx context.Context, total int64) error // returns when all arrived; nil = at the final 250
	kept    func(ctx context.Context) (int64, error)     // how many the server has in the end; nil = not asked
}

// run sends the warm-up, then the measured messages until the last one is where
// it should be.
func (d drive) run(ctx context.Context) (*Result, error) {
	settle := d.settled
	if settle == nil {
		settle = func(context.Context, int64) error { return nil }
	}
	warm := d.source
	warm.Messages = d.warm
	res, err := warm.Send(ctx)
	if err != nil {
		return nil, err
	}
	if res.Failed > 0 || res.Messages < d.warm {
		return nil, fmt.Errorf("warm-up: %d of %d messages: %v", res.Messages, d.warm, res.Errors)
	}
	if err := settle(ctx, int64(d.warm)); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	if d.every == 0 {
		d.every = sampleEvery
	}
	out, err := measure(func() (*Result, error) {
		began := time.Now()
		res, err := d.source.Send(ctx)
		if err != nil {
			return nil, err
		}
		if res.Messages < d.source.Messages {
			return nil, fmt.Errorf("%d of %d messages: %v", res.Messages, d.source.Messages, res.Errors)
		}
		if err := settle(ctx, int64(d.warm+res.Messages)); err != nil {
			return nil, err
		}
		res.close(time.Since(began))
		return res, nil
	}, d.every, d.pids...)
	if err != nil || d.kept == nil {
		return out, err
	}
	// A 250 for what is not there must not win, nor one that keeps it twice.
	n, err := d.kept(ctx)
	if want := int64(d.warm + out.Messages); err == nil && n != want {
		err = fmt.Errorf("%d messages got 250, the server has %d", want, n)
	}
	return out, err
}
