// Command withengines runs a command, which is `go test` mostly, beside a
// PostgreSQL server of its own, whose URL it puts into the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hayauma/hayauma/internal/testkit"
)

// Ports below those that tests take for themselves.
const (
	portLow  = 11000
	portHigh = 11900
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withengines:", err)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	if len(args) == 0 {
		return 2, errors.New("usage: withengines COMMAND [ARGUMENT ...]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var server *testkit.Postgres
	for port := portLow; ; port += 7 {
		server, err = testkit.StartPostgres(ctx, "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			break
		}
		// Without the programs each test says for itself that it is skipped.
		if errors.Is(err, testkit.ErrNoPostgres) && os.Getenv("CI") != "true" {
			fmt.Println("withengines: skipped:", err)
			return 0, nil
		}
		if port > portHigh || ctx.Err() != nil || errors.Is(err, testkit.ErrNoPostgres) {
			return 1, err
		}
	}
	defer func() { err = errors.Join(err, server.Remove()) }()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), testkit.PostgresEnv+"="+server.URL(""))
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
