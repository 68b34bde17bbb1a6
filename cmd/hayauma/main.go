// Command hayauma is the mail server and everything that drives it.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hayauma/hayauma/internal/timerslack"
)

// sameSignal is how close together two signals are one: some programs signal
// their child and their process group at once, and so the child twice.
const sameSignal = 200 * time.Millisecond

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	args := arguments(os.Args)
	if slices.Contains(args, "serve") {
		timerslack.Widen()
	}
	c := &cli{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, program: os.Args[0]}
	os.Exit(c.run(context.Background(), args))
}

// arguments returns the arguments behind the program's name. Called by the name
// of sendmail, the program is the command that stands in for it.
func arguments(argv []string) []string {
	name := strings.TrimSuffix(filepath.Base(argv[0]), ".exe")
	if name == "sendmail" {
		return append([]string{"send"}, argv[1:]...)
	}
	return argv[1:]
}

// run runs one command line and returns the exit code. The first SIGINT or
// SIGTERM ends the command cleanly, a second one at once.
func (c *cli) run(ctx context.Context, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	root := c.root()
	root.SetArgs(args)
	return c.finish(root.ExecuteContext(ctx))
}
