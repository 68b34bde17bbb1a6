package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) domainCommand() *cobra.Command {
	return group("domain", "The domains whose mail is at home here, or is passed on",
		c.domainAdd(),
		c.domainSet(),
		c.domainRemove(),
		c.recipientCommand(),
		c.domainLimit(),
		c.domainList(),
	)
}

// onDomain makes a call on the domain that an argument names.
func onDomain(argument string, act func(mail.Domain) error) error {
	d, err := mail.ParseDomain(argument)
	if err != nil {
		return usagef("%q: %v; write it like example.org", argument, err)
	}
	return act(d)
}

func (c *cli) domainAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add DOMAIN", Short: "Take a domain's mail from now on",
		Long: "Take a domain's mail from now on. Its mailboxes are here, or with --relay elsewhere:\n" +
			"then its mail is checked here and passed on, to the next hosts of --to or, without\n" +
			"any, to the mail exchangers of the domain that are preferred to this server.",
		Args: exactly("DOMAIN"),
	}
	return c.domainSettings(cmd, control.DomainAdd, "added")
}

func (c *cli) domainSet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set DOMAIN", Short: "Change where the mailboxes of a domain are, and how its mail goes on",
		Long: "Change where the mailboxes of a domain are, and how its mail goes on. What no flag\n" +
			"names stays as it is.",
		Args: exactly("DOMAIN"),
	}
	cmd.Flags().Bool("local", false, "its mailboxes are here; the list of recipients is forgotten")
	return c.domainSettings(cmd, control.DomainSet, "changed")
}

// domainSettings adds the flags of a relay domain to a command that makes a call with
// those that are given.
func (c *cli) domainSettings(cmd *cobra.Command, call control.Call[control.DomainSettings, control.Empty], done string) *cobra.Command {
	var to []string
	f := cmd.Flags()
	f.Bool("relay", false, "its mail is passed on")
	f.StringSliceVar(&to, "to", nil, "next host HOST[:PORT], in the order in which they are tried; '' = by MX")
	f.String("recipients", "", "how its recipients are known: list (default); ask the next host; or any, which passes all")
	f.Bool("split", false, "it may have accounts and aliases here; what is not found goes on")
	f.String("tls", "", "TLS with next hosts: opportunistic (default) or verify")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return onDomain(args[0], func(d mail.Domain) error {
			in := control.DomainSettings{Domain: d.String(), Relay: changedBool(cmd, "relay"), Split: changedBool(cmd, "split"),
				Recipients: changedText(cmd, "recipients"), TLS: changedText(cmd, "tls")}
			if in.TLS != nil && *in.TLS == "opportunistic" {
				*in.TLS = ""
			}
			if cmd.Flags().Changed("to") {
				in.To = new(hosts(to))
			}
			if local := changedBool(cmd, "local"); local != nil {
				if in.Relay != nil {
					return usagef("--local and --relay: the domain is one of them")
				}
				in.Relay = new(!*local)
			}
			if _, err := ask(cmd.Context(), c, call, in); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "%s domain %s\n", done, d)
			return err
		})
	}
	return cmd
}

// hosts leaves out what an empty --to gives.
func hosts(list []string) []string {
	out := []string{}
	for _, h := range list {
		if h = strings.TrimSpace(h); h != "" {
			out = append(out, h)
		}
	}
	return out
}

func changedBool(cmd *cobra.Command, name string) *bool {
	if !cmd.Flags().Changed(name) {
		return nil
	}
	v, _ := cmd.Flags().GetBool(name) // it is one
	return &v
}

func changedText(cmd *cobra.Command, name string) *string {
	if !cmd.Flags().Changed(name) {
		return nil
	}
	v, _ := cmd.Flags().GetString(name) // it is one
	return &v
}

func (c *cli) domainRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove DOMAIN", Short: "Give a domain up; it must have no accounts or aliases", Args: exactly("DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onDomain(args[0], func(d mail.Domain) error {
				if _, err := ask(cmd.Context(), c, control.DomainRemove, control.DomainName{Domain: d.String()}); err != nil {
					return err
				}
				_, err := fmt.Fprintf(c.stdout, "removed domain %s\n", d)
				return err
			})
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
			return list(c, domains, []string{"DOMAIN", "KIND", "ACCOUNTS", "ALIASES", "RECIPIENTS", "TO"}, domainCells)
		},
	})
}

func domainCells(d account.DomainInfo) []string {
	cells := []string{d.Name, "local", strconv.Itoa(d.Accounts), strconv.Itoa(d.Aliases), "", ""}
	r := d.Relay
	if r == nil {
		return cells
	}
	cells[1] = "relay"
	if r.Split {
		cells[1] = "split"
	}
	cells[4], cells[5] = r.Recipients, toText(*r)
	switch {
	case r.Recipients == account.ByList:
		cells[4] = fmt.Sprintf("list of %d", d.Recipients)
	case d.TakesAll:
		cells[4] = "ask, in vain: its host takes every address"
	case r.Recipients == account.ByAsk && d.Recipients > 0:
		cells[4] = fmt.Sprintf("list of %d, then ask", d.Recipients)
	}
	return cells
}

// toText tells where the mail of a relay domain goes.
func toText(r account.Relay) string {
	text := cmp.Or(strings.Join(r.To, " "), "by MX")
	if r.TLS != "" {
		text += " (TLS verified)"
	}
	return text
}

// relayText tells in words what a relay domain is.
func relayText(r account.Relay) string {
	text := map[string]string{account.ByList: "recipients from its list", account.ByAsk: "its host is asked for recipients that are not in its list", account.ByAny: "all recipients pass"}[r.Recipients]
	if r.Split {
		text = "split: accounts and aliases here first, then " + text
	}
	return text + "; to " + toText(r)
}
