package testkit

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// talker is a small server for dialogs.
func talker(t *testing.T, ca *CA) Dialog {
	server := ca.ServerConfig(t, "talker.test")
	return Dialog{
		TLS: ca.ClientConfig("talker.test"),
		Dial: func(string) (net.Conn, error) {
			here := netip.MustParseAddrPort("127.0.0.1:7")
			client, conn := MemPipe(here, here)
			go talk(conn, server)
			return client, nil
		},
		Given: map[string]string{"ten x": strings.Repeat("x", 10)},
		Do: func(what string) error {
			if what != "nothing at all" {
				return fmt.Errorf("nobody knows how to %s", what)
			}
			return nil
		},
	}
}

func talk(conn net.Conn, config *tls.Config) {
	defer func() { _ = conn.Close() }()
	say := func(line string) { _, _ = fmt.Fprint(conn, line) }
	say("hello\r\n")
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		switch verb {
		case "echo":
			say(rest + "\r\n")
		case "number":
			say("number 4711\r\n")
		case "tab":
			say("a\tb \r\n")
		case "bare":
			say("bare line feed\n")
		case "starttls":
			say("go\r\n")
			conn = tls.Server(conn, config)
			in = bufio.NewReader(conn)
		case "bye":
			return
		}
	}
}

func TestDialogs(t *testing.T) {
	t.Parallel()
	RunAll(t, "testdata/dialog/two*.txt", func(t *testing.T) Dialog { return talker(t, NewCA(t)) })
}

func TestDialogFailures(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, script, want string }{
		{"other line", "S: hello\nC: echo a\nS: b\n", "line 3: the server said something else"},
		{"shows both", "S: hello\nC: echo a\nS: b\n", "- S: b\n+ S: a"},
		{"shows what went before", "S: hello\nC: echo a\nS: b\n", "  S: hello\n  C: echo a\n"},
		{"pattern of a part", "S~ ell\n", "- S~ ell\n+ S: hello"},
		{"silence", "S: hello\nS: more\n", "line 2: the server said nothing"},
		{"end", "S: hello\nC: bye\nS: more\n", "line 3: the server closed the connection"},
		{"stays open", "S: hello\n[closed]\n", "server kept the connection open"},
		{"says more at the end", "S: hello\nC: bye\n[closed]\nC: echo a\nS: hello\nC= echo b\\r\\necho c\\r\\n\nS: a\nS: b\n", `unexpected at the end: "c\r\n"`},
		{"bare line feed", "S: hello\nC: bare\nS: bare line feed\n", `+ S= bare line feed\n`},
		{"what nobody knows", "S: hello\n[do something]\n", "2: nobody knows how to something\n  S: hello\n  [do something]"},
		{"said no more", "S: hello\n[end]\n[closed]\n[end]\nS: more\n", "line 5: the server said something else"},
		{"no statement", "hello\n", `1: line 1: "hello" is no dialog line`},
		{"bad pattern", "S~ (\n", "missing closing"},
		{"bad escapes", "C= \\q\n", "escapes of"},
		{"pattern to send", "C~ a\n", "for S lines only"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dialog := talker(t, NewCA(t))
			dialog.Patience = 100 * time.Millisecond
			_, err := dialog.play(row.script, false)
			if err == nil || !strings.Contains("1: "+err.Error(), row.want) {
				t.Errorf("%v\nwant %q", err, row.want)
			}
		})
	}
}

func TestDialogRewrite(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, before, after string }{
		{"begun with C lines alone",
			"C: echo a\nC: echo b\n",
			"C: echo a\nC: echo b\nS: hello\nS: a\nS: b\n"},
		{"keeps patterns and comments",
			"# top\nS~ h.*\n\nC: number\n# why\nS~ number \\d+\n",
			"# top\nS~ h.*\n\nC: number\n# why\nS~ number \\d+\n"},
		{"replaces, drops and adds",
			"S: hello\nC= echo a\\r\\necho b\\r\\necho c\\r\\n\nS: a\n# of b\nS: x\nS: c\nS: y\n",
			"S: hello\nC= echo a\\r\\necho b\\r\\necho c\\r\\n\nS: a\nS: b\n# of b\nS: c\n"},
		{"escapes what a text file would lose",
			"S: hello\nC: tab\nS: ?\nC: bare\nS: ?\n",
			"S: hello\nC: tab\nS= a\\tb\\x20\nC: bare\nS= bare line feed\\n\n"},
		{"several connections",
			"S: ?\nS2: ?\nC2: echo two\nS2: ?\nC: bye\n[closed]\n",
			"S: hello\nS2: hello\nC2: echo two\nS2: two\nC: bye\n[closed]\n"},
		{"keeps what a captured value explains",
			"S: hello\nC: number\nS~ number (?P<n>\\d+)\nC: echo ${n}\nS: ${n}\n",
			"S: hello\nC: number\nS~ number (?P<n>\\d+)\nC: echo ${n}\nS: ${n}\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dialog := talker(t, NewCA(t))
			got, err := dialog.play(row.before, true)
			if err != nil || got != row.after {
				t.Fatalf("%v\ngot:\n%s\nwant:\n%s", err, got, row.after)
			}
			if again, err := dialog.play(got, false); err != nil || again != got {
				t.Errorf("what was written does not pass: %v\n%s", err, again)
			}
		})
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add("# a\nC: a\nS~ b\nC2= \\x00\n[close 2]\n")
	f.Add("C64: AA==\nS= \\t\n[starttls]")
	f.Add("[do nothing]\n[end 3]\n[closed]")
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := parseScript(text)
		if err != nil {
			return
		}
		var sources []string
		for _, s := range steps {
			sources = append(sources, s.source)
		}
		if got := strings.Join(sources, "\n"); got != strings.TrimSuffix(text, "\n") {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func FuzzExpectation(f *testing.F) {
	f.Add("plain")
	f.Add(" spaced ")
	f.Add("\x00\n")
	f.Fuzz(func(t *testing.T, line string) {
		written := expectation("2", line)
		steps, err := parseScript(written)
		if err != nil || len(steps) != 1 {
			t.Fatalf("%q written as %q: %v", line, written, err)
		}
		if !steps[0].matches(line, map[string]string{}) {
			t.Errorf("%q written as %q does not match", line, written)
		}
	})
}
