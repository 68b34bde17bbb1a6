package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/demo"
)

func (c *cli) demoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch two servers submit, relay, deliver and trace mail",
		Long: "Watch two servers at work in a temporary folder on loopback: a user submits a\n" +
			"message with an attachment to a neighbour and to a user of the other server,\n" +
			"both read it over IMAP and POP3, and the timelines are printed.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			return demo.Run(cmd.Context(), demo.Options{Program: self, Out: c.stdout, Keep: keep})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the temporary folder with data and logs")
	return cmd
}
