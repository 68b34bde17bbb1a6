package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

func (c *cli) policyList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the rules in their order", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := ask(cmd.Context(), c, control.PolicyList, control.Empty{})
			if err != nil {
				return err
			}
			return list(c, rules, []string{"#", "RULE", "ACTION", "WITH", "WHEN"}, func(r rule.Rule) []string {
				return []string{strconv.Itoa(r.Position), r.Name, actionText(r), withText(r), r.Conditions.String()}
			})
		},
	})
}

func actionText(r rule.Rule) string {
	if r.Off {
		return string(r.Action) + " (off)"
	}
	return string(r.Action)
}

// withText is what only some actions have.
func withText(r rule.Rule) string {
	if r.Delay > 0 {
		return (time.Duration(r.Delay) * time.Second).String()
	}
	return r.Text + r.Tag
}

func (c *cli) policyTest() *cobra.Command {
	q := rule.Question{}
	cmd := &cobra.Command{
		Use: "test --ip ADDRESS", Short: "Tell what the rules would say to a mail, and why",
		Long: "Tell what the rules would say to a mail, and why. Nothing is sent or looked up:\n" +
			"what no flag says is taken for none, such as the null sender or no login.",
		Example: "  hayauma policy test --ip 192.0.2.1 --from a@casino.example --to you@example.org",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.IP == "" {
				return usagef("say from where the mail comes: --ip ADDRESS")
			}
			if _, _, err := q.Facts(); err != nil {
				return usagef("%v", err)
			}
			trial, err := ask(cmd.Context(), c, control.PolicyTest, q)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(trial)
			}
			return c.printTrial(trial)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.IP, "ip", "", "the peer's address")
	f.StringVar(&q.Door, "door", "smtp", "smtp, submission or lmtp")
	f.StringVar(&q.Helo, "helo", "", "how the peer names itself")
	f.StringVar(&q.Reverse, "reverse", "", "the name in DNS of its address")
	f.StringArrayVar(&q.Certificate, "certificate", nil, "of the TLS client: SHA-256 fingerprint, or common name; twice for both")
	f.StringVar(&q.Login, "login", "", "who is logged in")
	f.StringVar(&q.From, "from", "", "the sender")
	f.StringVar(&q.To, "to", "", "the recipient; not given: only MAIL is judged")
	return c.jsonFlag(cmd)
}

// printTrial writes what each rule says, and below it the decision.
func (c *cli) printTrial(t rule.Trial) error {
	rows := make([][]string, 0, len(t.Steps))
	for _, s := range t.Steps {
		rows = append(rows, []string{strconv.Itoa(s.Position), s.Rule, string(s.Action), s.Matches, s.Why})
	}
	if err := c.table([]string{"#", "RULE", "ACTION", "MATCHES", "WHY"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "\n%s\n", printable(decisionText(t)))
	if len(t.Tags) > 0 {
		fmt.Fprintf(c.stdout, "tags: %s\n", strings.Join(t.Tags, ", "))
	}
	if t.Delay > 0 {
		fmt.Fprintf(c.stdout, "delay: %s\n", time.Duration(t.Delay)*time.Second)
	}
	return nil
}

// decisionText is the decision in one line.
func decisionText(t rule.Trial) string {
	by := fmt.Sprintf("%s by rule %s, at %s", t.Action, t.Rule, t.At)
	switch {
	case t.Action == "" && waiting(t):
		return "decided at RCPT: say --to to see it"
	case t.Action == "":
		return "no rule decides: the mail goes on as if there were none"
	case t.Reply != "":
		return by + ": " + t.Reply
	case t.Action == rule.Accept:
		return by + ": no later rule is asked"
	}
	return by + ": the mail is taken and held for the operator"
}

// waiting tells whether a rule waits for the recipient.
func waiting(t rule.Trial) bool {
	for _, s := range t.Steps {
		if s.Matches == "waits" {
			return true
		}
	}
	return false
}
