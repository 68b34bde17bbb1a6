package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
)

func (c *cli) queueExport() *cobra.Command {
	var f selection
	var to string
	cmd := &cobra.Command{
		Use: "export ID...|--all|--domain DOMAIN|--sender ADDRESS|... --to FOLDER", Short: "Write messages to files, with their envelopes",
		Long: "Write each message to FOLDER/ID.eml and its envelope to FOLDER/ID.json, with those\n" +
			"of its recipients that are chosen. The queue is not changed. The files are yours\n" +
			"alone, safe on the disk when the command ends, and replace none. With --to - one\n" +
			"message goes to standard output, without its envelope.\n\n" +
			"'hayauma send --envelope FOLDER/ID.json < FOLDER/ID.eml' sends it again.",
		Args: cobra.ArbitraryArgs, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := f.chosen(args)
			if err != nil {
				return err
			}
			if !some(chosen) {
				return usagef("say which: ids, --all, or what they have in common, like --domain; 'hayauma queue list' shows the ids")
			}
			if to == "" && !chosen.DryRun {
				return usagef("say where to: --to FOLDER, or --to - for standard output")
			}
			return c.with(cmd.Context(), func(client *control.Client, _ *config.Config) error {
				x := export{cli: c, client: client, folder: to}
				switch {
				case chosen.DryRun:
					return x.count(cmd.Context(), chosen)
				case to == "-":
					return x.print(cmd.Context(), chosen)
				}
				return x.write(cmd.Context(), chosen)
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the folder, which is made if there is none; - = standard output")
	cmd.Flags().BoolVar(&f.DryRun, "dry-run", false, "only count them")
	return cmd
}

// export is one run of the command.
type export struct {
	*cli
	client *control.Client
	folder string

	messages, recipients, gone int
	failed                     int // could not be read
	octets                     int64
}

func (x *export) taken(m control.Exported) {
	x.messages++
	x.recipients += len(m.Recipients)
	x.octets += m.Size
}

func (x *export) sum() string {
	return fmt.Sprintf("%s for %s, %s", count(x.messages, "message"), count(x.recipients, "recipient"), sizeText(x.octets))
}

func (x *export) count(ctx context.Context, f control.QueueFilter) error {
	err := control.Export(ctx, x.client, f, func(m control.Exported) error {
		x.taken(m)
		return nil
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(x.stdout, "%s, would be exported; nothing was written\n", x.sum())
	return err
}

var errMany = errors.New("these are several messages: choose one by its id, or name a folder")

// print writes the only message that is chosen.
func (x *export) print(ctx context.Context, f control.QueueFilter) error {
	var only control.Exported
	err := control.Export(ctx, x.client, f, func(m control.Exported) error {
		if x.taken(m); x.messages > 1 {
			return errMany
		}
		only = m
		return nil
	})
	switch {
	case err != nil:
		return err
	case x.messages == 0:
		return errNone
	}
	return control.Content(ctx, x.client, only.Message, x.stdout)
}

var errNone = errors.New("no such message or recipient in the queue")

// write writes all that are chosen, and returns once they are safe.
func (x *export) write(ctx context.Context, f control.QueueFilter) error {
	if err := makeFolder(x.folder); err != nil {
		return err
	}
	err := control.Export(ctx, x.client, f, func(m control.Exported) error {
		err := x.save(ctx, m)
		if unread, ok := errors.AsType[*unreadError](err); ok {
			fmt.Fprintln(x.stderr, "hayauma: "+printable(unread.Error()))
			x.failed++
			return nil
		}
		if errors.Is(err, control.ErrGone) {
			x.gone++
			return nil
		}
		if err == nil {
			x.taken(m)
		}
		return err
	})
	// What was written so far is to stay, whatever came next.
	if err = errors.Join(err, syncFolder(x.folder)); err != nil {
		return fmt.Errorf("exported only %s: %w", x.sum(), err)
	}
	if x.messages+x.gone+x.failed == 0 && len(f.IDs) > 0 {
		return errNone
	}
	if _, err := fmt.Fprintf(x.stdout, "%s, exported to %s\n", x.sum(), x.folder); err != nil {
		return err
	}
	if x.gone > 0 {
		if _, err := fmt.Fprintf(x.stdout, "%s left the queue meanwhile: delivered, or deleted\n", count(x.gone, "message")); err != nil {
			return err
		}
	}
	if x.failed > 0 {
		return fmt.Errorf("%s could not be read", count(x.failed, "message"))
	}
	return nil
}

// unreadError is a message that the server cannot give, which is no reason to go
// without the others.
type unreadError struct{ error }

// save writes one message and its envelope. Neither has its name before both are
// whole and on the disk.
func (x *export) save(ctx context.Context, m control.Exported) (err error) {
	var ours error // what went wrong on this side
	content, err := x.draft(func(w io.Writer) error {
		err := control.Content(ctx, x.client, m.Message, writerFunc(func(p []byte) (int, error) {
			n, err := w.Write(p)
			ours = err
			return n, err
		}))
		if err != nil && ours == nil && !errors.Is(err, control.ErrGone) && !errors.Is(err, control.ErrNoAnswer) && ctx.Err() == nil {
			return &unreadError{fmt.Errorf("%s: %w", m.Message, err)}
		}
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(content)) }()
	envelope, err := x.draft(func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(m)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(envelope)) }()
	name := filepath.Join(x.folder, m.Message)
	if err := give(envelope, name+".json"); err != nil {
		return err
	}
	if err := give(content, name+".eml"); err != nil {
		return errors.Join(err, os.Remove(name+".json"))
	}
	return nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// draft writes a file without a name of its own yet, for its owner alone.
func (x *export) draft(write func(io.Writer) error) (name string, err error) {
	f, err := os.CreateTemp(x.folder, ".export-*")
	if err != nil {
		return "", err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// give gives a draft a name that no file has.
func give(draft, name string) error {
	err := os.Link(draft, name)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and is left as it is: name another folder", name)
	}
	return err
}

// makeFolder makes a folder for its owner alone, unless there is one.
func makeFolder(name string) error {
	err := os.Mkdir(name, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// syncFolder makes the names in a folder safe.
func syncFolder(name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
