// Command testreport runs `go test -json` and prints what a reader needs: a
// line for each package as go test prints it, the whole output of what failed,
// every skipped test with its reason, and the counts.
//
// With -noskip a skipped test makes it fail.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	noSkip := flag.Bool("noskip", false, "a skipped test is a failure")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: testreport [-noskip] -- go test -json ...")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code := run(ctx, os.Stdout, flag.Args(), *noSkip)
	stop()
	os.Exit(code)
}

// run returns the exit code: that of the command, or 1 for skips not allowed
// or for a run without a test.
func run(ctx context.Context, out io.Writer, argv []string, noSkip bool) int {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(out, "testreport:", err)
		return 1
	}
	r := newReport(out)
	readErr := r.read(events)
	if readErr != nil {
		fmt.Fprintln(out, "testreport:", readErr)
		_, _ = io.Copy(io.Discard, events) // so that the command can end
	}
	err = cmd.Wait()
	ok := r.finish(noSkip)
	if err != nil {
		fmt.Fprintln(out, "testreport: go test:", err)
	}
	if err != nil || readErr != nil || !ok {
		return 1
	}
	return 0
}
