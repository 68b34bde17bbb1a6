package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) domainCommand() *cobra.Command {
	return group("domain", "The domains whose mail is at home here",
		c.domainChange("add DOMAIN", "Take a domain's mail from now on", control.DomainAdd, "added"),
		c.domainChange("remove DOMAIN", "Give a domain up; it must have no accounts or aliases", control.DomainRemove, "removed"),
		c.domainLimit(),
		c.domainList(),
	)
}

func (c *cli) domainChange(use, short string, call control.Call[control.DomainName, control.Empty], done string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: exactly("DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := mail.ParseDomain(args[0])
			if err != nil {
				return usagef("%q: %v; write it like example.org", args[0], err)
			}
			if _, err := ask(cmd.Context(), c, call, control.DomainName{Domain: d.String()}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "%s domain %s\n", done, d)
			return err
		},
	}
}

func (c *cli) domainList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the domains", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			domains, err := ask(cmd.Context(), c, control.DomainList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, domains, []string{"DOMAIN", "ACCOUNTS", "ALIASES"}, func(d account.DomainInfo) []string {
				return []string{d.Name, strconv.Itoa(d.Accounts), strconv.Itoa(d.Aliases)}
			})
		},
	})
}
