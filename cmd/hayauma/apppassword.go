package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
)

func (c *cli) appPasswordCommand() *cobra.Command {
	return group("app-password", "Passwords for one program or device each",
		c.appPasswordAdd(), c.appPasswordRevoke(), c.appPasswordList())
}

func (c *cli) appPasswordAdd() *cobra.Command {
	var p control.AppPassword
	var expires string
	cmd := &cobra.Command{
		Use: "add USER@DOMAIN NAME", Short: "Make a password; it is shown once and never again", Args: exactly("USER@DOMAIN", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			p.Address, p.Name = a.String(), args[1]
			if expires != "" {
				d, err := config.ParseDuration(expires)
				if err != nil || d <= 0 {
					return usagef("--expires %q: write it like 90d", expires)
				}
				p.Expires = time.Now().Add(d).UTC().Format(time.RFC3339)
			}
			made, err := ask(cmd.Context(), c, control.AppPasswordAdd, p)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, made.Password)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&p.Scopes, "scope", []string{"smtp", "imap", "pop3"}, "what it is good for: some of smtp, imap, pop3, api")
	cmd.Flags().StringSliceVar(&p.Networks, "network", nil, "from where it may be used, like 192.0.2.0/24; none = from everywhere")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it is good, like 90d; empty = until it is revoked")
	return cmd
}

func (c *cli) appPasswordRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke USER@DOMAIN NAME", Short: "End a password at once", Args: exactly("USER@DOMAIN", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, control.AppPasswordRevoke, control.AppPassword{Address: a.String(), Name: args[1]}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "revoked the app password %s of %s\n", args[1], a)
			return err
		},
	}
}

func (c *cli) appPasswordList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list USER@DOMAIN", Short: "List the passwords with when they were used last", Args: exactly("USER@DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			passwords, err := ask(cmd.Context(), c, control.AppPasswordList, control.AccountName{Address: a.String()})
			if err != nil {
				return err
			}
			titles := []string{"NAME", "SCOPES", "NETWORKS", "CREATED", "EXPIRES", "USED", "FROM"}
			return list(c, passwords, titles, func(p control.AppPasswordInfo) []string {
				return []string{p.Name, strings.Join(p.Scopes, ","), strings.Join(p.Networks, ","),
					timeText(p.Created), timeText(p.Expires), timeText(p.Used), p.UsedFrom}
			})
		},
	})
}
