package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) recipientCommand() *cobra.Command {
	return group("recipient", "The recipients that a relay domain is known to have",
		c.recipientChange("add ADDRESS", "Put an address into the list of its relay domain", control.RecipientAdd, "added"),
		c.recipientChange("remove ADDRESS", "Take an address out of the list", control.RecipientRemove, "removed"),
		c.recipientList(), c.recipientImport())
}

func (c *cli) recipientChange(use, short string, call control.Call[control.Recipient, control.Empty], done string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: exactly("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addressArgument(args[0]); err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, call, control.Recipient{Address: args[0]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "%s recipient %s\n", done, args[0])
			return err
		},
	}
}

func (c *cli) recipientList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list DOMAIN", Short: "List the recipients, an address a line, as import takes them", Args: exactly("DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onDomain(args[0], func(d mail.Domain) error {
				all, page := []string{}, control.RecipientPage{Domain: d.String()}
				for {
					some, err := ask(cmd.Context(), c, control.RecipientList, page)
					if err != nil {
						return err
					}
					if all = append(all, some...); len(some) < control.MaxPage {
						break
					}
					page.After = some[len(some)-1]
				}
				if c.json {
					return c.printJSON(all)
				}
				for _, a := range all {
					fmt.Fprintln(c.stdout, printable(a))
				}
				return nil
			})
		},
	})
}

func (c *cli) recipientImport() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "import DOMAIN [FILE]", Short: "Replace the list of a relay domain",
		Long: "Replace the list of a relay domain by that of a file, or of standard input: an address\n" +
			"a line; empty lines and those that begin with # do not count. It is replaced as a\n" +
			"whole, or not at all: a line that is no address of the domain is told.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly("DOMAIN")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return onDomain(args[0], func(d mail.Domain) error {
				in := c.stdin
				if len(args) == 2 && args[1] != "-" {
					file, err := os.Open(args[1])
					if err != nil {
						return err
					}
					defer func() { _ = file.Close() }() // it was only read
					in = file
				}
				return c.importRecipients(cmd.Context(), d, in)
			})
		},
	})
}

func (c *cli) importRecipients(ctx context.Context, d mail.Domain, list io.Reader) error {
	var done account.Imported
	err := c.with(ctx, func(client *control.Client, _ *config.Config) (err error) {
		done, err = control.ImportRecipients(ctx, client, d.String(), list)
		return err
	})
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(done)
	}
	_, err = fmt.Fprintf(c.stdout, "%s: %s, %d added, %d removed\n", d, count(done.Listed, "recipient"), done.Added, done.Removed)
	return err
}
