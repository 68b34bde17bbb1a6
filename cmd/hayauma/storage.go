package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/move"
)

func (c *cli) storageCommand() *cobra.Command {
	return group("storage", "The engines that keep the mail", c.storageCopyCommand(), c.storageMigrateCommand())
}

func (c *cli) storageCopyCommand() *cobra.Command {
	var to string
	var skip bool
	cmd := &cobra.Command{
		Use:   "copy --to FILE",
		Short: "Copy everything that is stored to other engines",
		Long: "Copy the whole installation of --config to the storage that another configuration\n" +
			"names, and compare both sides row by row and body by body. Both servers must be\n" +
			"stopped. A copy that was cut off goes on where it was when it is run again; until\n" +
			"it has finished no server starts on the new storage. The old one stays as it is.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usagef("say where to: --to FILE, the configuration with the new [storage] and data_dir")
			}
			return c.storageCopy(cmd.Context(), to, skip)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the configuration whose storage gets the copy")
	cmd.Flags().BoolVar(&skip, "skip-damaged", false, "copy what refers to bodies that are lost or damaged, without them")
	return c.jsonFlag(cmd)
}

func (c *cli) storageCopy(ctx context.Context, to string, skip bool) error {
	from, _, err := c.load()
	if err != nil {
		return err
	}
	target, err := config.Load(to)
	if err != nil {
		return err
	}
	report, err := app.Copy(ctx, app.CopyOptions{
		From: from, To: target, SkipDamaged: skip, Logger: c.quietLog(), Progress: c.progress(),
	})
	if ctx.Err() != nil {
		return fmt.Errorf("the copy was cut off: run the same command again, it goes on where it was (%w)", context.Cause(ctx))
	}
	for _, d := range report.Damaged {
		fmt.Fprintf(c.stderr, "damaged: body %s: %s\n", d.Body, printable(d.Fault))
	}
	if err != nil {
		return err
	}
	return c.printCopied(report, to)
}

// tellEvery is how often a copy says how far it is.
const tellEvery = 2 * time.Second

// progress tells people how far a copy is.
func (c *cli) progress() func(move.Progress) {
	var last time.Time
	step := 0
	return func(p move.Progress) {
		if p.Step == step && time.Since(last) < tellEvery {
			return
		}
		step, last = p.Step, time.Now()
		fmt.Fprintf(c.stderr, "%d of %d: %s, %d so far\n", p.Step, p.Steps, p.Name, p.Done)
	}
}

func (c *cli) printCopied(r move.Report, to string) error {
	if c.json {
		return c.printJSON(r)
	}
	rows := make([][]string, 0, len(r.Tables)+1)
	for _, t := range r.Tables {
		rows = append(rows, []string{t.Name, strconv.FormatInt(t.Rows, 10), t.SHA256})
	}
	rows = append(rows, []string{"bodies", strconv.FormatInt(r.Bodies.Count, 10), r.Bodies.SHA256})
	if err := c.table([]string{"WHAT", "NUMBER", "SHA-256"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "copied in %v and compared in %v: both sides are the same. Start the server with --config %s\n",
		r.Copied.Round(time.Millisecond), r.Verified.Round(time.Millisecond), to)
	return err
}

// pendingStep is a step that the next start would take.
type pendingStep struct {
	Package string `json:"package"`
	Step    int    `json:"step"`
	SQL     string `json:"sql"`
}

func (c *cli) storageMigrateCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "migrate --dry-run",
		Short: "Show how the next start would change the tables",
		Long: "Show the steps by which the next start of this version changes the tables. A start\n" +
			"takes them by itself; they only go forward, and an older version then refuses the\n" +
			"database.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !dry {
				return usagef("a start migrates by itself; --dry-run shows what it would do")
			}
			return c.storageMigrate(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing")
	return c.jsonFlag(cmd)
}

func (c *cli) storageMigrate(ctx context.Context) error {
	cfg, _, err := c.load()
	if err != nil {
		return err
	}
	steps, err := app.Pending(ctx, cfg, c.quietLog())
	if err != nil {
		return err
	}
	out := make([]pendingStep, 0, len(steps))
	for _, s := range steps {
		out = append(out, pendingStep{Package: s.Package, Step: s.Number, SQL: s.SQL})
	}
	if c.json {
		return c.printJSON(out)
	}
	for _, s := range out {
		if _, err := fmt.Fprintf(c.stdout, "-- %s, step %d\n%s\n", s.Package, s.Step, s.SQL); err != nil {
			return err
		}
	}
	if len(out) == 0 {
		_, err = fmt.Fprintln(c.stdout, "the tables are up to date")
	}
	return err
}
