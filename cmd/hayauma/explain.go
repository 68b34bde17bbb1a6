package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/hayauma/hayauma/internal/explain"
)

// maxBounce bounds what is read from standard input, in octets.
const maxBounce = 1 << 20

// explainWidth is how wide explanations are printed, in columns.
const explainWidth = 78

func (c *cli) explainCommand() *cobra.Command {
	var lang string
	cmd := &cobra.Command{
		Use: "explain [REPLY...]", Short: "Tell what an SMTP reply means and what to do about it",
		Long: "Tell what an SMTP reply means, who must act and what to do, for replies of this\n" +
			"server and of others: hayauma explain \"550 5.7.26 ...\". A code alone will do, and\n" +
			"so will the words alone. Without REPLY, a bounce or a log is read from standard\n" +
			"input, and each reply in it is explained, up to a hundred. No server has to run.",
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error { return c.explain(args, lang) },
	}
	cmd.Flags().StringVar(&lang, "lang", "", "en or ja; as LC_ALL, LC_MESSAGES or LANG say if not given")
	return c.jsonFlag(cmd)
}

func (c *cli) explain(args []string, lang string) error {
	in, err := language(lang, os.Getenv)
	if err != nil {
		return err
	}
	replies := []string{strings.Join(args, " ")}
	if len(args) == 0 {
		if replies, err = c.repliesIn(c.stdin); err != nil {
			return err
		}
	}
	if len(replies) == 0 || strings.TrimSpace(replies[0]) == "" {
		return usagef("say which reply, like 'hayauma explain \"550 5.7.26 ...\"', or give a bounce on standard input")
	}
	book, err := explain.Open()
	if err != nil {
		return err
	}
	explained := make([]explain.Explanation, 0, len(replies))
	for _, r := range replies {
		explained = append(explained, book.Reply(r))
	}
	if c.json {
		return c.printJSON(explained)
	}
	for i, e := range explained {
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		printExplanation(c.stdout, e, in)
	}
	return nil
}

// repliesIn finds the replies in a bounce or a log, and says if that is not all of them.
func (c *cli) repliesIn(in io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxBounce+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBounce {
		text = text[:maxBounce]
		c.warn("only the first %d MiB are read; give the rest by itself, for example with 'tail'", maxBounce>>20)
	}
	replies, more := explain.Replies(string(text))
	if more > 0 {
		c.warn("%d replies are explained, and %d more are not; give a smaller part of the text, for example with 'grep' or 'tail'", len(replies), more)
	}
	return replies, nil
}

// language is what the flag says, or else the environment, as POSIX orders it.
func language(flag string, getenv func(string) string) (explain.Language, error) {
	switch l := explain.Language(flag); {
	case l == explain.English || l == explain.Japanese:
		return l, nil
	case flag != "":
		return "", usagef("--lang %q: write en or ja", flag)
	}
	if strings.HasPrefix(cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")), "ja") {
		return explain.Japanese, nil
	}
	return explain.English, nil
}

// printExplanation writes a line for each thing known of a reply.
func printExplanation(w io.Writer, e explain.Explanation, in explain.Language) {
	who, _ := e.Who.Name()
	for _, row := range []struct {
		name explain.Text
		text string
	}{
		{explain.Text{EN: "reply", JA: "応答"}, e.Reply()},
		{explain.Text{EN: "from", JA: "応答元"}, e.Provider},
		{explain.Text{EN: "kind", JA: "種類"}, e.Kind.Name().In(in)},
		{explain.Text{EN: "class", JA: "分類"}, string(e.Class)},
		{explain.Text{EN: "meaning", JA: "意味"}, e.Meaning.In(in)},
		{explain.Text{EN: "who acts", JA: "対応者"}, who.In(in)},
		{explain.Text{EN: "what to do", JA: "対処"}, e.Fix.In(in)},
		{explain.Text{EN: "source", JA: "出典"}, e.Source.String()},
	} {
		const indent = 12
		if row.text == "" {
			continue
		}
		title := row.name.In(in)
		title += strings.Repeat(" ", indent-columns(title))
		for _, line := range wrap(printable(row.text), explainWidth-indent) {
			fmt.Fprintf(w, "%s%s\n", title, line)
			title = strings.Repeat(" ", indent)
		}
	}
}

// wrap breaks a text into lines of at most width columns: between words, and
// between Japanese letters, but not before a mark that ends something. A longer
// word, such as a URL, stays whole.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, piece := range pieces(text) {
		if n := columns(strings.TrimRight(piece, " ")); used > 0 && used+n > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line, used = "", 0
		}
		line, used = line+piece, used+columns(piece)
	}
	return append(lines, strings.TrimRight(line, " "))
}

// pieces cuts a text where a line may end.
func pieces(text string) []string {
	var out []string
	start := 0
	var before rune
	for at, c := range text {
		breaks := before == ' ' && c != ' ' || before != ' ' && (wide(c) || wide(before)) && !strings.ContainsRune("、。)」,. ", c) && !strings.ContainsRune("(「", before)
		if at > 0 && breaks {
			out, start = append(out, text[start:at]), at
		}
		before = c
	}
	return append(out, text[start:])
}

// columns is how wide a terminal shows a text.
func columns(text string) int {
	n := 0
	for _, c := range text {
		n++
		if wide(c) {
			n++
		}
	}
	return n
}

// wide says whether a letter takes two columns.
func wide(c rune) bool {
	return unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana) || c >= 0x3000 && c <= 0x303f || c == 'ー' || c >= 0xff01 && c <= 0xff60
}
