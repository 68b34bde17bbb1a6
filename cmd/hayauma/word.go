package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// errEmpty answers an option that chooses, given with nothing: a script's variable that is
// not set must not choose everything.
var errEmpty = errors.New("it is empty, and that chooses nothing: write what is meant, or leave the option out")

// errNoSender is errEmpty where there is a word for nobody.
var errNoSender = errors.New("it is empty, and that chooses nothing: write '<>' for the null sender, or leave the option out")

// word is an option that chooses by a text; only where it is not given it chooses nothing.
type word struct {
	to    *string
	empty error
}

func (w word) String() string {
	if w.to == nil { // pflag asks a zero value for the default
		return ""
	}
	return *w.to
}

func (w word) Type() string { return "string" }

func (w word) Set(s string) error {
	if s == "" {
		return w.empty
	}
	*w.to = s
	return nil
}

// wordVar adds an option that chooses.
func wordVar(cmd *cobra.Command, to *string, name, usage string) {
	cmd.Flags().Var(word{to, errEmpty}, name, usage)
}

// senderVar adds one that chooses by the sender.
func senderVar(cmd *cobra.Command, to *string, name, usage string) {
	cmd.Flags().Var(word{to, errNoSender}, name, usage)
}
