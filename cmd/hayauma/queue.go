package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) queueCommand() *cobra.Command {
	return group("queue", "Mail that waits for other servers",
		c.queueList(), c.queueShow(),
		c.queueVerb("retry", "Try again now", control.QueueRetry, "will be tried now"),
		c.queueVerb("hold", "Let it wait until it is released", control.QueueHold, "held"),
		c.queueVerb("release", "Let go on what is held", control.QueueRelease, "released"),
		c.queueVerb("bounce", "Give up, and tell the sender", control.QueueBounce, "given up"),
		c.queueReroute(),
		c.queueVerb("delete", "Give up without telling anybody", control.QueueDelete, "deleted"),
		c.queueExport(),
		c.queueSchedule(),
	)
}

// selection is which recipients are meant.
type selection struct {
	control.QueueFilter
	older string
}

// flags adds those that choose.
func (f *selection) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.All, "all", false, "everything in the queue")
	wordVar(cmd, &f.Domain, "domain", "what goes to this domain")
	wordVar(cmd, &f.Route, "route", "what goes by this route")
	senderVar(cmd, &f.Sender, "sender", "what comes from this sender; <> = reports")
	wordVar(cmd, &f.Host, "host", "what this host (MX) did not take at the last attempt")
	wordVar(cmd, &f.Provider, "provider", "what goes to a domain whose mail this provider takes, tried or not, like google.com")
	wordVar(cmd, &f.Reply, "reply", "what was last answered with a text like this, codes included: 'over quota', 4.2.2")
	wordVar(cmd, &f.Class, "class", "what last failed for this reason, like bad-mailbox")
	wordVar(cmd, &f.Tag, "tag", "messages with this tag")
	wordVar(cmd, &f.Stream, "stream", "messages of this stream")
	wordVar(cmd, &f.Account, "account", "what the login of this account sent, by its address or id")
	wordVar(cmd, &f.Tenant, "tenant", "what belongs to this tenant")
	wordVar(cmd, &f.older, "older", "what was received longer ago than this, like 2h or 3d")
	wordVar(cmd, &f.State, "state", "only what is queued, leased, deferred, failed, held or served")
}

// chosen checks the flags and takes ids in.
func (f *selection) chosen(ids []string) (control.QueueFilter, error) {
	out := f.QueueFilter
	for _, id := range ids {
		if _, err := mail.ParseID(id); err != nil {
			return out, usagef("%q: %v; 'hayauma queue list' shows the ids", id, err)
		}
	}
	out.IDs = ids
	if f.older != "" {
		d, err := config.ParseDuration(f.older)
		if err != nil || d <= 0 {
			return out, usagef("--older %q: write a time like 30m, 2h or 3d", f.older)
		}
		out.Before = time.Now().Add(-d).UTC().Format(time.RFC3339)
	}
	if common := inCommon(out); out.All && (common || len(ids) > 0) || common && len(ids) > 0 {
		return out, usagef("say either ids, or --all, or what they have in common")
	}
	if out.Domain != "" {
		if _, err := mail.ParseDomain(out.Domain); err != nil {
			return out, usagef("--domain %q: %v", out.Domain, err)
		}
	}
	if out.Sender != "" && out.Sender != "<>" {
		if _, err := mail.ParseAddress(out.Sender); err != nil {
			return out, usagef("--sender %q: %v", out.Sender, err)
		}
	}
	if _, ok := classify.Parse(out.Class); out.Class != "" && !ok {
		return out, usagef("--class %q: use one of %s", out.Class, control.Classes())
	}
	states := []string{"queued", "leased", "deferred", "failed", "held", "served"}
	if out.State != "" && !slices.Contains(states, out.State) {
		return out, usagef("--state %q: use %s", out.State, strings.Join(states, ", "))
	}
	return out, nil
}

// inCommon tells whether it was said what they have in common, besides their state.
func inCommon(f control.QueueFilter) bool {
	return f.Domain != "" || f.Route != "" || f.Sender != "" || f.Host != "" || f.Reply != "" || f.Class != "" || f.Tag != "" || f.Before != "" ||
		f.Provider != "" || f.Stream != "" || f.Account != "" || f.Tenant != ""
}

// some tells whether anything was said about which.
func some(f control.QueueFilter) bool { return len(f.IDs) > 0 || f.All || f.State != "" || inCommon(f) }

func (c *cli) queueVerb(verb, short string, call control.Call[control.QueueFilter, control.Touched], done string) *cobra.Command {
	var f selection
	cmd := &cobra.Command{
		Use: verb + " ID...|--all|--domain DOMAIN|--sender ADDRESS|...", Short: short, Args: cobra.ArbitraryArgs,
		Long: short + ". An ID is that of a message or of one of its recipients. What is chosen by several\n" +
			"options fulfils all of them.",
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := f.chosen(args)
			if err != nil {
				return err
			}
			if !some(chosen) {
				return usagef("say which: ids, --all, or what they have in common, like --domain; 'hayauma queue list' shows the ids")
			}
			touched, err := ask(cmd.Context(), c, call, chosen)
			if err != nil {
				return err
			}
			if chosen.DryRun {
				_, err = fmt.Fprintf(c.stdout, "%s would be chosen; nothing was changed. 'hayauma queue list' with the same options shows what the queue holds of them.\n",
					count(touched.Recipients+touched.UnderWay, "recipient"))
				return err
			}
			text := strings.Join(touchedText(touched, done), "\n")
			if verb == "bounce" {
				text += tellsText(touched)
			}
			_, err = fmt.Fprintln(c.stdout, text)
			return err
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&f.DryRun, "dry-run", false, "only count them")
	return cmd
}

// touchedText tells what a verb came to, and of what is under way that it may yet come
// to nothing.
func touchedText(t control.Touched, done string) []string {
	var lines []string
	if t.Recipients > 0 || t.UnderWay == 0 {
		lines = append(lines, count(t.Recipients, "recipient")+" "+done)
	}
	if t.UnderWay > 0 {
		lines = append(lines, fmt.Sprintf("%s under way: %s unless this attempt delivers", count(t.UnderWay, "recipient"), done))
	}
	return lines
}

// tellsText says who hears of what is given up.
func tellsText(t control.Touched) string {
	all := t.Recipients + t.UnderWay
	switch {
	case all == 0:
		return ""
	case t.Untold == 0:
		return "; the sender is told"
	case t.Untold == all:
		return "; nobody is told, since there is no sender, or none who wants to hear"
	}
	return fmt.Sprintf("; the sender is told, but of %s there is none, or none who wants to hear", count(t.Untold, "recipient"))
}

func (c *cli) queueReroute() *cobra.Command {
	var f selection
	var way control.QueueWay
	cmd := &cobra.Command{
		Use: "reroute ID...|--all|--domain DOMAIN|--route ROUTE|... --to ROUTE|mx", Short: "Give it another way, and try it now", Args: cobra.ArbitraryArgs,
		Long: "Give it another way, and try it now: by a route ('hayauma route list'), or with --to mx as\n" +
			"if there were no routes. What is on hold stays so. What is under way is tried where it is,\n" +
			"and left alone; it is counted, so that you can say it again.",
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if way.QueueFilter, err = f.chosen(args); err != nil {
				return err
			}
			if !some(way.QueueFilter) {
				return usagef("say which: ids, --all, or what they have in common, like --domain; 'hayauma queue list' shows the ids")
			}
			if way.To == "" {
				return usagef("say where to: --to ROUTE, or --to mx for no route")
			}
			touched, err := ask(cmd.Context(), c, control.QueueReroute, way)
			if err != nil {
				return err
			}
			done := "have another way"
			if way.DryRun {
				done = "would have another way; nothing was changed"
			}
			_, err = fmt.Fprintf(c.stdout, "%s %s\n", count(touched.Recipients, "recipient"), done)
			if err == nil && touched.UnderWay > 0 {
				_, err = fmt.Fprintf(c.stdout, "%s under way: they are tried where they are\n", count(touched.UnderWay, "recipient"))
			}
			return err
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&f.DryRun, "dry-run", false, "only count them")
	cmd.Flags().StringVar(&way.To, "to", "", "the route, or mx")
	return cmd
}

func (c *cli) queueList() *cobra.Command {
	var f selection
	cmd := &cobra.Command{
		Use: "list [ID...]", Short: "List the recipients that wait", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := f.chosen(args)
			if err != nil {
				return err
			}
			if f.Limit < 0 {
				return usagef("--limit %d: must not be negative", f.Limit)
			}
			if f.Limit == 0 {
				f.Limit = control.DefaultList
			}
			if f.Limit > control.MaxList {
				return usagef("--limit %d: must be at most %d", f.Limit, control.MaxList)
			}
			f.All = f.All || !some(f)
			shown := f.Limit
			f.Limit++ // one more tells whether there is more
			entries, err := ask(cmd.Context(), c, control.QueueList, f)
			if err != nil {
				return err
			}
			more := len(entries) > shown
			if err := c.printEntries(entries[:min(len(entries), shown)]); err != nil || !more {
				return err
			}
			return c.printMore(shown)
		},
	}
	f.flags(cmd)
	cmd.Flags().IntVar(&f.Limit, "limit", 0, fmt.Sprintf("at most this many recipients, up to %d; 0 = %d", control.MaxList, control.DefaultList))
	return c.jsonFlag(cmd)
}

// printMore says that a list ends before the queue does; beside JSON it does
// so on standard error.
func (c *cli) printMore(shown int) error {
	out, who := c.stdout, ""
	if c.json {
		out, who = c.stderr, "hayauma: "
	}
	advice := "use --limit"
	if shown >= control.MaxList {
		advice = "use --domain, --sender, --state or others"
	}
	_, err := fmt.Fprintf(out, "%s... more than %s, %s\n", who, count(shown, "recipient"), advice)
	return err
}

func (c *cli) printEntries(entries []control.QueueEntry) error {
	titles := []string{"MESSAGE", "RECIPIENT-ID", "STATE", "SENDER", "RECIPIENT", "SIZE", "RECEIVED", "NEXT", "ATTEMPTS", "WHY", "CLASS", "LAST REPLY"}
	return list(c, entries, titles, func(e control.QueueEntry) []string {
		return []string{
			e.Message, e.ID, e.State, senderText(e.Sender), e.Recipient, sizeText(e.Size),
			timeText(e.Received), timeText(e.Next), strconv.Itoa(e.Attempts), e.Why, e.Class, lastReply(e),
		}
	})
}

// lastReply is the line of the last reply, with who gave it.
func lastReply(e control.QueueEntry) string {
	text := mail.ReplyLine(e.Code, e.Enhanced, e.Reply)
	if e.Host != "" && text != "" {
		text = e.Host + ": " + text
	}
	return text
}

func senderText(s string) string {
	if s == "" {
		return "<>"
	}
	return s
}

func (c *cli) queueShow() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "show MESSAGE", Short: "Show one message's recipients and header", Args: exactly("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := mail.ParseID(args[0]); err != nil {
				return usagef("%q: %v; 'hayauma queue list' shows the ids", args[0], err)
			}
			m, err := ask(cmd.Context(), c, control.QueueShow, control.MessageName{Message: args[0]})
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(m)
			}
			if err := c.printEntries(m.Entries); err != nil {
				return err
			}
			fmt.Fprintln(c.stdout)
			for text := range strings.SplitSeq(strings.TrimSuffix(m.Header, "\r\n"), "\n") {
				fmt.Fprintln(c.stdout, printable(strings.TrimSuffix(text, "\r")))
			}
			return nil
		},
	})
}
