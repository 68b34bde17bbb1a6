package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) outboundCommand() *cobra.Command {
	return group("outbound", "The way to other servers", c.outboundExplain())
}

func (c *cli) outboundExplain() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "explain ADDRESS|DOMAIN", Short: "Tell what would happen now to mail for an address",
		Long: "Tell what would happen now to mail for an address: the hosts that would be tried, in\n" +
			"their order, what is asked of the connection, and which limits hold. Names are\n" +
			"looked up as for an attempt; nobody is connected to.",
		Args: exactly("ADDRESS|DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := mail.ParseDomain(args[0][strings.LastIndexByte(args[0], '@')+1:]); err != nil {
				return usagef("%q: write it like user@example.org or example.org", args[0])
			}
			e, err := ask(cmd.Context(), c, control.OutboundExplain, control.Destination{Address: args[0]})
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(e)
			}
			c.printRoute(e)
			return nil
		},
	})
}

func (c *cli) printRoute(e control.Explained) {
	line := func(name, text string) { fmt.Fprintf(c.stdout, "%-7s %s\n", name, printable(text)) }
	if e.Local {
		line(e.Domain, "is served here: nothing goes out")
		return
	}
	r := e.Route
	line("domain", r.Site)
	line("by", r.By)
	name := "hosts"
	for _, h := range r.Hosts {
		text := h.Name
		if r.By == "MX" {
			text += fmt.Sprintf(" (preference %d)", h.Preference)
		}
		switch {
		case len(h.Addresses) > 0:
			text += "  " + strings.Join(h.Addresses, " ")
		case h.Fault != "":
			text += "  " + h.Fault
		default:
			text += "  not tried: there are enough addresses before it"
		}
		line(name, text)
		name = ""
	}
	if r.Reply != "" {
		line("reply", r.Reply)
		return
	}
	line("TLS", r.TLS)
	name = "limits"
	for _, l := range e.Limits {
		line(name, fmt.Sprintf("%s: %s (%s)", l.Limit, l.Value, l.From))
		name = ""
	}
}
