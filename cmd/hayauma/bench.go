package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/test/load"
)

func (c *cli) benchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bench --compare | source|sink|imap|pop3 [FLAGS]",
		Short: "Drive a mail server on loopback and measure it",
		Long: "Drive a mail server on loopback and measure it. Any other address is refused.\n\n" +
			"  --compare   measure Hayauma and, where they are installed, other servers in turn\n" +
			"  source      send messages over SMTP or LMTP\n" +
			"  sink        take messages and keep none\n" +
			"  imap, pop3  log in and read\n\n" +
			"Each has -h.",
		DisableFlagParsing: true, // the load tool has flags of its own
		RunE: func(cmd *cobra.Command, args []string) error {
			args = benchArguments(args)
			if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			if len(args) == 0 {
				return usagef("say what to do: --compare, source, sink, imap or pop3; 'hayauma bench --help' tells what each does")
			}
			if code := load.Run(cmd.Context(), args, c.stdout, c.stderr); code != exitDone {
				return exitCode(code)
			}
			return nil
		},
	}
}

// benchArguments makes those of the load tool: --compare is its command bench,
// which measures this binary unless told otherwise, and --config means nothing
// to it.
func benchArguments(args []string) []string {
	compare, named := false, false
	var out []string
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		flag := strings.HasPrefix(args[i], "-")
		switch {
		case flag && name == "config":
			if !joined {
				i++
			}
			continue
		case flag && name == "compare":
			compare = true
			continue
		case flag && name == "hayauma":
			named = true
		}
		out = append(out, args[i])
	}
	if compare {
		out = append([]string{"bench"}, out...)
	}
	if len(out) > 0 && out[0] == "bench" && !named {
		if self, err := os.Executable(); err == nil {
			out = append(out, "-hayauma", self)
		}
	}
	return out
}
