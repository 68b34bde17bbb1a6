package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/relay/event"
)

func (c *cli) loginCommand() *cobra.Command {
	return group("login", "Who could not log in", c.loginList())
}

func (c *cli) loginList() *cobra.Command {
	var f control.LoginFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List the last failed logins, newest first",
		Long: "List the last failed logins, newest first. NAME stands as it was typed. Where one\n" +
			"network, or all together, failed too often within a minute, a line stands for many.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 1 || f.Limit > control.MaxLogins {
				return usagef("--limit %d: must be from 1 to %d", f.Limit, control.MaxLogins)
			}
			events, err := ask(cmd.Context(), c, control.LoginList, f)
			if err != nil {
				return err
			}
			titles := []string{"TIME", "NAME", "ACCOUNT", "PEER", "DOOR", "MECHANISM", "REASON"}
			return list(c, events, titles, func(e event.Event) []string {
				d := e.Detail
				return []string{
					e.Time().Local().Format(time.DateTime), d.Login, d.Account, d.Peer, d.Door, d.Mechanism, loginReason(d),
				}
			})
		},
	}
	wordVar(cmd, &f.Account, "account", "of one account, by its address")
	cmd.Flags().IntVar(&f.Limit, "limit", control.DefaultLogins, fmt.Sprintf("at most this many, up to %d", control.MaxLogins))
	return c.jsonFlag(cmd)
}

// loginReason says why a login failed, and what followed.
func loginReason(d event.Detail) string {
	if d.More > 0 {
		from := "from this network"
		if d.Peer == "" {
			from = "from elsewhere"
		}
		return fmt.Sprintf("%d more within this minute %s", d.More, from)
	}
	if d.Next != "" {
		return d.Reason + "; banned until " + timeText(d.Next)
	}
	return d.Reason
}
