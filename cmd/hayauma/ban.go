package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/control"
)

func (c *cli) banCommand() *cobra.Command {
	return group("ban", "Who guesses at passwords and is stopped", c.banList(), c.banClear())
}

func (c *cli) banList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List who is banned, stopped or slowed down",
		Long: "List who is banned, stopped or slowed down after failed logins.\n\n" +
			"  banned   this name from this network, until then; it is free from elsewhere\n" +
			"  stopped  this network with names that did not log in from there of late\n" +
			"  slowed   each attempt of this name or network waits, up to 30 seconds",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			entries, err := ask(cmd.Context(), c, control.BanList, control.Empty{})
			if err != nil {
				return err
			}
			titles := []string{"NAME", "NETWORK", "STATE", "FAILURES", "SINCE", "UNTIL", "WHY"}
			return list(c, entries, titles, func(e ban.Entry) []string {
				return []string{
					e.Name, e.Network, e.State, strconv.Itoa(e.Failures),
					timeText(e.Since.Format(time.RFC3339)), timeText(e.Until.Format(time.RFC3339)), e.Why,
				}
			})
		},
	})
}

func (c *cli) banClear() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "clear ADDRESS|NETWORK|--all", Short: "End bans and forget the failures",
		Long: "End the bans of a login name, or of a network with whatever name, and forget\n" +
			"the failures that stop it or slow it down.",
		Example:               "  hayauma ban clear user@example.org\n  hayauma ban clear 192.0.2.7\n  hayauma ban clear 2001:db8::/48",
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if all && len(args) == 0 {
				return nil
			}
			if all {
				return usagef("either %q or --all", args[0])
			}
			return exactly("ADDRESS|NETWORK|--all")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := control.BanFilter{All: all}
			if !all {
				in.Of = args[0]
			}
			cleared, err := ask(cmd.Context(), c, control.BanClear, in)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "cleared %s\n", entriesText(cleared.Entries))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "of everybody")
	return cmd
}

func entriesText(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
