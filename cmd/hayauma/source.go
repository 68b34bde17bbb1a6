package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/source"
)

func (c *cli) sourceCommand() *cobra.Command {
	return group("source", "The addresses of this machine from which mail goes out",
		group("pool", "Pools of source addresses", c.sourcePoolAdd(), c.sourcePoolRemove(), c.sourcePoolList()),
		c.sourceAdd(), c.sourceRemove(), c.sourcePlan(),
		group("rule", "Which messages leave by which pool", c.sourceRuleAdd(), c.sourceRuleRemove(), c.sourceRuleList()),
	)
}

func (c *cli) sourcePoolAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add POOL", Short: "Add a pool, or change one",
		Long: "Add a pool, or change its overflow and its schedule; what no flag names stays as it\n" +
			"is. Its addresses come by 'hayauma source add', what leaves by it by 'hayauma source\n" +
			"rule add'.",
		Example: "  hayauma source pool add new --overflow old\n" +
			"  hayauma source pool add new --overflow old --warm-up '20 50 100 200 500 1000'",
		Args: exactly("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := source.PoolChange{Name: args[0], Overflow: changedText(cmd, "overflow"), WarmUp: changedText(cmd, "warm-up")}
			if change.WarmUp != nil {
				if _, err := source.ParseWarmUp(*change.WarmUp); err != nil {
					return usagef("%v", err)
				}
			}
			p, err := ask(cmd.Context(), c, control.SourcePoolSet, change)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "pool %s: overflow %s, warm-up %s\n", p.Name, cmp.Or(p.Overflow, "none"),
				cmp.Or(source.FormatWarmUp(p.WarmUp), "of 30 days"))
			return err
		},
	}
	cmd.Flags().String("overflow", "", "the pool that takes what the warm-up does not allow; '' = none: it waits")
	cmd.Flags().String("warm-up", "", "messages to one provider on each day of the warm-up: '50 100 200'; '' = 30 days from 50 to 650000")
	return cmd
}

func (c *cli) sourcePoolRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove POOL", Short: "Remove a pool and its addresses", Args: exactly("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := ask(cmd.Context(), c, control.SourcePoolRemove, control.SourcePool{Pool: args[0]})
			return err
		},
	}
}

func (c *cli) sourcePoolList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the pools and their addresses", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pools, err := ask(cmd.Context(), c, control.SourcePoolList, control.Empty{})
			if err != nil || c.json {
				if pools == nil {
					pools = []source.Pool{}
				}
				return printOr(c, pools, err)
			}
			var rows [][]string
			for _, p := range pools {
				if len(p.Addresses) == 0 {
					rows = append(rows, []string{p.Name, orDash(p.Overflow), "-", "-", "-", "-"})
				}
				for _, a := range p.Addresses {
					rows = append(rows, []string{p.Name, orDash(p.Overflow), a.Addr.String(), orDash(a.EHLO), strconv.Itoa(a.Weight), warmUpText(a)})
				}
			}
			return c.table([]string{"POOL", "OVERFLOW", "ADDRESS", "EHLO", "WEIGHT", "WARM-UP"}, rows)
		},
	})
}

func printOr(c *cli, v any, err error) error {
	if err != nil {
		return err
	}
	return c.printJSON(v)
}

func warmUpText(a source.Address) string {
	if a.Since == 0 {
		return "done"
	}
	return "since " + mail.FromMicros(a.Since).Local().Format("2006-01-02")
}

func (c *cli) sourceAdd() *cobra.Command {
	weight := 0
	cmd := &cobra.Command{
		Use: "add POOL ADDRESS", Short: "Add an address of this machine to a pool, or change it",
		Long: "Add an address of this machine to a pool, or change it there; what no flag names\n" +
			"stays as it is. An address is in one pool. With --warm-up it brings each provider\n" +
			"little at first and more each day; a warm-up that is under way goes on, until it is\n" +
			"over or --warm-up=false ends it. A new address without it is taken for warmed.",
		Args: exactly("POOL", "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := source.Addition{Pool: args[0], Address: args[1], EHLO: changedText(cmd, "ehlo"), WarmUp: changedBool(cmd, "warm-up")}
			if cmd.Flags().Changed("weight") {
				in.Weight = &weight
			}
			a, err := ask(cmd.Context(), c, control.SourceAdd, in)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "%s of the pool %s: EHLO %s, weight %d, warm-up %s\n", a.Addr, a.Pool,
				cmp.Or(a.EHLO, "as the server"), a.Weight, warmUpText(a))
			return err
		},
	}
	cmd.Flags().String("ehlo", "", "the name that its reverse lookup gives; '' = the server's hostname")
	cmd.Flags().IntVar(&weight, "weight", 1, "its share of the connections among those of its pool, 1 to 1000")
	cmd.Flags().Bool("warm-up", false, "it is new to those whom it brings mail; =false ends its warm-up")
	return cmd
}

func (c *cli) sourceRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS", Short: "Take an address out of its pool and forget its warm-up", Args: exactly("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := ask(cmd.Context(), c, control.SourceRemove, control.SourceName{Address: args[0]})
			return err
		},
	}
}

func (c *cli) sourcePlan() *cobra.Command {
	in := control.SourceQuestion{}
	cmd := &cobra.Command{
		Use: "plan [POOL]", Short: "Show the warm-up of the addresses, today and on the days to come",
		Long: "Show the warm-up of the addresses that are not warmed: for each provider the day of\n" +
			"the schedule, what it allows today, what was sent, and what the next days allow. The\n" +
			"last column is the first day without a bound, if each day uses at least half of what\n" +
			"it may; a day that does not is repeated. Days are those of UTC.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				in.Pool = args[0]
			}
			plans, err := ask(cmd.Context(), c, control.SourcePlan, in)
			if err != nil {
				return err
			}
			return list(c, plans, []string{"POOL", "ADDRESS", "PROVIDER", "DAY", "TODAY", "SENT", "NEXT DAYS", "WARMED ON"}, func(p source.Plan) []string {
				ahead := make([]string, len(p.Ahead))
				for i, d := range p.Ahead {
					ahead[i] = strconv.Itoa(d.Budget)
				}
				provider := p.Provider
				if provider == "" {
					provider = "(a new one)"
				}
				return []string{p.Pool, p.Address, provider, fmt.Sprintf("%d of %d", p.Day, p.Days), strconv.Itoa(p.Budget), strconv.Itoa(p.Sent),
					orDash(strings.Join(ahead, " ")), p.Ends}
			})
		},
	}
	cmd.Flags().IntVar(&in.Ahead, "days", 5, "how many days to come are shown")
	return c.jsonFlag(cmd)
}

// ruleFlags are the flags that say which messages a rule is about.
func ruleFlags(cmd *cobra.Command, r *source.Rule) func() error {
	values := map[source.Kind]*string{}
	for kind, help := range map[source.Kind]string{
		source.Tag: "messages with this tag (see 'hayauma policy add --action tag')", source.Account: "messages that this account submits",
		source.Stream: "messages of this stream", source.Tenant: "messages of this tenant, by its id",
	} {
		values[kind] = cmd.Flags().String(string(kind), "", help)
	}
	everyone := cmd.Flags().Bool("everyone", false, "all messages for which there is no other rule")
	return func() error {
		n := 0
		for _, kind := range source.Kinds() {
			if v := values[kind]; v != nil && cmd.Flags().Changed(string(kind)) {
				r.Kind, r.Name = kind, *v
				n++
			}
		}
		if *everyone {
			r.Kind, r.Name = source.Everyone, ""
			n++
		}
		if n != 1 {
			return usagef("say which messages by one of --tag, --account, --stream, --tenant and --everyone")
		}
		return nil
	}
}

func (c *cli) sourceRuleAdd() *cobra.Command {
	var r source.Rule
	cmd := &cobra.Command{
		Use: "add POOL", Short: "Say which messages leave by a pool",
		Long: "Say which messages leave by a pool, instead of what was said of them before. Where\n" +
			"several rules know a message the first counts of: tag, account, stream, tenant,\n" +
			"everyone. What no rule knows leaves by the address that the system takes.",
		Example: "  hayauma source rule add bulk --tag newsletter\n  hayauma source rule add main --everyone",
		Args:    exactly("POOL"),
	}
	which := ruleFlags(cmd, &r)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := which(); err != nil {
			return err
		}
		r.Pool = args[0]
		_, err := ask(cmd.Context(), c, control.SourceRuleSet, r)
		return err
	}
	return cmd
}

func (c *cli) sourceRuleRemove() *cobra.Command {
	var r source.Rule
	cmd := &cobra.Command{Use: "remove", Short: "Take back what was said of some messages", Args: exactly()}
	which := ruleFlags(cmd, &r)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := which(); err != nil {
			return err
		}
		_, err := ask(cmd.Context(), c, control.SourceRuleRemove, r)
		return err
	}
	return cmd
}

func (c *cli) sourceRuleList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the rules in the order in which they count", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := ask(cmd.Context(), c, control.SourceRuleList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, rules, []string{"MESSAGES OF", "", "POOL"}, func(r source.Rule) []string {
				return []string{string(r.Kind), orDash(printable(r.Name)), r.Pool}
			})
		},
	})
}

// printSource tells from which of our addresses mail would go.
func printSource(r *control.SourceRoute, line func(name, text string)) {
	if r.Pool == "" {
		line("source", cmp.Or(r.System, "whatever address the system takes")+" (no pool: the system chooses it)")
		return
	}
	name := "source"
	for _, o := range r.Offers {
		text := fmt.Sprintf("%s of pool %s, weight %d", o.Addr, o.Pool, o.Weight)
		if o.Overflow {
			text += ", for the overflow"
		}
		if o.EHLO != "" {
			text += ", as " + o.EHLO
		}
		if p := o.Plan; p != nil {
			text += fmt.Sprintf("; warm-up: day %d of %d, %d of %d sent", p.Day, p.Days, p.Sent, p.Budget)
		}
		if o.Out != "" {
			text += "; not now: " + o.Out
		}
		line(name, text)
		name = ""
	}
	if r.Wait != "" {
		line(name, r.Wait)
	}
}
