package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/shaping"
)

func (c *cli) outboundCommand() *cobra.Command {
	return group("outbound", "The way to other servers", c.outboundExplain(), c.outboundList(), c.outboundLimit(),
		c.outboundReply(), c.outboundEvents(), c.outboundReports())
}

func (c *cli) outboundExplain() *cobra.Command {
	var in control.Destination
	cmd := &cobra.Command{
		Use: "explain ADDRESS|DOMAIN", Short: "Tell what would happen now to mail for an address",
		Long: "Tell what would happen now to mail for an address: the hosts that would be tried, in\n" +
			"their order, what is asked of the connection, by which policy, from which of our\n" +
			"addresses it goes, and which limits hold.\n" +
			"Names and policies are looked up as for an attempt; no mail server is connected to.\n" +
			"With --from it is told for mail of that sender: rules may send it another way.",
		Args: exactly("ADDRESS|DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := mail.ParseDomain(args[0][strings.LastIndexByte(args[0], '@')+1:]); err != nil {
				return usagef("%q: write it like user@example.org or example.org", args[0])
			}
			in.Address = args[0]
			e, err := ask(cmd.Context(), c, control.OutboundExplain, in)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(e)
			}
			c.printRoute(e)
			return nil
		},
	}
	senderVar(cmd, &in.Sender, "from", "who would write to it: an account, any sender's address, or '<>' for the null sender")
	wordVar(cmd, &in.Account, "account", "mail of this account, where the source address hangs on it")
	wordVar(cmd, &in.Stream, "stream", "mail of this stream")
	wordVar(cmd, &in.Tag, "tag", "mail with this tag")
	return c.jsonFlag(cmd)
}

func (c *cli) printRoute(e control.Explained) {
	line := func(name, text string) { fmt.Fprintf(c.stdout, "%-7s %s\n", name, printable(text)) }
	if e.Local {
		line(e.Domain, "is served here: nothing goes out")
		return
	}
	r := e.Route
	line("domain", e.Domain)
	if e.Relay != nil {
		line("relay", relayText(*e.Relay))
	}
	if e.Known != "" {
		line("known", e.Known)
	}
	if e.Unknown {
		line("refused", "550 5.1.1: the address is not in the list of this relay domain")
	}
	if e.Hold != "" {
		line("hold", e.Hold)
	}
	line("by", r.By)
	if e.Rule != nil {
		line("rule", e.Rule.String())
	}
	if r.Proxy != "" {
		line("proxy", r.Proxy+", and from its address")
	}
	c.printHosts(r, line)
	if r.Policy != nil {
		c.printPolicy(r.Policy, line)
	}
	if r.Reply != "" {
		line("reply", r.Reply)
		return
	}
	line("TLS", r.TLS)
	if e.Provider != nil {
		line("with", providerText(*e.Provider))
	}
	if e.Source != nil {
		printSource(e.Source, line)
	}
	if d := e.Down; d != nil {
		line("down", fmt.Sprintf("since %s, one message tries it again at %s: %s", localTime(d.Since), localTime(d.Next), d.Reply))
	}
	name := "limits"
	for _, l := range e.Limits {
		line(name, fmt.Sprintf("%s: %s (%s)", l.Limit, l.Value, l.From))
		name = ""
	}
}

func (c *cli) printHosts(r *outbound.Route, line func(name, text string)) {
	name := "hosts"
	for _, h := range r.Hosts {
		text := h.Name
		switch {
		case r.By == "MX":
			text += fmt.Sprintf(" (preference %d)", h.Preference)
		case strings.HasPrefix(r.By, "route "):
			text += fmt.Sprintf(" (preference %d, weight %d)", h.Preference, h.Weight)
		}
		switch {
		case len(h.Addresses) > 0:
			text += "  " + strings.Join(h.Addresses, " ")
		case h.Fault != "":
			text += "  " + h.Fault
		default:
			text += "  not tried: there are enough addresses before it"
		}
		if h.Order != "" {
			text += "  (" + h.Order + ")"
		}
		if h.Policy != "" {
			text += "  (" + h.Policy + ")"
		}
		line(name, text)
		name = ""
	}
}

// providerText tells how a provider stands.
func providerText(p control.ProviderState) string {
	text := p.Name
	if p.Title != "" {
		text += " (" + p.Title + ")"
	}
	text += fmt.Sprintf(": %d attempts under way of %d that it is thought to bear now", p.Active, p.Connections)
	if rest := restText(p); rest != "" {
		text += "; " + rest
	}
	return text
}

// restText tells why nothing, or less than usual, goes to a provider.
func restText(p control.ProviderState) string {
	switch {
	case p.Rest != "":
		return "nothing goes before " + localTime(p.Rest) + ": " + p.Why
	case p.Less != "":
		return "it gets less until " + localTime(p.Less) + ": " + p.Why
	}
	return ""
}

func localTime(stamp string) string {
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return stamp
	}
	return at.Local().Format(time.DateTime)
}

func (c *cli) outboundList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the providers that had mail lately: what goes to them, and why not more",
		Long: "List the providers that had mail within the last ten minutes, or have a rate of\n" +
			"which a part is used up. A provider is who takes the mail of a domain: all domains\n" +
			"whose mail exchangers are his share what he bears.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd.Context(), c, control.OutboundList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, all, []string{"PROVIDER", "UNDER WAY", "BEARS", "WHY NOT MORE"}, func(p control.ProviderState) []string {
				return []string{p.Name, strconv.Itoa(p.Active), strconv.Itoa(p.Connections), restText(p)}
			})
		},
	})
}

func (c *cli) outboundReports() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "reports", Short: "List the TLS reports to other domains of the last two weeks, and what became of them",
		Long: "List the TLS reports to other domains of the last two weeks, the newest day first. A\n" +
			"domain is among them on each day on which mail went to it; whether it wants a report\n" +
			"turns out when its day is over.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd.Context(), c, control.OutboundReports, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, all, []string{"DAY", "DOMAIN", "STATE", "ATTEMPTS", "NEXT", "WHY"}, func(r control.SentReport) []string {
				return []string{r.Day, r.Domain, r.State, strconv.Itoa(r.Attempts), orDash(localTime(r.Next)), printable(r.Reply)}
			})
		},
	})
}

func (c *cli) outboundLimit() *cobra.Command {
	values := map[string]*string{}
	var change control.ProviderLimits
	despite := false
	cmd := &cobra.Command{
		Use: "limit PROVIDER", Short: "Show or change what a provider is asked to bear",
		Long: "Show or change what a provider is asked to bear. PROVIDER is the domain of the mail\n" +
			"exchangers, as 'hayauma outbound explain' shows it, route:NAME for a route, or * for\n" +
			"all that have no limit of their own. What is set holds from the next message on, and\n" +
			"outlives restarts.\n\n" +
			"--tls is for mail exchangers: routes, the smart host and the next hosts of relay\n" +
			"domains have settings of their own, and it is refused for them. It may be set for a\n" +
			"domain of recipients as well, which goes before its provider:\n" +
			"  opportunistic  if the host offers TLS; its certificate is not verified\n" +
			"  required       no mail without TLS\n" +
			"  verified       no mail unless the certificate names the host\n" +
			"  none           no TLS, for hosts where it is broken\n" +
			"It adds to what DANE and MTA-STS ask for, and takes nothing away from it but with\n" +
			"--despite-policy.",
		Args: exactly("PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			change.Provider, change.Set = args[0], map[string]string{}
			for i, name := range change.Unset {
				change.Unset[i] = strings.ReplaceAll(name, "-", "_")
			}
			for name, value := range values {
				if cmd.Flags().Changed(limitName(name)) {
					change.Set[name] = *value
				}
			}
			if despite {
				rule := change.Set[string(shaping.TLS)]
				if rule != "none" && rule != "opportunistic" {
					return usagef("--despite-policy goes with --tls none or --tls opportunistic")
				}
				change.Set[string(shaping.TLS)] = rule + " " + shaping.DespitePolicy
			}
			limits, err := ask(cmd.Context(), c, control.OutboundLimit, change)
			if err != nil {
				return err
			}
			return list(c, limits, []string{"LIMIT", "MOST", "FROM"}, func(l control.SiteLimit) []string {
				return []string{l.Limit, l.Value, l.From}
			})
		},
	}
	for _, k := range shaping.Keys() {
		values[string(k)] = new(string)
		cmd.Flags().StringVar(values[string(k)], limitName(string(k)), "", map[shaping.Key]string{
			shaping.Connections: "connections at once", shaping.Messages: "messages, before a new connection is made",
			shaping.Recipients: "recipients in one transaction, up to 100", shaping.Rate: "messages in a time: 5/s, 600/min, 1000/h, 20000/day", shaping.TLS: "rule: opportunistic, required, verified or none", shaping.Retry: "waits between attempts, the last repeats: '5m 15m 1h'",
		}[k])
	}
	cmd.Flags().BoolVar(&despite, "despite-policy", false, "the TLS rule holds even if DANE or MTA-STS ask for more")
	cmd.Flags().StringSliceVar(&change.Unset, "unset", nil, "limits to take back, by the names of these flags")
	return c.jsonFlag(cmd)
}

func limitName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// printPolicy shows the TLS policy of a domain: whose words it is, how old, and what
// is wrong with it.
func (c *cli) printPolicy(p *outbound.Policy, line func(name, text string)) {
	if p.Mode == "" {
		line("policy", p.Source+": announced, but there is none")
	} else {
		line("policy", fmt.Sprintf("%s %s, id %s, fetched %s ago, holds until %s", p.Source, p.Mode, p.ID,
			mail.About(time.Since(*p.Fetched)), p.Expires.UTC().Format("2006-01-02 15:04 MST")))
		if len(p.MX) > 0 {
			line("", "names "+strings.Join(p.MX, " "))
		}
	}
	if p.Failure != "" {
		line("", p.Failure)
	}
}
