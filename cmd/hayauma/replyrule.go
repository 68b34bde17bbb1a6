package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func (c *cli) outboundReply() *cobra.Command {
	return group("reply", "Rules of your own for what providers reply", c.replyAdd(), c.replyRemove(), c.replyList(), c.replyTest())
}

const replyAddLong = `Add a rule for replies that are no success. All of --code, --enhanced and --text that
is given must fit; --text is a part of the reply, in capitals or not.

  slow       --rate, --connections or both hold for a time, --for
  pause      nothing goes to the provider for a time, --for
  drop       the connection ends with the transaction
  permanent  what would be tried again is refused: the sender has a report
  temporary  what would be refused is tried again until its lifetime is over

The first rule that fits decides: yours for the provider, then yours for everyone, then
what is shipped; among equals the older. It holds from the next reply on. Only the words
of other servers are looked at, never findings of this one.`

func (c *cli) replyAdd() *cobra.Command {
	r := shaping.Rule{Provider: shaping.Everyone, Times: 1}
	cmd := &cobra.Command{
		Use: "add ACTION", Short: "Add a rule", Long: replyAddLong, Args: exactly("ACTION"),
		Example: "  hayauma outbound reply add pause --for 30m --provider google.com --code 421 --text 'unusual rate'\n" +
			"  hayauma outbound reply add permanent --enhanced 4.2.1 --text 'mailbox is inactive'",
		RunE: func(cmd *cobra.Command, args []string) error {
			r := r
			r.Do = shaping.Action(args[0])
			added, err := ask(cmd.Context(), c, control.ReplyAdd, r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "added reply rule %d\n", added.ID)
			return err
		},
	}
	f := cmd.Flags()
	wordVar(cmd, &r.Provider, "provider", "whose replies, as 'hayauma outbound explain' shows it")
	f.IntVar(&r.Code, "code", 0, "the reply code, like 421; any if not given")
	wordVar(cmd, &r.Enhanced, "enhanced", "the enhanced code, like 4.7.1; any if not given")
	wordVar(cmd, &r.Text, "text", "a part of the text; any if not given")
	f.IntVar(&r.Times, "times", 1, "how often within an hour, before the rule acts")
	f.StringVar(&r.Wait, "for", "", "how long slow and pause hold, like 30m")
	f.IntVar(&r.Connections, "connections", 0, "connections at once, of slow")
	f.StringVar(&r.Rate, "rate", "", "messages in a time, of slow: 5/s, 600/min, 1000/h, 20000/day")
	return cmd
}

func (c *cli) replyRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NUMBER", Short: "End a rule", Args: exactly("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usagef("%q: give the number of a rule, as 'hayauma outbound reply list' shows it", args[0])
			}
			if _, err := ask(cmd.Context(), c, control.ReplyRemove, control.ReplyRule{ID: id}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "removed reply rule %d\n", id)
			return err
		},
	}
}

func (c *cli) replyList() *cobra.Command {
	var p control.ProviderName
	cmd := &cobra.Command{
		Use: "list", Short: "List your rules, or all that one provider's replies are held against", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := ask(cmd.Context(), c, control.ReplyList, p)
			if err != nil {
				return err
			}
			return list(c, rules, []string{"RULE", "PROVIDER", "REPLY", "TIMES", "ACTION", "FROM"}, func(r shaping.Rule) []string {
				return []string{ruleNumber(r), r.Provider, replyWords(r), strconv.Itoa(r.Times), replyAction(r), r.From}
			})
		},
	}
	wordVar(cmd, &p.Provider, "provider", "the rules for its replies in their order, what is shipped among them")
	return c.jsonFlag(cmd)
}

func ruleNumber(r shaping.Rule) string {
	if r.ID == 0 {
		return "shipped"
	}
	return strconv.FormatInt(r.ID, 10)
}

// replyWords is what a reply must have for a rule.
func replyWords(r shaping.Rule) string {
	var words []string
	if r.Code != 0 {
		words = append(words, strconv.Itoa(r.Code))
	}
	if r.Enhanced != "" {
		words = append(words, r.Enhanced)
	}
	if r.Text != "" {
		words = append(words, strconv.Quote(r.Text))
	}
	return strings.Join(words, " ")
}

// replyAction is what a rule does.
func replyAction(r shaping.Rule) string {
	text := string(r.Do)
	if r.Connections > 0 {
		text += fmt.Sprintf(", %s", count(r.Connections, "connection"))
	}
	if r.Rate != "" {
		text += ", " + r.Rate
	}
	if r.Wait != "" {
		text += " for " + r.Wait
	}
	return text
}

func (c *cli) replyTest() *cobra.Command {
	var q control.ReplyQuestion
	cmd := &cobra.Command{
		Use: "test REPLY", Short: "Tell which rule would decide on a reply; nothing is counted or done",
		Args: exactly("REPLY"), Example: "  hayauma outbound reply test '450 4.7.1 You talk too much' --provider x.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			reply, err := smtp.NewReplyReader(strings.NewReader(strings.TrimSpace(args[0]) + "\r\n")).Read()
			if err != nil || reply.Class() != 4 && reply.Class() != 5 {
				return usagef("%q: write a reply that is no success, like '450 4.7.1 Come again'", args[0])
			}
			q.Code, q.Enhanced, q.Text = reply.Code, reply.Enhanced, reply.Text()
			answer, err := ask(cmd.Context(), c, control.ReplyTest, q)
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(answer)
			}
			_, err = fmt.Fprintln(c.stdout, printable(answerText(answer.Rule)))
			return err
		},
	}
	wordVar(cmd, &q.Provider, "provider", "who replies; if not given only rules for everyone are asked")
	return c.jsonFlag(cmd)
}

// answerText tells which rule decides, and what it does.
func answerText(r *shaping.Rule) string {
	if r == nil {
		return "no rule is for this reply"
	}
	text := "rule " + ruleNumber(*r)
	if r.ID == 0 {
		text = "a rule that is shipped"
	}
	text += fmt.Sprintf(" decides: %s (%s)", replyAction(*r), r.From)
	if r.Times > 1 {
		text += fmt.Sprintf("; it acts when such a reply came %d times within an hour", r.Times)
	}
	return text
}
