package smuggling

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"iter"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// start runs a server that relays for this host to a recorder. victim@a.test is
// whom a smuggled message would reach.
func start(t *testing.T) (*node.Node, *recorder) {
	t.Helper()
	r := startRecorder(t)
	dns := testkit.StartDNS(t, "b.test. 60 MX 10 mx.b.test.", "mx.b.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: r.addr, Extra: "[smtp]\ntarpit = \"0s\"\njunk_commands = 100000\n[relay]\nnetworks = [\"127.0.0.1\"]\n[log]\nlevel = \"warn\"\n"})
	n.Run(node.Password+"\n", "account", "add", "victim@a.test", "--password-stdin")
	return n, r
}

// mostFailures is how many errors one session may have, with some to spare.
const mostFailures = 15

// sessions puts trials together that one session bears.
func sessions(all []trial) [][]trial {
	var out [][]trial
	var now []trial
	failures := 0
	for _, tr := range all {
		full := failures+tr.failures() > mostFailures || len(now) == 50
		if len(now) > 0 && (full || now[0].door != tr.door) {
			out, now, failures = append(out, now), nil, 0
		}
		now = append(now, tr)
		failures += tr.failures()
	}
	return append(out, now)
}

// attack runs trials on a few connections at once.
type attack struct {
	t      *testing.T
	n      *node.Node
	config *tls.Config
	wrong  atomic.Int32
}

// mostTold bounds how many wrong trials are shown.
const mostTold = 40

func (a *attack) run(all []trial) {
	work := make(chan []trial)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for list := range work {
				a.session(list)
			}
		})
	}
	for _, list := range sessions(all) {
		work <- list
	}
	close(work)
	workers.Wait()
	if wrong := a.wrong.Load(); wrong > mostTold {
		a.t.Errorf("... and %d more", wrong-mostTold)
	}
}

// session runs the trials of one connection, which ends at the first error.
func (a *attack) session(list []trial) {
	c, err := a.open(a.t.Context(), list[0].door)
	if err != nil {
		a.t.Error(err)
		return
	}
	defer c.conn.Close()
	for _, tr := range list {
		if err = c.try(tr); err != nil {
			err = fmt.Errorf("%s, %q: %w", tr.way, tr.v, err)
			break
		}
	}
	if err == nil {
		err = c.leave()
	}
	if err != nil && a.wrong.Add(1) <= mostTold {
		a.t.Error(err)
	}
}

func (a *attack) open(ctx context.Context, d door) (*talk, error) {
	addr, hello := a.n.SMTP, "EHLO c.test\r\n"
	if d == onLMTP {
		addr, hello = a.n.LMTP, "LHLO c.test\r\n"
	}
	c, err := dial(ctx, addr, nil)
	if err != nil {
		return nil, err
	}
	if d == onTLS {
		if err := c.startTLS(a.config); err != nil {
			return nil, err
		}
	}
	return c, c.say(hello, "250 ")
}

func (c *talk) try(tr trial) error {
	for _, s := range tr.steps {
		for _, text := range s.writes {
			if _, err := io.WriteString(c.conn, text); err != nil {
				return err
			}
		}
		if err := c.expect(s.replies...); err != nil {
			return err
		}
	}
	return nil
}

// ours is what we put before a content: in a mailbox two fields, everywhere our
// Received, and a field that keeps a folded line from becoming a part of it.
var ours = regexp.MustCompile(`^(?:Return-Path: <[^\r\n]*>\r\nDelivered-To: [^\r\n]*\r\n)?` +
	`Received: [^\r\n]*(?:\r\n\t[^\r\n]*)*\r\n(?:X-Unnamed: [^\r\n]*\r\n)?$`)

// compare looks whether the messages at one place are those that have to be there,
// each once and with its octets. name finds the trial's id in a message.
func compare(t *testing.T, place string, want map[string]trial, got map[string][]string) {
	t.Helper()
	told := 0
	wrong := func(format string, args ...any) {
		if told++; told <= mostTold {
			t.Errorf(place+": "+format, args...)
		}
	}
	for id, texts := range got {
		tr, known := want[id]
		if !known || len(texts) != 1 {
			wrong("%d messages from %q, which is %s, %q: %q", len(texts), id, tr.way, tr.v, texts)
			continue
		}
		head, found := strings.CutSuffix(texts[0], tr.content)
		if !found || !ours.MatchString(head) {
			wrong("%s, %q: %q was sent and became %q", tr.way, tr.v, tr.content, texts[0])
		}
	}
	for id, tr := range want {
		if len(got[id]) == 0 {
			wrong("%s, %q: was accepted and is not there", tr.way, tr.v)
		}
	}
	if told > mostTold {
		t.Errorf("... and %d more", told-mostTold)
	}
}

var returnPath = regexp.MustCompile(`^Return-Path: <([^@>]*)@`)

// kept are a user's messages by the id of their trial.
func kept(t *testing.T, n *node.Node, user string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, text := range inbox(t, n, user) {
		id := ""
		if m := returnPath.FindStringSubmatch(text); m != nil {
			id = m[1]
		}
		out[id] = append(out[id], text)
	}
	return out
}

// TestOneInOneOut sends every variant in every way.
func TestOneInOneOut(t *testing.T) {
	t.Parallel()
	n, r := start(t)
	all := trials()
	fine := map[string]trial{}
	relayed, lmtp := map[string]trial{}, map[string]trial{}
	for _, tr := range all {
		switch {
		case !tr.fine:
			continue
		case tr.door == onLMTP:
			lmtp[tr.id] = tr
		case tr.relayed:
			relayed[tr.id] = tr
		}
		fine[tr.id] = tr
	}
	t.Logf("%d ways, %d variants, %d trials, of which %d are to be accepted", len(ways()), len(variants()), len(all), len(fine))
	config := trusting(t, n)
	for way, list := range byWay(all) {
		t.Run(way, func(t *testing.T) { (&attack{t: t, n: n, config: config}).run(list) })
	}
	r.wait(t, len(relayed))
	n.WaitQueue("")
	compare(t, "alice's inbox", fine, kept(t, n, "alice"))
	compare(t, "bob's inbox", lmtp, kept(t, n, "bob"))
	compare(t, "the victim's inbox", nil, kept(t, n, "victim"))
	out := map[string][]string{}
	for _, m := range r.check(t) {
		id, _, _ := strings.Cut(m.from, "@")
		out[id] = append(out[id], decoded(t, unstuffed(m.content+"\r\n")))
	}
	compare(t, "the next host", relayed, out)
}

// decoded is a message as it was before its lines were too long to be relayed.
func decoded(t *testing.T, text string) string {
	t.Helper()
	const added = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	head, body, encoded := strings.Cut(text, added)
	if !encoded {
		return text
	}
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return head + "\r\n" + string(b)
}

// byWay gives the trials of each way, in order.
func byWay(all []trial) iter.Seq2[string, []trial] {
	return func(yield func(string, []trial) bool) {
		for len(all) > 0 {
			n := 0
			for n < len(all) && all[n].way == all[0].way {
				n++
			}
			if !yield(all[0].way, all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}
