package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestSendmailFlags(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args string
		want sendmail
	}{
		{"-t", sendmail{fromHeader: true}},
		{"-ti", sendmail{fromHeader: true, keepDots: true}},
		{"-t -oi", sendmail{fromHeader: true, keepDots: true}},
		{"-oi -oem -odb -em a@x.test", sendmail{keepDots: true, recipients: []string{"a@x.test"}}},
		{"-O IgnoreDots=true", sendmail{keepDots: true}},
		{"-fa@x.test b@x.test", sendmail{sender: "a@x.test", senderGiven: true, recipients: []string{"b@x.test"}}},
		{"-f a@x.test b@x.test c@x.test", sendmail{sender: "a@x.test", senderGiven: true, recipients: []string{"b@x.test", "c@x.test"}}},
		{"-r <>", sendmail{sender: "<>", senderGiven: true}},
		{"-F Alice -tf a@x.test", sendmail{name: "Alice", fromHeader: true, sender: "a@x.test", senderGiven: true}},
		{"-bm -B8BITMIME -B 7BIT -N never -Rfull -V id -v", sendmail{verbose: true}},
		{"-i -- -odd@x.test", sendmail{keepDots: true, recipients: []string{"-odd@x.test"}}},
		{"a@x.test -t b@x.test", sendmail{fromHeader: true, recipients: []string{"a@x.test", "b@x.test"}}},
		{"--config x.toml -t", sendmail{config: "x.toml", fromHeader: true}},
		{"-t --config=x.toml", sendmail{config: "x.toml", fromHeader: true}},
		{"-d -C/etc/x -p -h 3 -U -G a", sendmail{recipients: []string{"a"}}},
		{"-h", sendmail{help: true}},
		{"-", sendmail{recipients: []string{"-"}}},
	} {
		got, err := parseSendmail(strings.Fields(row.args))
		if err != nil {
			t.Errorf("%s: %v", row.args, err)
		}
		if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(sendmail{})); diff != "" {
			t.Errorf("%s: %s", row.args, diff)
		}
	}
}

func TestSubmission(t *testing.T) {
	t.Parallel()
	const from = "From: <alice@one.test>\n"
	for _, row := range []struct {
		name, flags, in string
		out             string // with LF for CRLF
		to              string
	}{
		{"recipients of the command line", "b@x.test root", "Subject: a\n\nbody\n", from + "Subject: a\n\nbody\n", "b@x.test root@one.test"},
		{"a list in one argument", "b@x.test,c@x.test", "Subject: a\n\n", from + "Subject: a\n\n", "b@x.test c@x.test"},
		{"from the header", "-t", "From: a@x.test\nTo: B <b@x.test>, \"C, C\" <c@x.test>\nCc: d@x.test\nbcc: e@x.test,\n f@x.test\n\nx\n",
			"From: a@x.test\nTo: B <b@x.test>, \"C, C\" <c@x.test>\nCc: d@x.test\n\nx\n", "b@x.test c@x.test d@x.test e@x.test f@x.test"},
		{"header and command line, each once", "-t b@x.test", "To: b@x.test, c@x.test\n\n", from + "To: b@x.test, c@x.test\n\n", "b@x.test c@x.test"},
		{"Bcc goes without -t too", "b@x.test", "Bcc: c@x.test\n\n", from + "\n", "b@x.test"},
		{"a resent message", "-t", "To: b@x.test\nResent-To: c@x.test\nResent-Bcc: d@x.test\n\n", from + "To: b@x.test\nResent-To: c@x.test\n\n", "c@x.test d@x.test"},
		{"groups, comments, bare users", "-t", "To: team: b@x.test, c@x.test;, root, d@x.test (a, b), undisclosed:;\n\n",
			from + "To: team: b@x.test, c@x.test;, root, d@x.test (a, b), undisclosed:;\n\n", "b@x.test c@x.test root@one.test d@x.test"},
		{"an unknown charset", "-t", "To: =?x-none?Q?a?= <b@x.test>\n\n", from + "To: =?x-none?Q?a?= <b@x.test>\n\n", "b@x.test"},
		{"a name for From", "-F Ärger b@x.test", "\nbody\n", "From: =?utf-8?q?=C3=84rger?= <alice@one.test>\n\nbody\n", "b@x.test"},
		{"an envelope line", "b@x.test", "From alice Thu Jan 1 00:00:00 1970\nSubject: a\n\n", from + "Subject: a\n\n", "b@x.test"},
		{"no header", "b@x.test", "Hello there\nyou\n", from + "\nHello there\nyou\n", "b@x.test"},
		{"no empty line", "b@x.test", "Subject: a\nHello there\n", from + "Subject: a\n\nHello there\n", "b@x.test"},
		{"nothing", "b@x.test", "", from + "\n", "b@x.test"},
		{"a dot ends", "b@x.test", "A: b\n\nx\n..\n.\ny\n", from + "A: b\n\nx\n..\n", "b@x.test"},
		{"a dot in the header ends", "b@x.test", "A: b\n.\ny\n", from + "A: b\n\n", "b@x.test"},
		{"a dot stays with -i", "-i b@x.test", "A: b\n\nx\n.\ny\n", from + "A: b\n\nx\n.\ny\n", "b@x.test"},
		{"all line ends", "b@x.test", "A: b\r\n\r\none\rtwo\r\r\nthree\n\r\nfour", from + "A: b\n\none\ntwo\nthree\n\nfour\n", "b@x.test"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o, err := parseSendmail(strings.Fields(row.flags))
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range []io.Reader{strings.NewReader(row.in), iotest.OneByteReader(strings.NewReader(row.in))} {
				s := submission{options: o, hostname: "mx1.one.test", home: "one.test", user: "me", from: "alice@one.test"}
				r, err := s.open(in)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(strings.ReplaceAll(row.out, "\n", "\r\n"), string(got)); diff != "" {
					t.Error(diff)
				}
				if to := strings.Join(s.recipients, " "); to != row.to {
					t.Errorf("to %q, want %q", to, row.to)
				}
			}
		})
	}
}

func TestSubmissionThatIsRefused(t *testing.T) {
	t.Parallel()
	s := submission{options: sendmail{fromHeader: true}, hostname: "h.test"}
	if _, err := s.open(strings.NewReader("To: a b c\n\n")); err == nil || !strings.Contains(err.Error(), "the message's to") {
		t.Errorf("%v", err)
	}
	s = submission{hostname: "h.test"}
	if _, err := s.open(io.LimitReader(repeat("A: b\n"), 2*maxHeader)); !errors.Is(err, errHeader) {
		t.Errorf("%v", err)
	}
	broken := errors.New("broken")
	if _, err := s.open(io.MultiReader(strings.NewReader("A: b\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	r, err := s.open(io.MultiReader(strings.NewReader("A: b\n\nbody"), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, broken) {
		t.Errorf("a broken body ends with %v", err)
	}
}

// repeat reads as text without end.
type repeat string

func (r repeat) Read(p []byte) (int, error) {
	n := 0
	for n+len(r) <= len(p) {
		n += copy(p[n:], r)
	}
	if n == 0 {
		n = copy(p, r)
	}
	return n, nil
}

// A big body is not held: only the buffer is.
func TestSendStreams(t *testing.T) {
	t.Parallel()
	s := submission{hostname: "h.test"}
	const size = 64 << 20
	r, err := s.open(io.MultiReader(strings.NewReader("A: b\n\n"), io.LimitReader(repeat("x\n"), size)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); err != nil || n < size*3/2 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSender(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		o    sendmail
		want string
	}{
		{sendmail{}, "me@h.test"},
		{sendmail{sender: "root", senderGiven: true}, "root@h.test"},
		{sendmail{sender: "<a@x.test>", senderGiven: true}, "a@x.test"},
		{sendmail{sender: "<>", senderGiven: true}, ""},
		{sendmail{sender: "", senderGiven: true}, ""},
	} {
		if got := senderOf(row.o, "me", "h.test"); got != row.want {
			t.Errorf("%+v: %q, want %q", row.o, got, row.want)
		}
	}
}

// What comes out has only CRLF line ends, is the same again when read again, and
// keeps every octet that is no line end.
func FuzzLineReader(f *testing.F) {
	for _, s := range []string{"", "a\nb\r\nc\rd\r\r\ne", ".\nx", ".\rx", "x\n.\r\ny", ".", "..", "\r", strings.Repeat("\r", 40)} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, dots bool) {
		once, err := io.ReadAll(newLineReader(bytes.NewReader(in), dots))
		if err != nil {
			t.Fatal(err)
		}
		bare := bytes.ReplaceAll(once, []byte("\r\n"), nil)
		if bytes.ContainsAny(bare, "\r\n") || len(once) > 0 && !bytes.HasSuffix(once, []byte("\r\n")) {
			t.Fatalf("%q gives %q", in, once)
		}
		if again, err := io.ReadAll(newLineReader(bytes.NewReader(once), dots)); err != nil || !bytes.Equal(once, again) {
			t.Fatalf("%q gives %q, which gives %q, %v", in, once, again, err)
		}
		if dots {
			return
		}
		kept := bytes.ReplaceAll(bytes.ReplaceAll(in, []byte("\r"), nil), []byte("\n"), nil)
		if !bytes.Equal(kept, bare) {
			t.Fatalf("%q loses octets: %q", in, once)
		}
	})
}

func FuzzSendmailFlags(f *testing.F) {
	for _, s := range []string{"-ti\x00-fa@b", "-f\x00a\x00--\x00-x", "--config=x", "-h", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseSendmail(strings.Split(s, "\x00"))
		var wrong *usageError
		if err != nil && !errors.As(err, &wrong) {
			t.Fatal(err)
		}
		if len(o.recipients) > strings.Count(s, "\x00")+1 {
			t.Fatalf("%q gives recipients %q", s, o.recipients)
		}
	})
}

// The entries of a list hold all that the list holds but commas and white space.
func FuzzSplitList(f *testing.F) {
	for _, s := range []string{"a, b", `"a,b" <c>, d`, "g: a, b;, c", "(x, y) z", `\`, "<a,b", "a;b:c,d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bare := func(s string) string {
			return strings.Join(strings.Fields(strings.ReplaceAll(s, ",", " ")), "")
		}
		if got := strings.Join(splitList(s), ","); bare(got) != bare(s) {
			t.Fatalf("%q gives %q", s, got)
		}
	})
}

// Whoever calls send keeps the mail where that is worth it, and only there.
func TestSendExitCodes(t *testing.T) {
	t.Parallel()
	const text = "Subject: x\n\nbody\n"
	s := newShell(t, "")
	s.house()
	full := newShell(t, "[limits]\nmessage_size = \"64KB\"\n")
	full.house()
	for _, row := range []struct {
		name, stdin string
		s           *shell
		args        string
		code        int
		want        string
	}{
		{"taken", text, s, "bob@one.test", exitDone, ""},
		{"no recipients", text, s, "", exitUsage, "has no recipients"},
		{"a flag that there is not", text, s, "--loud", exitUsage, "does not know"},
		{"nobody there", text, s, "ghost@one.test", exitFailed, "550 5.1.1"},
		{"too large", text + strings.Repeat("0123456789\n", 10000), full, "bob@one.test", exitFailed, "552 5.3.4"},
		{"a header that is no list", "To: a b c\n\n", s, "-t", exitFailed, "the message's to"},
		{"no address", text, s, "-f @ bob@one.test", exitFailed, "not a valid mail address"},
		{"no envelope", text, s, "--envelope " + s.config, exitFailed, "is no envelope"},
		{"settings that are wrong", text, newShell(t, "[nope]\na = 1\n"), "bob@one.test", exitLater, "nope"},
		{"no installation", text, newShell(t, ""), "bob@one.test", exitLater, "no installation"},
	} {
		got := row.s.try(row.stdin, append([]string{"send"}, strings.Fields(row.args)...)...)
		if got.code != row.code || !strings.Contains(got.stderr, row.want) {
			t.Errorf("%s: exit %d, stderr %q; want %d, %q", row.name, got.code, got.stderr, row.code, row.want)
		}
	}
	if got := commandLine(t, text, "send", "--config", s.config+".none", "bob@one.test"); got.code != exitLater {
		t.Errorf("no settings: exit %d, stderr %q", got.code, got.stderr)
	}
}
