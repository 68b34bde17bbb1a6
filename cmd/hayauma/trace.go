package main

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/emersion/go-message/charset"
	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

func (c *cli) traceCommand() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "trace MESSAGE", Short: "Tell what happened to a message",
		Long: "Tell what happened to a message, oldest first: who brought it, what was decided,\n" +
			"and each attempt with the remote's own words. MESSAGE is the id that stands in\n" +
			"the reply to DATA, or a Message-ID.",
		Args: exactly("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			timelines, err := ask(cmd.Context(), c, control.Trace, control.MessageName{Message: args[0]})
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(timelines)
			}
			for i, t := range timelines {
				if i > 0 {
					fmt.Fprintln(c.stdout)
				}
				printTimeline(c.stdout, t)
			}
			return nil
		},
	})
}

// printTimeline writes one line for each event, and below it what is known.
func printTimeline(w io.Writer, t event.Timeline) {
	fmt.Fprintf(w, "message %s\n", t.Message)
	for _, e := range t.Events {
		stage := string(e.Kind)
		if e.Recipient != "" {
			stage += " " + e.Recipient
		}
		fmt.Fprintf(w, "%s  %s\n", e.Time().Local().Format("2006-01-02 15:04:05.000"), printable(stage))
		for _, fact := range facts(e) {
			fmt.Fprintf(w, "    %-10s  %s\n", fact.name, printable(fact.text))
		}
	}
}

// fact is one thing known of an event.
type fact struct{ name, text string }

// facts lists what an event knows in the order in which people ask for it.
func facts(e event.Event) []fact {
	d := &e.Detail
	var out []fact
	add := func(name, text string) {
		if text != "" {
			out = append(out, fact{name, text})
		}
	}
	brought := d.Door != ""
	if brought {
		add("sender", senderText(d.From))
		add("to", strings.Join(d.Recipients, ", "))
		add("queued", queuedText(d))
		add("tags", strings.Join(d.Tags, ", "))
		add("peer", peerText(d))
		add("forwarded", d.Forwarded)
		add("login", d.Login)
		add("tls", cmp.Or(d.TLS, noTLS(d)))
		add("session", d.Session)
		add("wishes", d.Wishes)
	} else {
		add("told", d.From)
		add("to", strings.Join(d.Recipients, ", "))
	}
	add("message-id", d.MessageID)
	add("subject", decoded(d.Subject))
	if d.Size > 0 {
		add("size", sizeText(d.Size))
	}
	add("account", d.Account)
	add("mailbox", mailboxText(d))
	if !brought {
		add("host", hostText(d))
		add("from", d.Local)
		if d.Host != "" && d.Source == "" {
			add("tls", cmp.Or(d.TLS, "none"))
		}
	}
	for _, b := range d.Before {
		add("earlier", beforeText(b))
	}
	add(replyName(d), mail.ReplyLine(d.Code, d.Enhanced, d.Reply))
	add("class", d.Class)
	add("reason", d.Reason)
	add("source", d.Source)
	if d.Source != "" && d.More > 0 {
		add("more", fmt.Sprintf("%d recipients that have no entry", d.More))
	}
	add("attempt", attemptText(d))
	if next, err := time.Parse(time.RFC3339, d.Next); err == nil {
		add("next try", next.Local().Format(time.DateTime))
	}
	if d.Other != "" {
		name := "report"
		if brought {
			name = "about"
		}
		add(name, fmt.Sprintf("message %s ('hayauma trace %s' tells its story)", d.Other, d.Other))
	}
	return out
}

// beforeText is what an attempt met at another address, with the time of here.
func beforeText(s string) string {
	at, what, _ := strings.Cut(s, " ")
	if t, err := time.Parse(time.RFC3339, at); err == nil {
		at = t.Local().Format(time.TimeOnly)
	}
	return at + " " + what
}

// queuedText tells how many recipients wait for their way out, or for the operator.
func queuedText(d *event.Detail) string {
	if d.Queued == 0 {
		return ""
	}
	text := fmt.Sprintf("for %d of them", d.Queued)
	if d.Held != "" {
		text += ", held by the access rule " + d.Held + ": see 'hayauma queue list --state held'"
	}
	return text
}

// decoded is a header's text as its writer meant it (RFC 2047), or as it stands
// where that cannot be told.
func decoded(text string) string {
	d := mime.WordDecoder{CharsetReader: charset.Reader}
	if out, err := d.DecodeHeader(text); err == nil {
		return out
	}
	return text
}

// noTLS tells of cleartext where there was a connection at all.
func noTLS(d *event.Detail) string {
	if d.Peer == "" {
		return ""
	}
	return "none"
}

func peerText(d *event.Detail) string {
	text := d.Peer
	if d.Helo != "" {
		text = strings.TrimSpace(text + " helo " + d.Helo)
	}
	return strings.TrimSpace(text + " by " + d.Door)
}

func mailboxText(d *event.Detail) string {
	if d.UID == 0 {
		return d.Mailbox
	}
	return fmt.Sprintf("%s, uid %d", d.Mailbox, d.UID)
}

func hostText(d *event.Detail) string {
	if d.Peer == "" {
		return d.Host
	}
	return strings.TrimSpace(fmt.Sprintf("%s [%s]", d.Host, d.Peer))
}

// replyName tells whose words a reply is.
func replyName(d *event.Detail) string {
	if d.Ours {
		return "finding"
	}
	return "reply"
}

func attemptText(d *event.Detail) string {
	if d.Attempt == 0 {
		return ""
	}
	return fmt.Sprintf("%d, took %v", d.Attempt, time.Duration(d.Millis)*time.Millisecond)
}
