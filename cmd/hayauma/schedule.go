package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
)

const scheduleLong = `How often, and for how long, some mail is tried. It is MAIL of an account by its address,
to domain:NAME or to all below one as domain:*.NAME, of stream:NAME or of tenant:NAME. Of
several the account goes first, then the domain, the longest before a shorter one, then
the stream, then the tenant. What is not set for any is as queue.retry and queue.lifetime
say.`

func (c *cli) queueSchedule() *cobra.Command {
	g := group("schedule", "How often, and for how long, some mail is tried",
		c.scheduleSet(), c.scheduleRemove(), c.scheduleList())
	g.Long = scheduleLong
	return g
}

func (c *cli) scheduleSet() *cobra.Command {
	var s control.MailSchedule
	cmd := &cobra.Command{
		Use: "set MAIL", Short: "Set retry times and lifetime of some mail, instead of those set before", Args: exactly("MAIL"),
		Long: scheduleLong + "\n\n--lifetime holds for what is accepted from now on, that of a domain for what waits too;\n" +
			"--retry holds from the next attempt on. Where a provider has waits of its own, the longer ones hold.",
		Example: "  hayauma queue schedule set alarms@example.org --retry '1m 2m 5m' --lifetime 2h\n" +
			"  hayauma queue schedule set domain:branch.example --lifetime 14d",
		RunE: func(cmd *cobra.Command, args []string) error {
			s := s
			if s.For = args[0]; s.Retry == "" && s.Lifetime == "" {
				return usagef("say what is other for %s: --retry, --lifetime or both", args[0])
			}
			if _, err := ask(cmd.Context(), c, control.ScheduleSet, s); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "set for %s\n", args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&s.Retry, "retry", "", "waits between attempts, the last repeats: '5m 15m 1h'")
	cmd.Flags().StringVar(&s.Lifetime, "lifetime", "", "given up after this, like 12h or 2d")
	return cmd
}

func (c *cli) scheduleRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove MAIL", Short: "Let some mail have what all other has", Args: exactly("MAIL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := ask(cmd.Context(), c, control.ScheduleRemove, control.MailName{For: args[0]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "nothing is set for %s any more\n", args[0])
			return err
		},
	}
}

func (c *cli) scheduleList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the mail for which something is set", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd.Context(), c, control.ScheduleList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, all, []string{"MAIL", "RETRY", "GIVEN UP AFTER", "SINCE"}, func(s control.MailSchedule) []string {
				return []string{s.For, s.Retry, s.Lifetime, localTime(s.Changed)}
			})
		},
	})
}
