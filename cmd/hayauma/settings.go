package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
)

// load reads the settings and tells from where.
func (c *cli) load() (*config.Config, string, error) {
	path, err := config.Find(c.configFlag)
	if err != nil {
		return nil, "", err
	}
	cfg, err := config.Load(path)
	return cfg, path, err
}

// serverLog is the log of a server, with the level that a reload changes.
func (c *cli) serverLog(set config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(set.SlogLevel())
	options := &slog.HandlerOptions{Level: level}
	if set.Format == "json" {
		return slog.New(slog.NewJSONHandler(c.stderr, options)), level
	}
	return slog.New(slog.NewTextHandler(c.stderr, options)), level
}

// quietLog is the log of a command: only what needs attention.
func (c *cli) quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// with runs do with a client of the running server, or of the stores of a
// stopped one.
func (c *cli) with(ctx context.Context, do func(*control.Client, *config.Config) error) error {
	return c.reach(ctx, false, do)
}

// reach is with; where first is set, do may be the first that is done in data_dir.
func (c *cli) reach(ctx context.Context, first bool, do func(*control.Client, *config.Config) error) (err error) {
	cfg, path, err := c.load()
	if err != nil {
		return c.despite(ctx, path, err, do)
	}
	if !first {
		if err := app.Installed(cfg); err != nil {
			return err
		}
	}
	client, end, err := app.Control(ctx, cfg, c.quietLog())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return do(client, cfg)
}

// despite is with where the settings are wrong. A server that runs has read others before:
// a mistyped key must not take it from its operator.
func (c *cli) despite(ctx context.Context, path string, wrong error, do func(*control.Client, *config.Config) error) error {
	if path == "" {
		return wrong
	}
	cfg, err := config.Despite(path, "data_dir", "hostname")
	if err != nil || !serverRuns(ctx, cfg) {
		return wrong
	}
	for line := range strings.SplitSeq(wrong.Error(), "\n") {
		c.warn("the settings are wrong, and the server runs on with those that it has read before: %s", line)
	}
	return do(control.Dial(control.SocketPath(cfg.DataDir)), cfg)
}

// ask makes one call.
func ask[In, Out any](ctx context.Context, c *cli, call control.Call[In, Out], in In) (out Out, err error) {
	err = c.reach(ctx, founds(call.Name), func(client *control.Client, _ *config.Config) error {
		out, err = control.Ask(ctx, client, call, in)
		return err
	})
	return out, err
}

// founds tells whether a call may be the first of an installation: it sets up what needs
// nothing that was set up before.
func founds(call string) bool {
	switch call {
	case control.DomainAdd.Name, control.RouteSet.Name, control.SourcePoolSet.Name, control.PolicyAdd.Name,
		control.OutboundLimit.Name, control.ReplyAdd.Name, control.ScheduleSet.Name:
		return true
	}
	return false
}
