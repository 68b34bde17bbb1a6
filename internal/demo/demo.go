// Package demo shows two servers at work: submission, local delivery, relay,
// reading and timelines, all through real protocols.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Options say what to show.
type Options struct {
	Program string    // the hayauma binary
	Out     io.Writer // where the story is told
	Keep    bool      // leave the temporary folder
}

// The waits of a demonstration: each step has one.
const (
	wholePatience = 60 * time.Second
	stepPatience  = 10 * time.Second
)

// show is one demonstration.
type show struct {
	Options
	dir      string
	one, two *instance
}

// Run gives the demonstration. Its error says which step failed; whatever it
// started has ended when it returns.
func Run(ctx context.Context, o Options) (err error) {
	ctx, cancel := context.WithTimeout(ctx, wholePatience)
	defer cancel()
	dir, err := os.MkdirTemp("", "hayauma-demo-")
	if err != nil {
		return err
	}
	s := &show{Options: o, dir: dir}
	defer func() {
		if o.Keep {
			s.say("data, settings and logs are in %s", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	began := time.Now()
	checks, err := s.play(ctx)
	if ctx.Err() != nil {
		err = fmt.Errorf("it was ended before its time: %w", ctx.Err())
	}
	if err != nil {
		s.say("\nFAILED: %v", err)
		return fmt.Errorf("demo: %w", err)
	}
	s.say("\nOK: two servers, two messages, %d mailboxes read over IMAP and POP3, all as sent, in %.1f s", checks, time.Since(began).Seconds())
	return nil
}

func (s *show) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, format+"\n", args...) // a closed output ends nothing
}

// play runs all steps and returns how many mailboxes it checked.
func (s *show) play(ctx context.Context) (checked int, err error) {
	ports, err := freePorts(ctx)
	if err != nil {
		return 0, err
	}
	names, err := startDNS(ctx, "one.test", addressOne, "two.test", addressTwo)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, names.stop()) }()
	s.say("== a private name server answers on %s", names.addr)
	s.one = newInstance(s, "one.test", addressOne, ports)
	s.two = newInstance(s, "two.test", addressTwo, ports)
	for _, i := range []*instance{s.one, s.two} {
		defer func() { err = errors.Join(err, i.stop()) }()
		if err := i.start(ctx, names.addr); err != nil {
			return 0, err
		}
	}
	alice := s.one.user("alice")
	letters := []letter{
		{from: alice, to: s.one.user("bob"), subject: "早馬が参ります: 議事録の送付", id: "local"},
		{from: alice, to: s.two.user("carol"), subject: "隣の宿場へ: 見積書をお送りします", id: "relayed"},
	}
	for _, u := range []user{alice, letters[0].to, letters[1].to} {
		if err := u.home.addAccount(ctx, u); err != nil {
			return 0, err
		}
	}
	for i := range letters {
		if err := s.deliver(ctx, &letters[i]); err != nil {
			return checked, err
		}
		checked++
	}
	return checked, s.traces(ctx, letters)
}

// deliver submits a letter and reads it at its other end.
func (s *show) deliver(ctx context.Context, l *letter) error {
	if err := l.compose(); err != nil {
		return err
	}
	s.say("\n== %s submits a message to %s", l.from.address, l.to.address)
	reply, err := submit(ctx, l)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	s.say("   the server takes it: %s", reply)
	s.say("== %s reads it", l.to.address)
	for _, way := range []struct {
		name string
		read func(context.Context, user) ([]byte, error)
	}{{"IMAP", readIMAP}, {"POP3", readPOP3}} {
		raw, err := way.read(ctx, l.to)
		if err != nil {
			return fmt.Errorf("read over %s: %w", way.name, err)
		}
		got, err := l.compare(raw)
		if err != nil {
			return fmt.Errorf("read over %s: %w", way.name, err)
		}
		s.say("   %s: %q, attachment %s of %d bytes, checksum equal (%s...)", way.name, got.subject, got.file, got.size, got.sum[:12])
	}
	return nil
}

// traces prints the timelines: of each message at its first server, and of the
// relayed one at its second.
func (s *show) traces(ctx context.Context, letters []letter) error {
	for _, t := range []struct {
		at    *instance
		of    *letter
		until string
	}{{s.one, &letters[0], "filed"}, {s.one, &letters[1], "delivered"}, {s.two, &letters[1], "filed"}} {
		text, err := t.at.trace(ctx, t.of.messageID, t.until)
		if err != nil {
			return err
		}
		s.say("\n== %s: hayauma trace '%s'\n%s", t.at.hostname, t.of.messageID, strings.TrimSpace(text))
	}
	return nil
}
