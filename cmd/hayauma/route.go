package main

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/route"
)

func (c *cli) routeCommand() *cobra.Command {
	return group("route", "The ways by which mail leaves besides the domains' own exchangers",
		c.routeSet(), c.routeRemove(), c.routeList(),
		group("rule", "What goes by which route", c.routeRule("set", "Send mail by a route", true), c.routeRule("remove", "Take a rule back", false), c.routeRuleList()),
	)
}

const routeSetLong = `Make a route, or change the one of that name: what is said is all that holds then. It
holds from the next attempt on. Without --password-stdin the password of the same user,
or the secret of a web hook, is kept; without --proxy-password-stdin that of the same proxy.

  smtp  a mail server: a smart host, or a gateway
  lmtp  a mail store (RFC 2033), of which each recipient has an answer of its own
  http  a web hook at --url, which gets each message by POST, once for each recipient

A host is HOST[:PORT][,PREFERENCE[,WEIGHT]], of LMTP unix:/PATH too. Those of a lower
preference are tried first, the others if they cannot be reached; among equal ones each
gets its share by weight. Without numbers a host has preference 0 and weight 1.

  starttls       TLS by STARTTLS or no mail; the certificate is verified
  implicit       the same, TLS from the first octet on (port 465)
  opportunistic  TLS if the host offers it; nothing is verified
  none           no TLS`

func (c *cli) routeSet() *cobra.Command {
	var r route.Route
	var hosts []string
	var stdin, proxyStdin bool
	cmd := &cobra.Command{
		Use: "set NAME --host HOST...|--url URL", Short: "Make or change a route", Long: routeSetLong, Args: exactly("NAME"),
		Example: "  hayauma route set relay --host smtp1.example.net:587 --host smtp2.example.net:587,10 \\\n" +
			"      --user us@example.org --password-stdin < password\n" +
			"  hayauma route set tickets --kind http --url https://app.example.org/mail --auth hmac --password-stdin < secret",
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name, r.Hosts = args[0], nil
			if r.Kind != route.HTTP {
				r.TLS = cmp.Or(r.TLS, routeTLS(r.Kind))
			}
			for _, text := range hosts {
				h, err := route.ParseHost(text, routePort(r))
				if err != nil {
					return usagef("--host %v", err)
				}
				r.Hosts = append(r.Hosts, h)
			}
			change := control.RouteChange{Route: r}
			var secrets []*string
			if stdin {
				secrets = append(secrets, &change.Password)
			}
			if proxyStdin {
				secrets = append(secrets, &change.ProxyPassword)
			}
			if err := readPasswords(c.stdin, secrets...); err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, control.RouteSet, change); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "route %s is set\n", r.Name)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar((*string)(&r.Kind), "kind", string(route.SMTP), "how it takes mail: smtp, lmtp or http")
	f.StringVar(&r.URL, "url", "", "where a web hook is: https, or http to 127.0.0.1 or ::1")
	f.StringVar((*string)(&r.Auth), "auth", "", "how a web hook knows us: bearer or hmac, with --password-stdin")
	f.StringArrayVar(&hosts, "host", nil, "a host that takes it; may stand several times")
	f.StringVar(&r.TLS, "tls", "", "starttls, implicit, opportunistic or none; if not given starttls, of LMTP opportunistic")
	f.StringVar(&r.Proxy, "proxy", "", "through which its connections leave: socks5://host:port, or http://host:port for CONNECT; its user like socks5://user@host:port")
	f.StringVar(&r.User, "user", "", "who logs in")
	f.BoolVar(&stdin, "password-stdin", false, "read the password, or the secret of a web hook, from the first line of standard input")
	f.BoolVar(&proxyStdin, "proxy-password-stdin", false, "read the password of the proxy's user from the next line of standard input, the first without --password-stdin")
	return cmd
}

// routeTLS is what holds of TLS where nothing is said.
func routeTLS(k route.Kind) string {
	if k == route.LMTP {
		return "opportunistic"
	}
	return "starttls"
}

// routePort is the port of a host that says none.
func routePort(r route.Route) int {
	switch {
	case r.Kind == route.LMTP:
		return 24
	case r.TLS == "implicit":
		return 465
	case r.User != "":
		return 587
	}
	return 25
}

func (c *cli) routeRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a route that no rule and no mail in the queue needs", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := ask(cmd.Context(), c, control.RouteRemove, control.RouteName{Name: args[0]}); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "removed route %s\n", args[0])
			return err
		},
	}
}

func (c *cli) routeList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the routes", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd.Context(), c, control.RouteList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, all, []string{"ROUTE", "KIND", "TLS", "USER", "HOSTS"}, func(r route.Route) []string {
				return []string{r.Name, string(r.Kind), orDash(r.TLS), orDash(r.User), routeHosts(r)}
			})
		},
	})
}

// routeHosts writes the hosts of a route as they are given.
func routeHosts(r route.Route) string {
	if r.Kind == route.HTTP {
		return r.URL
	}
	var out []string
	for _, h := range r.Hosts {
		if _, socket := h.Socket(); socket {
			out = append(out, fmt.Sprintf("%s,%d,%d", h.Name, h.Preference, h.Weight))
			continue
		}
		out = append(out, fmt.Sprintf("%s,%d,%d", net.JoinHostPort(h.Name, strconv.Itoa(h.Port)), h.Preference, h.Weight))
	}
	return strings.Join(out, " ")
}

const routeRuleLong = `.

  --recipient  the recipient's domain; *.example.org = all domains below it
  --account    whose login brought the message
  --sender     the domain of the envelope sender
  --tenant     whose the message is
  --everyone   all other mail

Of several that hold the first of these decides, the longest domain before a shorter
one. A rule is asked when a message is queued; 'hayauma queue reroute' is for what waits
already.`

// routeRule is a command about one rule.
func (c *cli) routeRule(verb, short string, set bool) *cobra.Command {
	values := map[route.What]*string{}
	var to string
	var everyone bool
	use, done, call := verb+" --recipient DOMAIN|--account ADDRESS|--sender DOMAIN|--tenant NAME|--everyone", "removed", control.RouteRuleRemove
	if set {
		use, done, call = use+" --to ROUTE|mx", "set", control.RouteRuleSet
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + routeRuleLong, Args: exactly(), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules := []route.Rule{}
			for what, value := range values {
				if *value != "" {
					rules = append(rules, route.Rule{What: what, Value: *value, Route: to})
				}
			}
			if everyone {
				rules = append(rules, route.Rule{What: route.Everyone, Route: to})
			}
			if len(rules) != 1 {
				return usagef("say one thing that the rule looks at: --recipient, --account, --sender, --tenant or --everyone")
			}
			if set && to == "" {
				return usagef("say by which route: --to ROUTE, or --to mx for none")
			}
			if _, err := ask(cmd.Context(), c, call, rules[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "the rule for %s is %s\n", rules[0], done)
			return err
		},
	}
	for what, help := range map[route.What]string{
		route.Recipient: "the recipient's domain, or *.DOMAIN for all below it", route.Account: "the address of an account",
		route.Sender: "the domain of the envelope sender", route.Tenant: "a tenant: main",
	} {
		values[what] = new(string)
		wordVar(cmd, values[what], string(what), help)
	}
	cmd.Flags().BoolVar(&everyone, string(route.Everyone), false, "all other mail")
	if set {
		cmd.Flags().StringVar(&to, "to", "", "the route, or mx: the exchangers of the recipient's domain, or the smart host of the settings")
	}
	return cmd
}

func (c *cli) routeRuleList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the rules in the order in which they are asked", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd.Context(), c, control.RouteRuleList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, all, []string{"RULE", "VALUE", "ROUTE"}, func(r route.Rule) []string {
				return []string{string(r.What), orDash(r.Value), r.Route}
			})
		},
	})
}
