package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) sendCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "send [-t] [-f SENDER] [-F NAME] [-i] [RECIPIENT...]",
		Short: "Send the message on standard input, as sendmail does",
		Long: "Send the message on standard input, as sendmail does. Called by the name of\n" +
			"sendmail, the program is this command.\n\n" +
			"  -t             recipients from To, Cc and Bcc too; Bcc is removed\n" +
			"  -f, -r SENDER  the sender; you at this server's domain if not given\n" +
			"  -F NAME        the name in From, if the message has no From\n" +
			"  -i, -oi        a line with a single dot does not end the message\n" +
			"  -v             tell the id under which the message was taken\n" +
			"  --envelope FILE  sender, recipients and all else of the envelope from a file of\n" +
			"                 'hayauma queue export'; the message stays as it is\n\n" +
			"Other flags of sendmail that deliver mail are accepted and do nothing.\n\n" +
			"Exit code 75 (EX_TEMPFAIL) says that the message was not taken and is worth keeping:\n" +
			"the failure is temporary, or about the set-up.",
		DisableFlagParsing: true, // they are those of sendmail
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := parseSendmail(args)
			if err != nil {
				return err
			}
			if o.help {
				return cmd.Help()
			}
			if o.config != "" {
				c.configFlag = o.config
			}
			if o.envelope != "" {
				return notNow(c.sendAgain(cmd.Context(), o))
			}
			return notNow(c.send(cmd.Context(), o))
		},
	}
}

// notNow gives an error the code by which callers keep a message, unless the same message
// would meet it again: what is unknown is temporary.
func notNow(err error) error {
	_, usage := errors.AsType[*usageError](err)
	_, told := errors.AsType[*exitError](err)
	if err == nil || usage || told {
		return err
	}
	return &exitError{err, exitLater}
}

// final says of what the server did not take whether that is for good.
func final(err error) error {
	if r, ok := errors.AsType[*control.Refusal](err); ok && !r.Temporary || errors.Is(err, mail.ErrAddress) {
		return &exitError{err, exitFailed}
	}
	return err
}

func (c *cli) send(ctx context.Context, o sendmail) error {
	return c.with(ctx, func(client *control.Client, cfg *config.Config) error {
		home, err := homeDomain(ctx, client, cfg.Hostname)
		if err != nil {
			return err
		}
		s := submission{options: o, hostname: cfg.Hostname, home: home, user: userName()}
		// A server without domains still sends for the programs of its host.
		if s.from = senderOf(o, s.user, cmp.Or(home, cfg.Hostname)); s.from == "" {
			s.options.name = ""
		}
		body, err := s.open(c.stdin)
		if err != nil && !errors.Is(err, errNoHome) {
			return &exitError{err, exitFailed} // the message is not as it must be
		}
		if err != nil {
			return err
		}
		if len(s.recipients) == 0 {
			return usagef("the message has no recipients: name them on the command line, or in its header and give -t")
		}
		sent, err := control.Send(ctx, client, control.Outgoing{
			From: s.from, Recipients: s.recipients, User: s.user, Message: body,
		})
		if err != nil {
			return final(err)
		}
		if o.verbose {
			fmt.Fprintf(c.stdout, "message %s taken for %s\n", sent.Message, count(len(s.recipients), "recipient"))
		}
		return nil
	})
}

// sendAgain sends what was exported, with its envelope.
func (c *cli) sendAgain(ctx context.Context, o sendmail) error {
	if o.fromHeader || o.senderGiven || len(o.recipients) > 0 {
		return usagef("--envelope tells sender and recipients: give none, and no -t")
	}
	text, err := os.ReadFile(o.envelope)
	if err != nil {
		return &exitError{err, exitFailed}
	}
	var e control.Exported
	if err := json.Unmarshal(text, &e); err != nil {
		return &exitError{fmt.Errorf("%s is no envelope of 'hayauma queue export': %w", o.envelope, err), exitFailed}
	}
	return c.with(ctx, func(client *control.Client, _ *config.Config) error {
		sent, err := control.SendAgain(ctx, client, control.Outgoing{User: userName(), Envelope: &e, Message: newLineReader(c.stdin, false)})
		if err == nil && o.verbose {
			_, err = fmt.Fprintf(c.stdout, "message %s taken for %s\n", sent.Message, count(len(e.Recipients), "recipient"))
		}
		return final(err)
	})
}

// homeDomain is the domain that a bare user belongs to: our hostname if mail for
// it is at home here, else the first domain that is; empty = there is none.
func homeDomain(ctx context.Context, client *control.Client, hostname string) (string, error) {
	domains, err := control.Ask(ctx, client, control.DomainList, control.Empty{})
	domains = slices.DeleteFunc(domains, func(d account.DomainInfo) bool { return d.Relay != nil })
	if err != nil || len(domains) == 0 {
		return "", err
	}
	for _, d := range domains {
		if strings.EqualFold(d.Name, hostname) {
			return hostname, nil
		}
	}
	return domains[0].Name, nil
}

// senderOf is the reverse-path: what -f says, else the user here. "<>" and an
// empty -f are the null path.
func senderOf(o sendmail, user, domain string) string {
	sender := user
	if o.senderGiven {
		sender = strings.TrimSuffix(strings.TrimPrefix(o.sender, "<"), ">")
	}
	if sender == "" || strings.Contains(sender, "@") {
		return sender
	}
	return sender + "@" + domain
}

// userName is who runs this, as it may stand in an address.
func userName() string {
	name := os.Getenv("USER")
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		name = u.Username
	}
	clean := strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`"(),:;<>@[\]`, r) {
			return r
		}
		return -1
	}, name)
	if clean = strings.Trim(clean, "."); clean == "" {
		return "uid" + strconv.Itoa(os.Getuid())
	}
	return clean
}
