package load

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit codes of Run.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

var errUsage = errors.New("wrong usage")

const usage = `usage: load source|sink|imap|pop3|bench [flags]

  source   send messages over SMTP or LMTP
  sink     take messages and keep none
  imap     log in and read, or hold sessions in IDLE (-idle)
  pop3     log in and read
  bench    run all peers that are installed in turn and compare them

Every address must be loopback. Each command has -h.
`

// Run is the command line: args without the program's name. It returns the exit
// code: 0 done, 1 failed, 2 wrong usage. SIGINT and SIGTERM end it cleanly.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	c := &command{name: args[0], args: args[1:], out: stdout, err: stderr}
	var err error
	switch c.name {
	case "source":
		err = c.source(ctx)
	case "sink":
		err = c.sink(ctx)
	case "imap":
		err = c.read(ctx, true)
	case "pop3":
		err = c.read(ctx, false)
	case "bench":
		err = c.bench(ctx)
	case "help", "-h", "--help":
		_, _ = io.WriteString(stdout, usage)
	default:
		_, _ = io.WriteString(stderr, usage)
		err = errUsage
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errUsage):
		return exitUsage
	default:
		_, _ = fmt.Fprintf(stderr, "load %s: %v\n", c.name, err)
		return exitFailed
	}
}

// command is one run of a subcommand.
type command struct {
	name     string
	args     []string
	out, err io.Writer

	flags *flag.FlagSet
	json  bool
	pids  string
	procs int
}

func (c *command) define() *flag.FlagSet {
	c.flags = flag.NewFlagSet("load "+c.name, flag.ContinueOnError)
	c.flags.SetOutput(c.err)
	c.flags.BoolVar(&c.json, "json", false, "print JSON")
	c.flags.IntVar(&c.procs, "procs", 0, "threads that run Go code at once; 0 = one per core")
	return c.flags
}

func (c *command) parse() error {
	if err := c.flags.Parse(c.args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage // the flag set has said what is wrong
	}
	if c.flags.NArg() > 0 {
		_, _ = fmt.Fprintf(c.err, "load %s: unexpected argument %q\n", c.name, c.flags.Arg(0))
		return errUsage
	}
	if c.procs > 0 {
		runtime.GOMAXPROCS(c.procs)
	}
	return nil
}

func (c *command) source(ctx context.Context) (err error) {
	var s Source
	var record string
	f := c.define()
	f.StringVar(&s.Addr, "addr", "127.0.0.1:25", "server, host:port or unix:/path")
	f.BoolVar(&s.LMTP, "lmtp", false, "speak LMTP")
	f.IntVar(&s.Conns, "conns", 50, "connections at once")
	f.IntVar(&s.PerConn, "per-conn", 50, "messages per connection; 0 = no end")
	f.IntVar(&s.Messages, "messages", 5000, "messages in all")
	f.IntVar(&s.Size, "size", 5120, "bytes of a message")
	f.IntVar(&s.Mailboxes, "mailboxes", 1, "recipients are user0 ... user(N-1)")
	f.StringVar(&s.Domain, "domain", "dest.test", "domain of the recipients")
	f.IntVar(&s.Rcpts, "rcpts", 1, "recipients per message")
	f.StringVar(&s.From, "from", "sender@load.invalid", "reverse-path")
	f.StringVar(&s.Helo, "helo", "load.invalid", "name in EHLO")
	f.StringVar(&s.Auth, "auth", "", "user:password for AUTH PLAIN")
	f.BoolVar(&s.StartTLS, "starttls", false, "STARTTLS first")
	f.BoolVar(&s.TLS, "tls", false, "TLS from the start")
	f.BoolVar(&s.Pipeline, "pipelining", false, "MAIL, RCPT and DATA in one write")
	f.DurationVar(&s.Ramp, "ramp", 0, "pause between the starts of two connections")
	f.DurationVar(&s.Timeout, "timeout", time.Minute, "for one message")
	f.StringVar(&s.Run, "run", "", "name of this run, part of each Message-ID; random if empty")
	f.BoolVar(&s.Repeat, "repeat-unconfirmed", false, "send again, with the same Message-ID, what got no final reply")
	f.DurationVar(&s.RepeatFor, "repeat-for", time.Minute, "give up after this long without success")
	f.StringVar(&record, "record", "", "append a line for each message that got 250 to this file")
	f.StringVar(&c.pids, "pid", "", "processes of the server to measure, with their children: 1,2")
	if err := c.parse(); err != nil {
		return err
	}
	if record != "" {
		file, err := os.OpenFile(record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		s.OnAccepted = WriteRecord(file)
	}
	res, err := c.measured(func() (*Result, error) { return s.Send(ctx) })
	if err != nil {
		return err
	}
	if err := c.report(res, res.print); err != nil {
		return err
	}
	if res.Messages < s.Messages {
		return fmt.Errorf("%d of %d messages were accepted", res.Messages, s.Messages)
	}
	return nil
}

// measured runs a source with the meter on the -pid processes.
func (c *command) measured(send func() (*Result, error)) (*Result, error) {
	pids, err := parsePIDs(c.pids)
	if err != nil {
		return nil, err
	}
	return measure(send, sampleEvery, pids...)
}

// sampleEvery is the interval at which memory is looked at during a run.
const sampleEvery = 500 * time.Millisecond

func measure(send func() (*Result, error), every time.Duration, pids ...int) (*Result, error) {
	if len(pids) == 0 {
		return send()
	}
	m, err := StartMeter(every, pids...)
	if err != nil {
		return nil, err
	}
	res, sendErr := send()
	u, err := m.Stop()
	if err := errors.Join(sendErr, err); err != nil {
		return nil, err
	}
	res.weigh(u)
	return res, nil
}

func (c *command) sink(ctx context.Context) error {
	var s Sink
	var wait int64
	f := c.define()
	f.StringVar(&s.Addr, "addr", "127.0.0.1:2526", "where to listen")
	f.DurationVar(&s.Delay, "delay", 0, "before the reply to each message")
	f.Int64Var(&wait, "messages", 0, "end after this many; 0 = at SIGINT")
	if err := c.parse(); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer s.Close()
	_, _ = fmt.Fprintf(c.err, "listening on %s\n", s.Address())
	began := time.Now()
	if wait > 0 {
		if err := s.Wait(ctx, wait); err != nil && ctx.Err() == nil {
			return err
		}
	} else {
		<-ctx.Done()
	}
	res := &Result{Messages: int(s.Count()), bytes: s.Bytes()}
	res.close(time.Since(began))
	return c.report(res, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%d messages, %.1f MB\n", s.Count(), float64(s.Bytes())/1e6)
	})
}

func (c *command) read(ctx context.Context, imap bool) error {
	var r Reader
	var idle int
	var hold time.Duration
	f := c.define()
	f.StringVar(&r.Addr, "addr", "127.0.0.1:143", "server, host:port")
	f.IntVar(&r.Sessions, "sessions", 10, "sessions at once")
	f.IntVar(&r.Rounds, "rounds", 1, "times that each session reads its mailbox")
	f.IntVar(&r.Mailboxes, "mailboxes", 1, "logins are user0 ... user(N-1)")
	f.StringVar(&r.Domain, "domain", "", "appended to the login with @")
	f.StringVar(&r.Password, "password", "", "the password of all")
	f.BoolVar(&r.TLS, "tls", false, "TLS from the start")
	f.DurationVar(&r.Timeout, "timeout", time.Minute, "for one command")
	f.StringVar(&c.pids, "pid", "", "processes of the server to measure, with their children: 1,2")
	if imap {
		f.IntVar(&idle, "idle", 0, "hold this many sessions in IDLE and print the memory of -pid")
		f.DurationVar(&hold, "hold", 0, "keep them idle this long before measuring")
	}
	if err := c.parse(); err != nil {
		return err
	}
	pids, err := parsePIDs(c.pids)
	if err != nil {
		return err
	}
	if idle > 0 {
		r.Sessions = idle
		return c.idle(ctx, &r, hold, pids)
	}
	read := r.ReadPOP3
	if imap {
		read = r.ReadIMAP
	}
	m, err := StartMeter(sampleEvery, pids...)
	if err != nil {
		return err
	}
	res, err := read(ctx)
	u, meterErr := m.Stop()
	if err := errors.Join(err, meterErr); err != nil {
		return err
	}
	res.Usage = u
	return c.report(res, res.print)
}

func (c *command) idle(ctx context.Context, r *Reader, hold time.Duration, pids []int) error {
	before, err := ReadUsage(pids...)
	if err != nil {
		return err
	}
	var after Usage
	res, err := r.HoldIdle(ctx, func() (err error) {
		if hold > 0 {
			pause(ctx, hold)
		}
		after, err = ReadUsage(pids...)
		return err
	})
	if err != nil {
		return err
	}
	res.Usage = after
	return c.report(res, func(w io.Writer) {
		res.print(w)
		_, _ = fmt.Fprintf(w, "memory before: RSS %s, PSS %s, %d processes\n",
			mib(before.RSS), mib(before.PSS), before.Processes)
	})
}

func (c *command) report(v any, human func(io.Writer)) error {
	if !c.json {
		human(c.out)
		return nil
	}
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func parsePIDs(s string) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	var pids []int
	for field := range strings.SplitSeq(s, ",") {
		pid, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || pid <= 0 {
			return nil, fmt.Errorf("-pid: %q is not a process id", field)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
