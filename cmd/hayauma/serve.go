package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/config"
)

func (c *cli) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the mail server in the foreground",
		Long: "Run the mail server in the foreground. It logs to stderr and prints the line\n" +
			"\"ready\" on stdout when all listeners accept. SIGTERM and SIGINT end it cleanly\n" +
			"(a second one at once); SIGHUP reloads settings, certificates and listeners.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.serve(cmd.Context(), nil)
		},
	}
}

// serve runs a server; whenReady, if any, runs after the line "ready".
func (c *cli) serve(ctx context.Context, whenReady func(*config.Config)) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // first of all: until then it would end the process
	defer signal.Stop(hangup)
	cfg, path, err := c.load()
	if err != nil {
		return err
	}
	log, level := c.serverLog(cfg.Log)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return app.Run(ctx, app.Options{
		Config: cfg, ConfigPath: path, Logger: log, Level: level, Version: version,
		Reload: reloads(ctx, hangup),
		Ready: func() {
			fmt.Fprintln(c.stdout, "ready")
			if whenReady != nil {
				whenReady(cfg)
			}
		},
	})
}

// reloads turns signals into requests to reload. Signals that come while one
// request waits are the same request.
func reloads(ctx context.Context, signals <-chan os.Signal) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}
