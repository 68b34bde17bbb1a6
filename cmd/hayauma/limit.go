package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

func (c *cli) accountLimit() *cobra.Command {
	return c.limitCommand("USER@DOMAIN", "Show or change how much an account may send", control.AccountLimit,
		func(s string) (string, error) {
			a, err := addressArgument(s)
			return a.String(), err
		})
}

func (c *cli) domainLimit() *cobra.Command {
	return c.limitCommand("DOMAIN", "Show or change how much all accounts of a domain may send together", control.DomainLimit,
		func(s string) (string, error) {
			d, err := mail.ParseDomain(s)
			if err != nil {
				return "", usagef("%q: %v; write it like example.org", s, err)
			}
			return d.String(), nil
		})
}

// limitCommand changes what the flags name and shows what holds then.
func (c *cli) limitCommand(who, short string, call control.Call[control.LimitChange, []rate.Usage], parse func(string) (string, error)) *cobra.Command {
	rules := rate.Rules()
	values := make([]int64, len(rules))
	var change control.LimitChange
	cmd := &cobra.Command{
		Use: "limit " + who, Short: short, Args: exactly(who),
		Long: short + ".\n\nA number is its own limit, 0 = none; --default goes back to the settings in [submission]" +
			",\nwhich are for accounts: a domain has no limit but its own.",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := parse(args[0])
			if err != nil {
				return err
			}
			change.Name, change.Set = name, map[string]int64{}
			for i, r := range rules {
				if !cmd.Flags().Changed(limitFlag(r)) {
					continue
				}
				if values[i] < 0 || values[i] > rate.MaxLimit {
					return usagef("--%s %d: %v", limitFlag(r), values[i], rate.ErrLimit)
				}
				change.Set[r.Name] = values[i]
			}
			usage, err := ask(cmd.Context(), c, call, change)
			if err != nil {
				return err
			}
			return c.printUsage(usage)
		},
	}
	cmd.Flags().BoolVar(&change.Default, "default", false, "take its own limits away, before others are set")
	for i, r := range rules {
		cmd.Flags().Int64Var(&values[i], limitFlag(r), 0, "its own limit of "+strings.ReplaceAll(r.Name, "_", " "))
	}
	return c.jsonFlag(cmd)
}

func limitFlag(r rate.Rule) string { return strings.ReplaceAll(r.Name, "_", "-") }

func (c *cli) printUsage(usage []rate.Usage) error {
	return list(c, usage, []string{"LIMIT", "MOST", "SET BY", "USED"}, func(u rate.Usage) []string {
		most, by := "none", "default"
		if u.Limit > 0 {
			most = strconv.FormatInt(u.Limit, 10)
		}
		if u.Own {
			by = "its own"
		}
		return []string{strings.ReplaceAll(u.Rule, "_", "-"), most, by, strconv.FormatInt(u.Used, 10)}
	})
}

func (c *cli) accountHold() *cobra.Command {
	return group("hold", "Accounts that were stopped since they suddenly sent far more than usual", c.holdList(), c.holdRelease())
}

func (c *cli) holdList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the accounts that may not send", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			holds, err := ask(cmd.Context(), c, control.HoldList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, holds, []string{"ACCOUNT", "SINCE", "REASON"}, func(h control.HoldInfo) []string {
				return []string{h.Address, timeText(h.Since), h.Reason}
			})
		},
	})
}

func (c *cli) holdRelease() *cobra.Command {
	return &cobra.Command{
		Use: "release USER@DOMAIN", Short: "Let an account send again, and what it has in the queue go on", Args: exactly("USER@DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, control.HoldRelease, control.AccountName{Address: a.String()}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "released account %s\n", a)
			return err
		},
	}
}
