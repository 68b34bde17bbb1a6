package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) aliasCommand() *cobra.Command {
	return group("alias", "Addresses that lead to others: aliases, groups, catch-alls",
		c.aliasAdd(), c.aliasRemove(), c.aliasList())
}

func (c *cli) aliasAdd() *cobra.Command {
	return &cobra.Command{
		Use: "add ADDRESS TARGET...", Short: "Let an address lead to one or more others",
		Long: "Let an address lead to one or more others, here or elsewhere. ADDRESS may be\n" +
			"\"*@DOMAIN\": then it stands for all that the domain does not know otherwise.\n" +
			"What ADDRESS led to before is replaced. Of a target here that leads to nobody the\n" +
			"command warns; until it exists, who writes to ADDRESS gets a report on it.\n" +
			"All together may lead to 1000 addresses, those on the way counted.",
		Args: exactly("ADDRESS", "TARGET..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := aliasArgument(args[0]); err != nil {
				return err
			}
			for _, target := range args[1:] {
				if _, err := addressArgument(target); err != nil {
					return err
				}
			}
			added, err := ask(cmd.Context(), c, control.AliasAdd, account.Alias{Address: args[0], Targets: args[1:]})
			if err != nil {
				return err
			}
			for _, target := range added.Nowhere {
				c.warn("%s leads to nobody, and senders are told so: make that account or alias, or add %s again without it", target, args[0])
			}
			_, err = fmt.Fprintf(c.stdout, "added alias %s: %s\n", args[0], strings.Join(args[1:], ", "))
			return err
		},
	}
}

// warn says what is no failure, and yet to be seen to.
func (c *cli) warn(format string, args ...any) {
	fmt.Fprintln(c.stderr, "hayauma: "+printable(fmt.Sprintf(format, args...)))
}

// aliasArgument takes an address or "*@domain".
func aliasArgument(s string) error {
	domain, all := strings.CutPrefix(s, "*@")
	if !all {
		_, err := addressArgument(s)
		return err
	}
	if _, err := mail.ParseDomain(domain); err != nil {
		return usagef("%q: %v; write it like *@example.org", s, err)
	}
	return nil
}

func (c *cli) aliasRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS", Short: "End an alias", Args: exactly("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := aliasArgument(args[0]); err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, control.AliasRemove, control.AliasName{Address: args[0]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "removed alias %s\n", args[0])
			return err
		},
	}
}

func (c *cli) aliasList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the aliases and where they lead", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			aliases, err := ask(cmd.Context(), c, control.AliasList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, aliases, []string{"ALIAS", "TARGETS"}, func(a account.Alias) []string {
				return []string{a.Address, strings.Join(a.Targets, ", ")}
			})
		},
	})
}
