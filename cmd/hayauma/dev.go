package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
)

//go:embed dev.toml
var devSettings string

// The development domain, and where its passwords are kept in the folder.
const (
	devDomain   = "hayauma.test"
	devAccounts = "dev-accounts.txt"
)

// login is an account of the development domain.
type login struct{ address, password string }

func (c *cli) devCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a development server on loopback ports, and say how to use it",
		Long: "Run a development server in a folder: settings, the domain " + devDomain + " and two\n" +
			"accounts are made where there are none, and lines to copy are printed that send\n" +
			"a mail and read it. It is for this machine only.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.configFlag == "" {
				c.configFlag = filepath.Join(dir, "hayauma.toml")
				if err := writeDevSettings(c.configFlag); err != nil {
					return fmt.Errorf("%w; name another folder with --data", err)
				}
			}
			logins, err := c.devLogins(cmd.Context())
			if err != nil {
				return err
			}
			return c.serve(cmd.Context(), func(cfg *config.Config) { c.printHints(cfg, logins) })
		},
	}
	cmd.Flags().StringVar(&dir, "data", "data", "the folder of settings and mail")
	return cmd
}

func writeDevSettings(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return createFile(path, devSettings)
}

// createFile writes a file that must not be there; one that is stays.
func createFile(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}

// devLogins makes the domain and its accounts where they are missing, and
// returns the logins that the file of passwords tells.
func (c *cli) devLogins(ctx context.Context) (logins []login, err error) {
	err = c.reach(ctx, true, func(client *control.Client, cfg *config.Config) error {
		if serverRuns(ctx, cfg) {
			return fmt.Errorf("a server runs on %s already: end it first, or name another folder with --data", cfg.DataDir)
		}
		known, err := devState(ctx, client)
		if err != nil {
			return err
		}
		path := filepath.Join(filepath.Dir(c.configFlag), devAccounts)
		kept, err := readLogins(path)
		if err != nil {
			return err
		}
		for _, user := range []string{"alice", "bob"} {
			l, fresh := chooseLogin(kept, user+"@"+devDomain)
			logins = append(logins, l)
			if err := makeAccount(ctx, client, l, slices.Contains(known, l.address), fresh); err != nil {
				return err
			}
		}
		return writeLogins(path, logins)
	})
	return logins, err
}

// devState makes the domain if need be, and returns its accounts.
func devState(ctx context.Context, client *control.Client) ([]string, error) {
	domains, err := control.Ask(ctx, client, control.DomainList, control.Empty{})
	if err != nil {
		return nil, err
	}
	there := false
	for _, d := range domains {
		there = there || d.Name == devDomain
	}
	if !there {
		if _, err := control.Ask(ctx, client, control.DomainAdd, control.DomainSettings{Domain: devDomain}); err != nil {
			return nil, err
		}
	}
	accounts, err := control.Ask(ctx, client, control.AccountList, control.Empty{})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(accounts))
	for _, a := range accounts {
		names = append(names, a.Address)
	}
	return names, nil
}

func makeAccount(ctx context.Context, client *control.Client, l login, exists, fresh bool) error {
	in := control.AccountLogin{Address: l.address, Password: l.password}
	var err error
	switch {
	case !exists:
		_, err = control.Ask(ctx, client, control.AccountAdd, in)
	case fresh: // its password is lost: the file is gone
		_, err = control.Ask(ctx, client, control.AccountPasswd, in)
	}
	return err
}

// chooseLogin returns the kept login, or one with a new password.
func chooseLogin(kept []login, address string) (l login, fresh bool) {
	for _, k := range kept {
		if k.address == address {
			return k, false
		}
	}
	return login{address: address, password: strings.ToLower(rand.Text()[:16])}, true
}

// readLogins reads lines of address and password.
func readLogins(path string) ([]login, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []login
	for row := range strings.Lines(string(text)) {
		if words := strings.Fields(row); len(words) == 2 && !strings.HasPrefix(row, "#") {
			out = append(out, login{words[0], words[1]})
		}
	}
	return out, nil
}

func writeLogins(path string, logins []login) error {
	var b strings.Builder
	b.WriteString("# The accounts of the development server: address and password.\n")
	for _, l := range logins {
		b.WriteString(l.address + " " + l.password + "\n")
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
