// Command withengines runs a command, which is `go test` mostly, beside a
// PostgreSQL and an S3 server of its own, which it names in the environment.
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
	env := os.Environ()
	database, err := onFreePort(ctx, func(addr string) (*testkit.Postgres, error) { return testkit.StartPostgres(ctx, addr) })
	switch {
	case errors.Is(err, testkit.ErrNoPostgres) && os.Getenv("CI") != "true":
		// Without the programs the tests of other engines are left out.
		fmt.Println("withengines: skipped:", err)
		return 0, nil
	case err != nil:
		return 1, err
	}
	defer func() { err = errors.Join(err, database.Remove()) }()
	env = append(env, testkit.PostgresEnv+"="+database.URL(""))
	bucket, err := onFreePort(ctx, func(addr string) (*testkit.S3, error) { return testkit.StartS3(ctx, addr) })
	switch {
	case errors.Is(err, testkit.ErrNoS3) && os.Getenv("CI") != "true":
		fmt.Println("withengines: no S3:", err)
	case err != nil:
		return 1, err
	default:
		defer func() { err = errors.Join(err, bucket.Remove()) }()
		env = append(env, testkit.BucketEnv+"="+bucket.URL("*"),
			"AWS_ACCESS_KEY_ID="+bucket.AccessKey, "AWS_SECRET_ACCESS_KEY="+bucket.SecretKey)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// onFreePort starts a server on the first of our ports that it can have.
func onFreePort[T any](ctx context.Context, start func(addr string) (T, error)) (server T, err error) {
	for port := portLow; port <= portHigh && ctx.Err() == nil; port += 7 {
		server, err = start("127.0.0.1:" + strconv.Itoa(port))
		if err == nil || errors.Is(err, testkit.ErrNoPostgres) || errors.Is(err, testkit.ErrNoS3) {
			break
		}
	}
	return server, err
}
