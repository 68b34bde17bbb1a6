// Package node runs the real binary for tests as a server with its users, and
// looks at it from outside.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

const (
	// Password is that of every user.
	Password = "a good horse"
	// Patience is how long anything that happens by itself may take.
	Patience = 30 * time.Second
)

// Options describe a server of a test.
type Options struct {
	Domain string       // its own; empty = a.test. Its users are alice and bob
	DNS    *testkit.DNS // nil = none
	// Resolver is the lines of [dns] where another server than DNS is asked.
	Resolver string
	Port     string   // "addr:port" whose port stands for 25 at others
	Extra    string   // more of hayauma.toml, whole sections
	Queue    string   // lines of [queue]
	Way      string   // lines of [outbound]
	Env      []string // added to its environment, "KEY=value"
	NoUsers  bool
}

// Node is a running server with its addresses.
type Node struct {
	*testkit.Server
	Domain string
	Host   string // its name
	CA     string // file with the authority of its certificate

	SMTP, Submission, Submission2, Submissions, LMTP, IMAP, IMAPS, POP3, POP3S, HTTP string

	t *testing.T
}

// Addresses takes the ports of a server before it starts, so that others can
// be told of them.
func Addresses(t *testing.T, domain string) *Node {
	t.Helper()
	p := testkit.FreePorts(t, 10)
	return &Node{t: t, Domain: domain, Host: "mx." + domain, SMTP: p[0], Submission: p[1], Submission2: p[2], Submissions: p[3],
		LMTP: p[4], IMAP: p[5], IMAPS: p[6], POP3: p[7], POP3S: p[8], HTTP: p[9]}
}

// Start runs a server and makes its users.
func Start(t *testing.T, o Options) *Node {
	t.Helper()
	if o.Domain == "" {
		o.Domain = "a.test"
	}
	return Addresses(t, o.Domain).Start(o)
}

// Start runs the server at the addresses taken before and makes its users.
func (n *Node) Start(o Options) *Node {
	t := n.t
	t.Helper()
	certificate, key := testkit.NewCA(t).Files(t, n.Host, "127.0.0.1", "localhost")
	n.CA = filepath.Join(filepath.Dir(certificate), "ca.pem")
	s, err := testkit.LaunchServer(t, testkit.ServerOptions{Config: n.config(o, certificate, key), Env: o.Env})
	if err != nil {
		t.Fatal(err)
	}
	n.Server = s
	if !o.NoUsers {
		n.Run("", "domain", "add", n.Domain)
		n.Run(Password+"\n", "account", "add", "alice@"+n.Domain, "--password-stdin")
		n.Run(Password+"\n", "account", "add", "bob@"+n.Domain, "--password-stdin")
	}
	return n
}

func (n *Node) config(o Options, certificate, key string) string {
	resolver, port := `resolver = "127.0.0.1:1"`, "1" // where nobody answers
	switch {
	case o.Resolver != "":
		resolver = o.Resolver
	case o.DNS != nil:
		resolver = fmt.Sprintf("resolver = %q", o.DNS.Addr)
	}
	if o.Port != "" {
		_, port, _ = net.SplitHostPort(o.Port)
	}
	return fmt.Sprintf(`hostname = %q
data_dir = "data"
[listen]
smtp = [%q]
submission = [%q, %q]
submissions = [%q]
lmtp = [%q]
imap = [%q]
imaps = [%q]
pop3 = [%q]
pop3s = [%q]
http = [%q]
https = []
[tls]
cert_file = %q
key_file = %q
[dns]
%s
[outbound]
port = %s
%s
[limits]
connections_per_address = 0
[storage]
min_free = "1MB"
%s[queue]
%s
%s`, n.Host, n.SMTP, n.Submission, n.Submission2, n.Submissions, n.LMTP, n.IMAP, n.IMAPS, n.POP3, n.POP3S, n.HTTP,
		certificate, key, resolver, port, o.Way, testkit.StorageKeys(n.t), o.Queue, o.Extra)
}

// Run runs a command of the command line that must succeed.
func (n *Node) Run(stdin string, args ...string) string {
	n.t.Helper()
	r := n.Hayauma(stdin, args...)
	if r.Code != 0 {
		n.t.Fatalf("hayauma %s: exit %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Recipient is one line of `queue list --json`.
type Recipient struct {
	Message, ID, State, Sender, Recipient, Reply, Host, Class string
	Next                                                      string // RFC 3339; not before
	Attempts, Code                                            int
}

// Queue is what waits for other servers, recipient by recipient.
func (n *Node) Queue() []Recipient {
	n.t.Helper()
	var out []Recipient
	if err := json.Unmarshal([]byte(n.Run("", "queue", "list", "--json")), &out); err != nil {
		n.t.Fatal(err)
	}
	return out
}

// WaitQueue waits until the states in the queue are these, "deferred held".
func (n *Node) WaitQueue(states string) []Recipient {
	n.t.Helper()
	var list []Recipient
	testkit.Eventually(n.t, Patience, fmt.Sprintf("the states %q in the queue of %s", states, n.Host), func() bool {
		list = n.Queue()
		var got []string
		for _, r := range list {
			got = append(got, r.State)
		}
		return strings.Join(got, " ") == states
	})
	return list
}

// Trace is the timeline of a message as people read it.
func (n *Node) Trace(ref string) string {
	n.t.Helper()
	return n.Run("", "trace", ref)
}

// Events are the stages of a message, "accepted queued delivered".
func (n *Node) Events(ref string) string {
	n.t.Helper()
	kinds := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  (\w+)`)
	var out []string
	for _, m := range kinds.FindAllStringSubmatch(n.Trace(ref), -1) {
		out = append(out, m[1])
	}
	return strings.Join(out, " ")
}

// WaitEvents waits until the stages of a message are these.
func (n *Node) WaitEvents(ref, events string) {
	n.t.Helper()
	got := ""
	defer func() {
		if got != events {
			n.t.Logf("the last timeline:\n%s", n.Trace(ref))
		}
	}()
	testkit.Eventually(n.t, Patience, fmt.Sprintf("the events %q", events), func() bool {
		got = n.Events(ref)
		return got == events
	})
}

// Inbox is the messages of a user, read over IMAP by Python.
func (n *Node) Inbox(user string) []string {
	n.t.Helper()
	out := Python(n.t, `
import imaplib, json, ssl, sys
host, port, ca, user, password = sys.argv[1:]
c = imaplib.IMAP4_SSL(host, int(port), ssl_context=ssl.create_default_context(cafile=ca))
c.login(user, password)
c.select("INBOX", readonly=True)
ids = c.uid("SEARCH", "ALL")[1][0].split()
print(json.dumps([c.uid("FETCH", i, "(BODY.PEEK[])")[1][0][1].decode("latin-1") for i in ids]))
c.logout()
`, HostOf(n.IMAPS), PortOf(n.IMAPS), n.CA, user+"@"+n.Domain, Password)
	var messages []string
	if err := json.Unmarshal([]byte(out), &messages); err != nil {
		n.t.Fatalf("%v in %q", err, out)
	}
	return messages
}

// WaitInbox waits until a user has so many messages.
func (n *Node) WaitInbox(user string, count int) []string {
	n.t.Helper()
	var got []string
	testkit.Eventually(n.t, Patience, fmt.Sprintf("%d messages of %s@%s", count, user, n.Domain), func() bool {
		got = n.Inbox(user)
		return len(got) >= count
	})
	if len(got) != count {
		n.t.Errorf("%d messages of %s, want %d:\n%s", len(got), user, count, strings.Join(got, "\n----\n"))
	}
	return got
}

// Submit sends a message as alice with `hayauma send` and returns its id.
func (n *Node) Submit(subject string, to ...string) string {
	n.t.Helper()
	message := fmt.Sprintf("From: alice@%s\nTo: %s\nSubject: %s\nMessage-ID: <%s@%s>\n\nHello\n", n.Domain, strings.Join(to, ", "), subject, subject, n.Domain)
	n.Run(message, append([]string{"send", "-f", "alice@" + n.Domain}, to...)...)
	return "<" + subject + "@" + n.Domain + ">"
}

// HostOf is the host of "host:port".
func HostOf(addr string) string { h, _, _ := net.SplitHostPort(addr); return h }

// PortOf is the port of "host:port".
func PortOf(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

// pythonProgram is Debian's own, with the whole standard library.
const pythonProgram = "/usr/bin/python3"

// Python runs a script with Debian's own Python, which is skipped where it is
// absent, and returns what it wrote.
func Python(t *testing.T, script string, args ...string) string {
	t.Helper()
	return Program(t, Job{Stdin: script}, testkit.Require(t, pythonProgram), append([]string{"-"}, args...)...)
}

// Job is what a program gets beside its arguments.
type Job struct {
	Stdin string
	Env   []string // added to the environment
	Fails bool     // it is expected to fail
	Dir   string
}

// Program runs a program to its end and returns what it wrote.
func Program(t *testing.T, j Job, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(j.Stdin)
	cmd.Env = append(os.Environ(), j.Env...)
	cmd.Dir = j.Dir
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && (!exited || !j.Fails) {
		t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, out)
	}
	if err == nil && j.Fails {
		t.Fatalf("%s %s succeeded:\n%s", path, strings.Join(args, " "), out)
	}
	return string(out)
}
