package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
)

func (c *cli) identityCommand() *cobra.Command {
	return group("identity", "What an account may send as besides its own addresses",
		c.identityChange("add", "Let an account send as an address", "may send as", control.IdentityAdd),
		c.identityChange("remove", "Take that back", "may not send any more as", control.IdentityRemove),
		c.identityList())
}

func (c *cli) identityChange(verb, short, now string, call control.Call[control.Identity, control.Empty]) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ACCOUNT ADDRESS", Short: short,
		Long: short + ", in the envelope and in From. ADDRESS may be\n" +
			"\"*@DOMAIN\", all addresses of a domain, and need not be one of this server's.\n" +
			"An account's own address, with any tag, and aliases that lead to it need no\n" +
			"entry. Whether others believe the mail is for SPF, DKIM and DMARC of that domain\n" +
			"to say.",
		Args: exactly("ACCOUNT", "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addressArgument(args[0]); err != nil {
				return err
			}
			if err := aliasArgument(args[1]); err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, call, control.Identity{Address: args[0], Identity: args[1]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "%s %s %s\n", args[0], now, args[1])
			return err
		},
	}
}

func (c *cli) identityList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list ACCOUNT", Short: "List what an account was given", Args: exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addressArgument(args[0]); err != nil {
				return err
			}
			identities, err := ask(cmd.Context(), c, control.IdentityList, control.AccountName{Address: args[0]})
			if err != nil {
				return err
			}
			return list(c, identities, []string{"MAY SEND AS"}, func(s string) []string { return []string{s} })
		},
	})
}
