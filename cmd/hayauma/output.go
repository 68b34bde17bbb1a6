package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// jsonFlag adds --json to a listing.
func (c *cli) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

// printJSON prints what a listing returned, for programs.
func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows of cells below their titles.
func (c *cli) table(titles []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	line(w, titles)
	for _, r := range rows {
		line(w, r)
	}
	return w.Flush()
}

func line(w io.Writer, cells []string) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, orDash(printable(cell)))
	}
	fmt.Fprintln(w)
}

// list prints items as JSON or as a table of their cells.
func list[T any](c *cli, items []T, titles []string, cells func(T) []string) error {
	if c.json {
		if items == nil {
			items = []T{}
		}
		return c.printJSON(items)
	}
	rows := make([][]string, 0, len(items))
	for _, item := range items {
		rows = append(rows, cells(item))
	}
	return c.table(titles, rows)
}

// printable keeps what others wrote (replies, headers) from commanding the
// terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// sizeText is a number of octets for people.
func sizeText(n int64) string {
	for _, u := range []struct {
		octets int64
		name   string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "KB"}} {
		if n >= u.octets {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.octets), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// timeText shows a time of RFC 3339 in the local zone.
func timeText(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.Local().Format(time.DateTime)
}

// count is "1 recipient", "2 recipients".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
