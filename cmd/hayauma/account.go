package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

// maxPasswordLine bounds what is read for a password, in octets.
const maxPasswordLine = 4096

func (c *cli) accountCommand() *cobra.Command {
	return group("account", "The people who have mailboxes here",
		c.accountLogin("add USER@DOMAIN --password-stdin", "Make an account with its mailboxes", control.AccountAdd, "added"),
		c.accountLogin("passwd USER@DOMAIN --password-stdin", "Set a new password", control.AccountPasswd, "set the password of"),
		c.appPasswordCommand(),
		c.accountSet(),
		c.accountLimit(),
		c.accountHold(),
		c.accountRemove(),
		c.accountList(),
	)
}

func (c *cli) accountLogin(use, short string, call control.Call[control.AccountLogin, control.Empty], done string) *cobra.Command {
	var stdin, scram bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: exactly("USER@DOMAIN"), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			if !stdin {
				return usagef("the password comes by standard input, never on the command line: put it on the first line there and add --password-stdin")
			}
			password, err := readPassword(c.stdin)
			if err != nil {
				return err
			}
			if _, err := ask(cmd.Context(), c, call, control.AccountLogin{Address: a.String(), Password: password, SCRAM: scram}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "%s account %s\n", done, a)
			return err
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	cmd.Flags().BoolVar(&scram, "scram", false, "let it be used with SCRAM-SHA-256 too, where auth.scram offers that: for long passwords only")
	return cmd
}

func addressArgument(s string) (mail.Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return a, usagef("%q: %v; write it like user@example.org", s, err)
	}
	return a, nil
}

// readPassword returns the first line.
func readPassword(r io.Reader) (string, error) {
	var password string
	err := readPasswords(r, &password)
	return password, err
}

// readPasswords reads several, each from a line of its own.
func readPasswords(r io.Reader, passwords ...*string) error {
	in := bufio.NewReader(io.LimitReader(r, int64(len(passwords)*maxPasswordLine)))
	for i, p := range passwords {
		text, err := in.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the password: %w", err)
		}
		*p = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		if *p == "" {
			which := "first"
			if i > 0 {
				which = "next"
			}
			return usagef("the %s line of standard input is empty: the password stands there", which)
		}
	}
	return nil
}

// quotaValue is a flag that holds a size like "5GB", or default.
type quotaValue config.Size

func (v *quotaValue) String() string { return config.Size(*v).String() }
func (v *quotaValue) Type() string   { return "SIZE" }

func (v *quotaValue) Set(s string) error {
	if s == "default" {
		*v = control.DefaultQuota
		return nil
	}
	n, err := config.ParseSize(s)
	*v = quotaValue(n)
	return err
}

func (c *cli) accountSet() *cobra.Command {
	var quota quotaValue
	var language string
	cmd := &cobra.Command{
		Use: "set USER@DOMAIN [--quota SIZE] [--language en|ja]", Short: "Change what is set for an account", Args: exactly("USER@DOMAIN"),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			changed := cmd.Flags().Changed
			if !changed("quota") && !changed("language") {
				return usagef("say what to set: --quota SIZE, like 5GB, 0 = none, default = mail.quota; or --language en or ja")
			}
			if changed("quota") {
				if _, err := ask(cmd.Context(), c, control.AccountQuota, control.AccountSettings{Address: a.String(), Quota: int64(quota)}); err != nil {
					return err
				}
				fmt.Fprintf(c.stdout, "set the quota of account %s to %s\n", a, quotaText(int64(quota), quota == control.DefaultQuota))
			}
			if changed("language") {
				if _, err := ask(cmd.Context(), c, control.AccountLanguage, control.AccountSettings{Address: a.String(), Language: language}); err != nil {
					return err
				}
				fmt.Fprintf(c.stdout, "set the language of account %s to %s\n", a, language)
			}
			return nil
		},
	}
	cmd.Flags().Var(&quota, "quota", "how much mail it may keep, like 5GB; 0 = no limit; default = as the setting mail.quota says")
	cmd.Flags().StringVar(&language, "language", "", "of reports on mail that was not delivered: en or ja")
	return cmd
}

// quotaText is a quota; of one that is not the account's own, where it comes from.
func quotaText(n int64, byDefault bool) string {
	text := "none"
	if n > 0 {
		text = config.Size(n).String()
	}
	switch {
	case n < 0:
		return "that of mail.quota"
	case byDefault:
		return text + " (mail.quota)"
	}
	return text
}

func (c *cli) accountRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove USER@DOMAIN", Short: "End an account; its mail goes with it", Args: exactly("USER@DOMAIN"),
		Long: "End an account; its mail goes with it. What it sent and waits in the queue stays there:\n" +
			"you hear how much that is, and how to take it out.",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := addressArgument(args[0])
			if err != nil {
				return err
			}
			left, err := ask(cmd.Context(), c, control.AccountRemove, control.AccountName{Address: a.String()})
			if err != nil {
				return err
			}
			c.warnOfLeft(a, left)
			_, err = fmt.Fprintf(c.stdout, "removed account %s\n", a)
			return err
		},
	}
}

// warnOfLeft tells what an account leaves behind, and what can be done about it.
func (c *cli) warnOfLeft(a mail.Address, left control.AccountLeft) {
	for _, alias := range left.Aliases {
		c.warn("the alias %s still names %s, which leads to nobody now: add it again without that, or remove it with 'hayauma alias remove'", alias, a)
	}
	if left.Waiting == 0 {
		return
	}
	fate, release := "it goes on", ""
	if left.Held > 0 {
		fate = fmt.Sprintf("it is on hold for %d of them", left.Held)
		release = fmt.Sprintf(", 'hayauma queue release --account %s' lets go on what is on hold", left.ID)
	}
	c.warn("what %s sent still waits in the queue for %s, and %s: 'hayauma queue list --account %s' shows it%s, 'hayauma queue delete --account %s' takes it out",
		a, count(left.Waiting, "recipient"), fate, left.ID, release, left.ID)
}

func (c *cli) accountList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the accounts with what they keep", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			accounts, err := ask(cmd.Context(), c, control.AccountList, control.Empty{})
			if err != nil {
				return err
			}
			titles := []string{"ACCOUNT", "QUOTA", "USED", "MESSAGES", "CREATED"}
			return list(c, accounts, titles, func(a control.AccountInfo) []string {
				return []string{a.Address, quotaText(a.Quota, a.Default), sizeText(a.Used), strconv.FormatInt(a.Messages, 10), timeText(a.Created)}
			})
		},
	})
}
