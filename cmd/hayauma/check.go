package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
)

// checked is what check found.
type checked struct {
	Config   string   `json:"config"`
	Warnings []string `json:"warnings"`
	Deep     bool     `json:"deep"`
	Faults   []string `json:"faults"`
}

func (c *cli) checkCommand() *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the settings, and with --deep everything that is stored",
		Long: "Check the settings without starting a server. A resolver that is believed, by\n" +
			"dns.trust_ad or by \"options trust-ad\" in /etc/resolv.conf, is asked for a name that\n" +
			"is signed and for one that is signed wrongly. With --deep, read everything that is\n" +
			"stored and verify each checksum and reference; that takes as long as reading the\n" +
			"whole of data_dir, and works beside a running server.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.check(cmd.Context(), deep) },
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "verify all checksums and references of the stores")
	return c.jsonFlag(cmd)
}

func (c *cli) check(ctx context.Context, deep bool) error {
	cfg, path, err := c.load()
	if err != nil {
		return err
	}
	warnings, err := app.Check(ctx, cfg)
	if err != nil {
		return err
	}
	found := checked{Config: path, Warnings: append(append([]string{}, cfg.Warnings()...), warnings...), Deep: deep, Faults: []string{}}
	if deep {
		faults, err := app.Verify(ctx, cfg, c.quietLog())
		if err != nil {
			return err
		}
		found.Faults = append(found.Faults, faults...)
	}
	if err := c.printChecked(found); err != nil {
		return err
	}
	if n := len(found.Faults); n > 0 {
		total := count(n, "fault")
		if n > app.MaxFaults {
			total = fmt.Sprintf("more than %d faults", app.MaxFaults)
		}
		return fmt.Errorf("%s found in %s: keep a copy of the folder before anything else, then restore what is damaged from a backup",
			total, cfg.DataDir)
	}
	return nil
}

// serverRuns tells whether somebody listens on the admin socket.
func serverRuns(ctx context.Context, cfg *config.Config) bool {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "unix", control.SocketPath(cfg.DataDir))
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was said
	return true
}

func (c *cli) printChecked(found checked) error {
	if c.json {
		return c.printJSON(found)
	}
	for _, w := range found.Warnings {
		fmt.Fprintln(c.stdout, "warning: "+printable(w))
	}
	for _, f := range found.Faults {
		fmt.Fprintln(c.stdout, "fault: "+printable(f))
	}
	fmt.Fprintf(c.stdout, "%s: the settings are fine\n", found.Config)
	if found.Deep && len(found.Faults) == 0 {
		fmt.Fprintln(c.stdout, "stores: every checksum and reference is right")
	}
	return nil
}
