package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/mail"
)

func (c *cli) recallCommand() *cobra.Command {
	return &cobra.Command{
		Use: "recall MESSAGE", Short: "Take a message back before it goes out",
		Long: "Take a message back that still waits: under submission.hold, for the time that\n" +
			"its sender gave (HOLDFOR, HOLDUNTIL), or on hold without an attempt. If any of\n" +
			"its recipients is on the way or has it, nothing is changed. Nobody is sent a\n" +
			"report. MESSAGE is the id that stands in the reply to DATA.",
		Args: exactly("MESSAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := mail.ParseID(args[0]); err != nil {
				return usagef("%q: %v; it stands in the reply to DATA and in 'hayauma queue list'", args[0], err)
			}
			done, err := ask(cmd.Context(), c, control.Recall, control.MessageName{Message: args[0]})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "taken back from %s\n", count(done.Recipients, "recipient"))
			return err
		},
	}
}
