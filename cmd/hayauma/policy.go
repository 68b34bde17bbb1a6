package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

func (c *cli) policyCommand() *cobra.Command {
	return group("policy", "The access rules: who may bring mail, and what happens to it",
		c.policyAdd(), c.policyMove(), c.policyRemove(),
		c.policyTurn("enable", "Let a rule be asked again", true),
		c.policyTurn("disable", "Keep a rule without asking it", false),
		c.policyList(), c.policyTest(),
	)
}

const policyAddLong = `Add an access rule. Rules are asked in their order. All conditions of a rule must
hold, each by one of its values: a flag may stand several times.

  accept      no later rule is asked; it lets nobody relay
  reject      550 5.7.1 with --text
  defer       450 4.7.1 with --text: the sender comes again
  quarantine  the mail is taken and held for you
  tarpit      the reply waits for --delay, then the next rule is asked
  tag         the message gets the word of --tag, then the next rule is asked

In names and addresses * stands for any characters and case does not count.`

func (c *cli) policyAdd() *cobra.Command {
	var r rule.Rule
	var p rule.Place
	var delay time.Duration
	cmd := &cobra.Command{
		Use: "add NAME --action ACTION CONDITION...", Short: "Add a rule", Long: policyAddLong,
		Example: "  hayauma policy add office --action accept --network 192.0.2.0/24\n" +
			"  hayauma policy add casino --action reject --from @.casino.example --text 'No, thanks' --before office",
		Args: exactly("NAME"), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := r
			if r.Name = args[0]; r.Action == "" {
				return usagef("say what the rule does: --action accept, reject, defer, quarantine, tarpit or tag")
			}
			if delay%time.Second != 0 || delay < 0 {
				return usagef("--delay %s: use whole seconds, like 5s", delay)
			}
			r.Delay = int(delay / time.Second)
			if err := r.Check(); err != nil {
				return usagef("%v", err)
			}
			if err := placeFlags(cmd, p); err != nil {
				return err
			}
			at, err := ask(cmd.Context(), c, control.PolicyAdd, control.PolicyAddition{Rule: r, Place: p})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "added rule %s as number %d\n", r.Name, at.Position)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Action), "action", "", "what it does: accept, reject, defer, quarantine, tarpit or tag")
	f.StringVar(&r.Text, "text", "", "what the sender is told, of reject and defer")
	f.StringVar(&r.Tag, "tag", "", "the word, of tag: it picks source addresses and mail in the queue, and stands in 'hayauma trace' and the log")
	f.DurationVar(&delay, "delay", 0, "how long the reply waits, of tarpit, like 5s")
	for _, k := range rule.Kinds() {
		f.StringArrayVar(k.Values(&r.Conditions), k.Name, nil, k.Help)
	}
	f.StringVar(&p.Before, "before", "", "the rule that comes after it; the end if not given")
	f.IntVar(&p.At, "at", 0, "its number in the order, from 1")
	return cmd
}

// placeFlags checks what --before and --at say.
func placeFlags(cmd *cobra.Command, p rule.Place) error {
	if cmd.Flags().Changed("at") && p.At < 1 {
		return usagef("--at %d: numbers begin at 1", p.At)
	}
	if err := p.Check(); err != nil {
		return usagef("%v", err)
	}
	return nil
}

func (c *cli) policyMove() *cobra.Command {
	var p rule.Place
	var last bool
	cmd := &cobra.Command{
		Use: "move NAME --before OTHER|--at NUMBER|--last", Short: "Put a rule in another place", Args: exactly("NAME"),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := placeFlags(cmd, p); err != nil {
				return err
			}
			if last == (p != rule.Place{}) {
				return usagef("say where to: --before OTHER, --at NUMBER or --last")
			}
			at, err := ask(cmd.Context(), c, control.PolicyMove, control.PolicyPlace{Name: args[0], Place: p})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "rule %s is number %d\n", args[0], at.Position)
			return err
		},
	}
	cmd.Flags().StringVar(&p.Before, "before", "", "the rule that comes after it")
	cmd.Flags().IntVar(&p.At, "at", 0, "its number in the order, from 1")
	cmd.Flags().BoolVar(&last, "last", false, "behind all others")
	return cmd
}

func (c *cli) policyRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "End a rule", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := ask(cmd.Context(), c, control.PolicyRemove, control.PolicyName{Name: args[0]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "removed rule %s\n", args[0])
			return err
		},
	}
}

func (c *cli) policyTurn(verb, short string, on bool) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := ask(cmd.Context(), c, control.PolicyTurn, control.PolicySwitch{Name: args[0], On: on}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "%sd rule %s\n", verb, args[0])
			return err
		},
	}
}
