package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
)

func (c *cli) outboundEvents() *cobra.Command {
	var past control.ProviderPast
	since := ""
	cmd := &cobra.Command{
		Use: "events", Short: "List what happened to providers, the newest first: pauses, fewer connections, domains that are down",
		Long: "List what happened to providers, the newest first: pauses and their end, fewer\n" +
			"connections, domains that cannot be reached, rules of yours that acted. What happens\n" +
			"again within ten minutes stands in one line, with how often.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := config.ParseDuration(since)
			if err != nil || d < time.Second {
				return usagef("--since %q: write a time like 30m, 2h or 3d", since)
			}
			past := past
			past.Seconds = int64(d / time.Second)
			events, err := ask(cmd.Context(), c, control.OutboundEvents, past)
			if err != nil {
				return err
			}
			return list(c, events, []string{"LAST", "FIRST", "TIMES", "PROVIDER", "EVENT", "ABOUT", "WHY"}, func(e control.ProviderEvent) []string {
				return []string{localTime(e.Last), localTime(e.First), strconv.Itoa(e.Times), e.Provider, e.Kind, e.About, e.Text}
			})
		},
	}
	wordVar(cmd, &past.Provider, "provider", "of one provider; of all if not given")
	cmd.Flags().StringVar(&since, "since", "1d", "that happened within this time, like 2h or 3d")
	return c.jsonFlag(cmd)
}
