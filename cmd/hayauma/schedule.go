package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
)

const scheduleLong = `How often, and for how long, the mail of a sender is tried. SENDER is the address of an
account, stream:NAME or tenant:NAME; of several the account goes first, then the stream,
then the tenant. What is not set for any is as queue.retry and queue.lifetime say.`

func (c *cli) queueSchedule() *cobra.Command {
	g := group("schedule", "How often, and for how long, the mail of a sender is tried",
		c.scheduleSet(), c.scheduleRemove(), c.scheduleList())
	g.Long = scheduleLong
	return g
}

func (c *cli) scheduleSet() *cobra.Command {
	var s control.SenderSchedule
	cmd := &cobra.Command{
		Use: "set SENDER", Short: "Set retry times and lifetime of a sender, instead of those set before", Args: exactly("SENDER"),
		Long: scheduleLong + "\n\n--lifetime holds for what is accepted from now on, --retry from the next attempt on.\n" +
			"Where a provider has waits of its own, the longer ones hold.",
		Example: "  hayauma queue schedule set alarms@example.org --retry '1m 2m 5m' --lifetime 2h",
		RunE: func(cmd *cobra.Command, args []string) error {
			s := s
			if s.Sender = args[0]; s.Retry == "" && s.Lifetime == "" {
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
		Use: "remove SENDER", Short: "Let a sender have what everybody has", Args: exactly("SENDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := ask(cmd.Context(), c, control.ScheduleRemove, control.SenderName{Sender: args[0]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "nothing is set for %s any more\n", args[0])
			return err
		},
	}
}

func (c *cli) scheduleList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the senders for whom something is set", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd.Context(), c, control.ScheduleList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, all, []string{"SENDER", "RETRY", "GIVEN UP AFTER", "SINCE"}, func(s control.SenderSchedule) []string {
				return []string{s.Sender, s.Retry, s.Lifetime, localTime(s.Changed)}
			})
		},
	})
}
