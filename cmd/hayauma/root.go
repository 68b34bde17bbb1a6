package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitLater  = 75 // EX_TEMPFAIL of sysexits.h, of send: whoever has the message shall keep it
)

// cli is one run of the command line.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	program        string // as it was called, for lines to copy
	configFlag     string // --config
	json           bool   // --json of a listing
}

// usageError says that the command line itself is wrong.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// exitCode is the end of a command that has said everything itself.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }

// finish tells of an error and returns the exit code.
func (c *cli) finish(err error) int {
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line != "" {
			fmt.Fprintln(c.stderr, "hayauma: "+printable(line))
		}
	}
	if _, wrong := errors.AsType[*usageError](err); wrong {
		return exitUsage
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailed
}

// root is the whole command line.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "hayauma",
		Short:         "A whole mail system in one program",
		Long:          "Hayauma receives, relays, stores and serves mail.\n\nExit codes: 0 done, 1 failed, 2 wrong usage; of send 75: not now, keep the message.",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          chooseCommand,
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&c.configFlag, "config", "",
		"the settings; ./hayauma.toml, then /etc/hayauma/hayauma.toml if not given")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; '%s --help' shows what can be given", err, cmd.CommandPath())
	})
	root.SetVersionTemplate("hayauma {{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		c.serveCommand(), c.checkCommand(),
		c.domainCommand(), c.accountCommand(), c.aliasCommand(), c.identityCommand(), c.loginCommand(), c.banCommand(),
		c.policyCommand(),
		c.queueCommand(), c.outboundCommand(), c.routeCommand(), c.sourceCommand(), c.recallCommand(), c.traceCommand(), c.explainCommand(), c.sendCommand(), c.storageCommand(),
		c.devCommand(), c.demoCommand(), c.benchCommand(), c.versionCommand(),
	)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: chooseCommand}
	g.AddCommand(commands...)
	return g
}

// chooseCommand runs where a command's name should have stood.
func chooseCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("say which command: %s; '%s --help' tells what each does", childNames(cmd), cmd.CommandPath())
	}
	text := fmt.Sprintf("there is no command %q", strings.TrimPrefix(cmd.CommandPath()+" "+args[0], cmd.Root().Name()+" "))
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%s: did you mean %s?", text, strings.Join(near, " or "))
	}
	return usagef("%s; '%s --help' lists those that are", text, cmd.CommandPath())
}

func childNames(cmd *cobra.Command) string {
	var names []string
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			names = append(names, child.Name())
		}
	}
	return strings.Join(names, ", ")
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Tell what a command does",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usagef("%v", err)
			}
			if len(rest) > 0 {
				return chooseCommand(found, rest)
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// exactly wants as many arguments as there are names, all of them in the use
// line; a last name that ends in "..." takes one or more.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		last := len(names) - 1
		many := last >= 0 && strings.HasSuffix(names[last], "...")
		if len(args) == len(names) || many && len(args) > len(names) {
			return nil
		}
		if len(args) > len(names) {
			return usagef("%s takes no argument %q; '%s --help' shows what can be given",
				strings.TrimSpace(cmd.CommandPath()+" "+strings.Join(names, " ")), args[len(names)], cmd.CommandPath())
		}
		return usagef("%s is missing; write '%s'", names[len(args)], strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
}
