package feedback_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/returnpath"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/dsn"
	"github.com/hayauma/hayauma/test/stack"
)

const patience = 10 * time.Second

// world is a server whose mail for others is taken, and from which reports come
// back.
type world struct {
	*stack.Stack
	t *testing.T
}

func newWorld(t *testing.T, set returnpath.Settings) *world {
	t.Helper()
	s := stack.New(t, stack.Options{ReturnPath: set, Deliverer: stack.Deliver(func(_ *queue.Message, r queue.Recipient) queue.Outcome {
		if r.Address.Domain.ASCII == "far.test" {
			return queue.Outcome{Result: queue.TryLater, Code: 450, Host: "mx.far.test"} // kept, to be looked at
		}
		return queue.Outcome{Result: queue.Delivered, Code: 250, Host: "mx.elsewhere.test", Reply: "Taken"}
	})})
	s.Account("alice@hayauma.test", 0)
	return &world{Stack: s, t: t}
}

// send sends a message and waits until all have it.
func (w *world) send(from string, to ...string) mail.ID {
	w.t.Helper()
	tx := w.Intake.Begin(mail.Origin{Door: mail.DoorCommand}, mail.Envelope{From: w.Address(from)})
	for _, a := range to {
		if fault := w.add(tx, w.Address(a)); fault != nil {
			w.t.Fatal(fault)
		}
	}
	_, _ = tx.Write([]byte("Message-ID: <lunch@hayauma.test>\r\nSubject: lunch\r\n\r\nHello\r\n")) // its fault is that of Commit
	r := tx.Commit(w.t.Context())
	if r.Fault != nil {
		w.t.Fatal(r.Fault)
	}
	testkit.Eventually(w.t, patience, "delivery", func() bool { return strings.Count(w.Events(r.ID.String()), "delivered") >= len(to) })
	return r.ID
}

func (w *world) add(tx *intake.Transaction, a mail.Address) *mail.Fault {
	target, fault := tx.Resolve(w.t.Context(), a)
	if fault == nil && target.Kind == account.Unknown {
		return mail.Final(mail.NoSuchMailbox, "no such mailbox")
	}
	if fault == nil {
		fault = tx.Add(w.t.Context(), mail.Recipient{Address: a}, target)
	}
	return fault
}

// path is the return path under which a message went to somebody.
func (w *world) path(id mail.ID, from, to string) mail.Address {
	w.t.Helper()
	a, _, err := w.Paths.From(w.t.Context(), id, w.Address(from), w.Address(to))
	if err != nil || a == w.Address(from) {
		w.t.Fatalf("%s, %v", a, err)
	}
	return a
}

// comes is a message that arrives from another host.
func (w *world) comes(from string, to mail.Address, content string) mail.ID {
	w.t.Helper()
	env := mail.Envelope{}
	if from != "" {
		env.From = w.Address(from)
	}
	tx := w.Intake.Begin(mail.Origin{Door: mail.DoorSMTP, Peer: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "mx.elsewhere.test"}, env)
	defer tx.Abort()
	if fault := w.add(tx, to); fault != nil {
		w.t.Error(fault)
	}
	_, _ = tx.Write([]byte(content)) // its fault is that of Commit
	r := tx.Commit(w.t.Context())
	if r.Fault != nil {
		w.t.Error(r.Fault)
	}
	return r.ID
}

// report is one of failure of some recipients, each with its own Message-ID.
func report(n int, to ...string) string {
	r := dsn.Report{
		From: "MAILER-DAEMON@mx.elsewhere.test", To: "alice@hayauma.test", Subject: "Undelivered", MessageID: fmt.Sprintf("<%d@mx.elsewhere.test>", n),
		Date: time.Now(), Hostname: "mx.elsewhere.test", Arrival: time.Now(), Text: "No.\n",
		Original: []byte("Message-ID: <lunch@hayauma.test>\r\nSubject: lunch\r\n"), HeadersOnly: true,
	}
	for _, a := range to {
		r.Recipients = append(r.Recipients, dsn.Recipient{
			Final: a, Action: dsn.Failed, Status: "5.0.0", RemoteMTA: "store.elsewhere.test", Diagnostic: "550 5.1.1 No such user", LastTry: time.Now(),
		})
	}
	return string(r.Bytes())
}

// complaint is one about the message, to whom it went, or to nobody.
func complaint(kind, to string) string {
	text := "From: fbl@far.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n" +
		"--b\r\n\r\nSpam.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: " + kind + "\r\nUser-Agent: FBL/1\r\nVersion: 1\r\n"
	if to != "" {
		text += "Original-Rcpt-To: <" + to + ">\r\n"
	}
	return text + "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <lunch@hayauma.test>\r\nSubject: lunch\r\n\r\nHello\r\n--b--\r\n"
}

// told are the later events of a message.
func (w *world) told(id mail.ID) []string {
	var out []string
	for _, e := range w.Timeline(id.String()) {
		if d := e.Detail; d.Source != "" {
			out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %d %s %q %s", e.Kind, e.Recipient, d.Code, d.Enhanced, d.Reason, d.Source)), " "))
		}
	}
	return out
}

func (w *world) want(id mail.ID, passed int, told ...string) {
	w.t.Helper()
	if got := w.told(id); !slices.Equal(got, told) {
		w.t.Errorf("told\n got %q\nwant %q", got, told)
	}
	if got := w.Inbox("alice@hayauma.test"); len(got) != passed {
		w.t.Errorf("alice got %d, want %d: %q", len(got), passed, got)
	}
}

const (
	failedX = `returned x@elsewhere.test 550 5.1.1 "failed" report`
	failedY = `returned y@elsewhere.test 550 5.1.1 "failed" report`
)

// TestToTheReturnPath: a report is noted in the history of its message and passed
// on to the sender, once for each thing that it says.
func TestToTheReturnPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	path := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
	first := w.comes("", path, report(1, "X@elsewhere.test"))
	w.want(id, 1, failedX)
	if e := w.Timeline(id.String()); e[len(e)-1].Detail.Other != first.String() || e[len(e)-1].Detail.Host != "store.elsewhere.test" {
		t.Errorf("%+v", e[len(e)-1])
	}
	if got := w.Inbox("alice@hayauma.test")[0]; !strings.HasPrefix(got, "Return-Path: <>\r\n") || !strings.Contains(got, "No such user") {
		t.Errorf("passed on: %q", got)
	}
	again := w.comes("", path, report(2, "x@elsewhere.test"))
	w.want(id, 1, failedX)
	if got := w.Events(again.String()); got != "accepted" {
		t.Errorf("history of what was said before: %s", got)
	}
	w.comes("", path, report(3, "x@elsewhere.test", "y@elsewhere.test"))
	w.want(id, 2, failedX, failedY)
	w.comes("", path, report(4, "z@elsewhere.test"))
	w.want(id, 3, failedX, failedY, `returned 550 5.1.1 "failed (of z@elsewhere.test)" report`)
}

// TestVERP: the return path tells which recipient a report is about, even where the
// host behind him calls him something else, or says nothing that can be read.
func TestVERP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.VERP})
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	w.comes("", w.path(id, "alice@hayauma.test", "y@elsewhere.test"), report(1, "moved@new.test"))
	moved := `returned y@elsewhere.test 550 5.1.1 "failed (of moved@new.test)" report`
	w.want(id, 1, moved)
	w.comes("", w.path(id, "alice@hayauma.test", "x@elsewhere.test"), "Subject: no\r\n\r\nYour mail failed.\r\n550 5.1.1 unknown\r\n")
	w.want(id, 2, moved, `reported x@elsewhere.test 0 "mail of another kind came to its return path" report`)
}

// TestByENVID: the ENVID of a message proves what a report to its sender is about,
// whatever else it holds.
func TestByENVID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Sender})
	w.Account("bob@hayauma.test", 0)
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	name, err := w.Paths.EnvID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	about := func(envid, to string) string {
		return strings.NewReplacer("Reporting-MTA:", "Original-Envelope-Id: "+envid+"\r\nReporting-MTA:", "lunch@", "other@").Replace(report(1, to))
	}
	alice := w.Address("alice@hayauma.test")
	w.comes("", w.Address("bob@hayauma.test"), about(name, "x@elsewhere.test"))
	w.comes("", alice, about(name[:len(name)-1]+"~", "x@elsewhere.test"))
	w.comes("", alice, about(w.IDs.Next().String()+name[13:], "x@elsewhere.test"))
	w.comes("", alice, about(name, "z@elsewhere.test"))
	w.want(id, 3)
	w.comes("", alice, about(strings.ToUpper(name), "x@elsewhere.test"))
	w.want(id, 4, failedX+", by ENVID")
	w.comes("", alice, about(name, "x@elsewhere.test"))
	w.want(id, 5, failedX+", by ENVID")
	// A name is no return path.
	if _, ok, err := w.Paths.Read(t.Context(), w.Address("b+"+strings.ReplaceAll(name, ".", "")+"@hayauma.test")); ok || err != nil {
		t.Errorf("an ENVID makes a return path: %v", err)
	}
	path, _, err := returnpath.New(returnpath.Options{
		Settings: func() returnpath.Settings { return returnpath.Settings{Mode: returnpath.Unique, Domain: alice.Domain} },
		Key:      func(ctx context.Context) ([]byte, error) { return w.Directory.Secret(ctx, "return paths") },
	}).From(t.Context(), id, alice, w.Address("x@elsewhere.test"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := w.Paths.ReadEnvID(t.Context(), path.Local[2:15]+"."+path.Local[15:]); ok || err != nil {
		t.Errorf("a return path makes an ENVID: %v", err)
	}
}

// TestBehindAnAlias: reports on the members of a group, which name it as the original
// recipient, are told apart.
func TestBehindAnAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	w.Alias("sales@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	id := w.send("alice@hayauma.test", "sales@hayauma.test")
	testkit.Eventually(t, patience, "both deliveries", func() bool { return strings.Count(w.Events(id.String()), "delivered") == 2 })
	path := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
	named := strings.NewReplacer("Final-Recipient:", "Original-Recipient: rfc822;sales@hayauma.test\r\nFinal-Recipient:")
	for i, to := range []string{"x@elsewhere.test", "y@elsewhere.test", "inner@store.test"} {
		w.comes("", path, named.Replace(report(i, to)))
	}
	w.want(id, 3, failedX, failedY, `returned sales@hayauma.test 550 5.1.1 "failed (of inner@store.test)" report`)
}

// TestComplaint: one to the return path, and one to the sender, as feedback loops
// send them.
func TestComplaint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	w.comes("fbl@far.test", w.path(id, "alice@hayauma.test", "x@elsewhere.test"), complaint("abuse", "x@elsewhere.test"))
	w.want(id, 1, `complained x@elsewhere.test 0 "abuse" report`)
	w.comes("fbl@far.test", w.Address("alice@hayauma.test"), complaint("fraud", ""))
	w.comes("fbl@far.test", w.Address("alice@hayauma.test"), complaint("not-spam", "y@elsewhere.test"))
	w.want(id, 3, `complained x@elsewhere.test 0 "abuse" report`, `complained 0 "fraud" report, by Message-ID`,
		`reported y@elsewhere.test 0 "not-spam" report, by Message-ID`)
}

// loop is a complaint as a feedback loop sends it to the mailbox that it was given: who
// complains is hidden, and so is the Message-ID.
func loop(fields, original string) string {
	text := strings.Replace(complaint("abuse", ""), "Version: 1\r\n", "Version: 1\r\n"+fields, 1)
	return strings.Replace(text, "Message-ID: <lunch@hayauma.test>\r\n", original, 1)
}

// TestComplaintToLoop: one to the mailbox of a feedback loop is matched by the return path
// that it holds, as one to the path is, and goes to that mailbox.
func TestComplaintToLoop(t *testing.T) {
	t.Parallel()
	const (
		x  = `complained x@elsewhere.test 0 "abuse" report, by return path`
		of = "Original-Rcpt-To: <y@elsewhere.test>\r\n"
	)
	for _, c := range []struct {
		name             string
		mode             returnpath.Mode
		fields, original string // PATH is that to x
		want             []string
	}{
		{"Original-Mail-From", returnpath.VERP, "Original-Mail-From: <PATH>\r\n", "", []string{x}},
		{"without brackets", returnpath.VERP, "Original-Mail-From: PATH\r\n", "", []string{x}},
		{"Return-Path", returnpath.VERP, "", "Return-Path: <PATH>\r\n", []string{x}},
		{"below that of a forwarder", returnpath.VERP, "Original-Mail-From: <f@far.test>\r\n", "Return-Path: <f@far.test>\r\nReturn-Path: <PATH>\r\n", []string{x}},
		{"one path of the message", returnpath.Unique, "Original-Mail-From: <PATH>\r\nOriginal-Rcpt-To: <x@elsewhere.test>\r\n", "", []string{x}},
		{"nobody is named", returnpath.Unique, "Original-Mail-From: <PATH>\r\n", "", []string{`complained 0 "abuse" report, by return path`}},
		{"another than the path is for", returnpath.VERP, "Original-Mail-From: <PATH>\r\n" + of, "",
			[]string{`complained x@elsewhere.test 0 "abuse (of y@elsewhere.test)" report, by return path`}},
		{"forged: the mark", returnpath.VERP, "Original-Mail-From: <MARK>\r\n", "Return-Path: <MARK>\r\n", nil},
		{"forged: the proof", returnpath.VERP, "Original-Mail-From: <BAD>\r\n" + of, "Return-Path: <BAD>\r\n", nil},
		{"another domain", returnpath.VERP, "Original-Mail-From: <LOCAL@far.test>\r\n", "", nil},
		{"beyond what is read", returnpath.VERP, "", strings.Repeat("Return-Path: <f@far.test>\r\n", 10) + "Return-Path: <PATH>\r\n", nil},
		{"no path", returnpath.VERP, "Original-Mail-From: <>\r\n", "Return-Path:\r\nReturn-Path: (\r\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, returnpath.Settings{Mode: c.mode})
			w.Account("loop@hayauma.test", 0)
			id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
			path := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
			bad := []byte(path.Local)
			bad[len(bad)-1] ^= 1
			other := w.path(id, "alice@hayauma.test", "y@elsewhere.test")
			mark := path.Local[:len(path.Local)-16] + other.Local[len(other.Local)-16:]
			fill := strings.NewReplacer("PATH", path.String(), "LOCAL", path.Local, "BAD", string(bad)+"@hayauma.test", "MARK", mark+"@hayauma.test").Replace
			for range 2 { // what it says again is not noted again
				w.comes("fbl@far.test", w.Address("loop@hayauma.test"), loop(fill(c.fields), fill(c.original)))
			}
			w.want(id, 0, c.want...)
			if got := w.Inbox("loop@hayauma.test"); len(got) != 2 {
				t.Errorf("the mailbox of the loop has %d", len(got))
			}
		})
	}
}

// TestComplaintOfSenders: where mail leaves under its sender's address, a complaint to the
// mailbox of a feedback loop is matched by our ENVID, or is a hint if all that it says fits.
func TestComplaintOfSenders(t *testing.T) {
	t.Parallel()
	const (
		from  = "Original-Mail-From: <Alice@hayauma.test>\r\n"
		ofX   = "Original-Rcpt-To: <X@elsewhere.test>\r\n"
		ofZ   = "Original-Rcpt-To: <z@elsewhere.test>\r\n"
		ours  = "Message-ID: <lunch@hayauma.test>\r\n"
		trace = "Received: from [192.0.2.7] by mx.hayauma.test with ESMTPSA id TRACE for <x@elsewhere.test>;\r\n\tSun, 01 Mar 2026 12:00:00 +0000\r\n"
		proof = `complained x@elsewhere.test 0 "abuse" report, by ENVID`
		hint  = `complained x@elsewhere.test 0 "abuse" report, by Message-ID`
	)
	for name, c := range map[string]struct {
		fields, original string // ENVID and TRACE are those of the message
		want             []string
	}{
		"ENVID":                      {"Original-Envelope-Id: ENVID\r\n" + ofX, "", []string{proof}},
		"ENVID, and nobody is named": {"Original-Envelope-Id: ENVID\r\n", "", []string{`complained 0 "abuse" report, by ENVID`}},
		"forged ENVID":               {"Original-Envelope-Id: ENVID0\r\n" + from + ofX, ours, nil},
		"all fits":                   {from + ofX, trace + ours, []string{hint}},
		"all fits of one":            {from + ofZ + ofX, trace + ours, []string{hint}},
		"no trace":                   {from + ofX, ours, nil},
		"trace of another":           {from + ofX, strings.Replace(trace, "TRACE", "OTHER", 1) + ours, nil},
		"no Message-ID":              {from + ofX, trace, nil},
		"another sender":             {"Original-Mail-From: <bob@hayauma.test>\r\n" + ofX, "Return-Path: <alice@hayauma.test>\r\n" + trace + ours, nil},
		"the null sender":            {"Original-Mail-From: <>\r\n" + ofX, trace + ours, nil},
		"no sender":                  {ofX, trace + ours, nil},
		"another recipient":          {from + ofZ, trace + ours, nil},
		"no recipient":               {from, trace + ours, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, returnpath.Settings{})
			w.Account("loop@hayauma.test", 0)
			id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
			envid, err := w.Paths.EnvID(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			fill := strings.NewReplacer("ENVID", envid, "TRACE", id.String(), "OTHER", w.IDs.Next().String()).Replace
			for range 2 {
				w.comes("fbl@far.test", w.Address("loop@hayauma.test"), loop(fill(c.fields), fill(c.original)))
			}
			w.want(id, 0, c.want...)
			if got := w.Inbox("loop@hayauma.test"); len(got) != 2 {
				t.Errorf("the mailbox of the loop has %d", len(got))
			}
		})
	}
	// The only recipient does not take every name either, and no other report is a complaint.
	w := newWorld(t, returnpath.Settings{})
	w.Account("loop@hayauma.test", 0)
	id := w.send("alice@hayauma.test", "x@elsewhere.test")
	fill := strings.NewReplacer("TRACE", id.String()).Replace
	w.comes("fbl@far.test", w.Address("loop@hayauma.test"), loop(from+ofZ, fill(trace+ours)))
	w.comes("", w.Address("loop@hayauma.test"), strings.Replace(report(1, "x@elsewhere.test"), ours, fill(trace+ours), 1))
	w.want(id, 0)
}

// TestToTheSender: where mail leaves under its sender's address, reports are
// delivered like other mail, and noted if it is certain what they are about.
func TestToTheSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{})
	w.Account("bob@hayauma.test", 0)
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	w.comes("", w.Address("bob@hayauma.test"), report(1, "x@elsewhere.test")) // not his message
	w.want(id, 0)
	w.comes("", w.Address("alice@hayauma.test"), report(2, "z@elsewhere.test")) // no recipient of hers
	w.want(id, 1)
	w.comes("", w.Address("alice@hayauma.test"), strings.Replace(report(3, "x@elsewhere.test"), "<lunch@", "<supper@", 1))
	w.want(id, 2)
	w.comes("x@elsewhere.test", w.Address("alice@hayauma.test"), "Message-ID: <lunch@hayauma.test>\r\n\r\n<x@elsewhere.test>: 550 5.1.1 no\r\n")
	w.want(id, 3)
	w.comes("", w.Address("alice@hayauma.test"), report(4, "x@elsewhere.test"))
	w.comes("", w.Address("alice@hayauma.test"), report(5, "x@elsewhere.test"))
	w.want(id, 5, `returned x@elsewhere.test 550 5.1.1 "failed" report, by Message-ID`)
	// Another message with this Message-ID: only our trace tells which it was.
	twin := w.send("alice@hayauma.test", "x@elsewhere.test")
	w.comes("", w.Address("alice@hayauma.test"), report(6, "y@elsewhere.test"))
	w.want(id, 6, `returned x@elsewhere.test 550 5.1.1 "failed" report, by Message-ID`)
	trace := "Received: by mx.hayauma.test with ESMTPSA id " + twin.String() + ";\r\n\tSun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <lunch"
	w.comes("", w.Address("alice@hayauma.test"), strings.Replace(report(7, "x@elsewhere.test"), "Message-ID: <lunch", trace, 1))
	w.want(twin, 7, `returned x@elsewhere.test 550 5.1.1 "failed" report, by Message-ID`)
}

// TestSenderElsewhere: a report on forwarded mail goes on to its sender, and can
// cause no report itself.
func TestSenderElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique, Domain: mustDomain(t, "bounce.test")})
	for _, from := range []string{"", "vacation@elsewhere.test"} {
		id := w.send("bob@far.test", "x@elsewhere.test")
		path := w.path(id, "bob@far.test", "x@elsewhere.test")
		if path.Domain.ASCII != "bounce.test" {
			t.Fatal(path)
		}
		r := w.comes(from, path, report(1, "x@elsewhere.test"))
		w.want(id, 0, failedX)
		var queued []*queue.Message
		for _, m := range w.Queued() {
			if m.ID == r {
				queued = append(queued, m)
			}
		}
		if len(queued) != 1 || !queued[0].From.IsNull() || len(queued[0].Recipients) != 1 || queued[0].Recipients[0].Address.String() != "bob@far.test" {
			t.Errorf("from %q: queued %+v", from, queued)
		}
		if again, alone, err := w.Paths.From(t.Context(), r, queued[0].From, w.Address("bob@far.test")); !again.IsNull() || alone || err != nil {
			t.Errorf("it leaves under %s, %v", again, err)
		}
	}
}

func mustDomain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSenderGone: a report for nobody is noted, and not kept.
func TestSenderGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	w.Account("bob@hayauma.test", 0)
	id := w.send("bob@hayauma.test", "x@elsewhere.test")
	path := w.path(id, "bob@hayauma.test", "x@elsewhere.test")
	if err := w.Directory.RemoveAccount(t.Context(), w.Address("bob@hayauma.test")); err != nil {
		t.Fatal(err)
	}
	r := w.comes("", path, report(1, "x@elsewhere.test"))
	w.want(id, 0, failedX)
	if got := w.Events(r.String()); got != "accepted" {
		t.Errorf("history of the report: %s", got)
	}
}

// TestForged: who makes up a return path finds no such mailbox.
func TestForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test")
	good := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
	for _, local := range []string{
		"b+" + id.String() + strings.Repeat("0", 16), "b+" + (id + 1).String() + good.Local[15:], good.Local[:len(good.Local)-1] + "z",
	} {
		target, fault := w.Intake.Resolve(t.Context(), mail.Address{Local: local, Domain: good.Domain})
		if fault != nil || target.Kind != account.Unknown || target.ReturnPath {
			t.Errorf("%s: %+v, %v", local, target, fault)
		}
	}
	// Nor does one whose message is not known any more.
	if _, err := w.History.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if target, fault := w.Intake.Resolve(t.Context(), good); fault != nil || target.Kind != account.Unknown {
		t.Errorf("%+v, %v", target, fault)
	}
}

// TestAlone: a return path shares a transaction with nobody.
func TestAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test")
	path := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
	for _, list := range [][]mail.Address{{path, w.Address("alice@hayauma.test")}, {w.Address("alice@hayauma.test"), path}, {path, path}} {
		tx := w.Intake.Begin(mail.Origin{Door: mail.DoorSMTP}, mail.Envelope{})
		if fault := w.add(tx, list[0]); fault != nil {
			t.Fatal(fault)
		}
		if fault := w.add(tx, list[1]); fault == nil || fault.Code() != 452 {
			t.Errorf("%v: %v", list, fault)
		}
		tx.Abort()
	}
}

// TestHuge: of a report on ten thousand recipients some are noted, and how many
// there were.
func TestHuge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	to := make([]string, 10_000)
	for i := range to {
		to[i] = fmt.Sprintf("x%d@elsewhere.test", i)
	}
	to[50] = "x@elsewhere.test"
	w.comes("", w.path(id, "alice@hayauma.test", "x@elsewhere.test"), report(1, to...))
	told := w.told(id)
	if len(told) != 100 || !slices.Contains(told, failedX) || len(w.Inbox("alice@hayauma.test")) != 1 {
		t.Errorf("%d events: %q", len(told), told)
	}
	events := w.Timeline(id.String())
	if more := events[len(events)-1].Detail.More; more < 900 || more > 9900 {
		t.Errorf("%d more", more)
	}
}

// TestStorm: whatever comes to a return path, its sender gets some of it only.
func TestStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	path := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
	for i := range 30 {
		w.comes("robot@elsewhere.test", path, fmt.Sprintf("Subject: away\r\nMessage-ID: <%d@robot.test>\r\n\r\nI am away.\r\n", i))
	}
	if got := len(w.Inbox("alice@hayauma.test")); got != 20 {
		t.Errorf("alice got %d", got)
	}
	// What fails is another matter, and has its own bound: the rest is noted.
	w.comes("", path, report(1, "x@elsewhere.test"))
	if told := w.told(id); len(told) != 21 || told[20] != failedX || len(w.Inbox("alice@hayauma.test")) != 21 {
		t.Errorf("%q", told)
	}
	for i := range 30 {
		w.comes("", path, report(i, fmt.Sprintf("z%d@inner.test", i)))
	}
	if told := w.told(id); len(told) != 51 || len(w.Inbox("alice@hayauma.test")) != 40 {
		t.Errorf("alice got %d, told %q", len(w.Inbox("alice@hayauma.test")), told)
	}
	// So have the others, whatever they call themselves.
	for i := range 30 {
		w.comes("", path, complaint("mail of another kind came to its return path", fmt.Sprintf("z%d@inner.test", i)))
	}
	w.comes("", path, complaint("abuse", "x@elsewhere.test"))
	if got := len(w.Inbox("alice@hayauma.test")); got != 61 {
		t.Errorf("alice got %d", got)
	}
}

// TestBehindOne: a list's host tells of each dead member by himself; only what says the
// same of the same is a repeat.
func TestBehindOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "list@elsewhere.test")
	path := w.path(id, "alice@hayauma.test", "list@elsewhere.test")
	var want []string
	for i, member := range []string{"a@inner.test", "b@inner.test", "c@inner.test"} {
		w.comes("", path, report(i, member))
		want = append(want, `returned list@elsewhere.test 550 5.1.1 "failed (of `+member+`)" report`)
		w.want(id, i+1, want...)
	}
	w.comes("", path, report(3, "B@INNER.test"))
	w.want(id, 3, want...)
	// The first recipient may be named as well (RFC 3464 §2.3.1).
	w.comes("", path, strings.Replace(report(4, "d@inner.test"), "Final-Recipient:", "Original-Recipient: rfc822;list@elsewhere.test\r\nFinal-Recipient:", 1))
	w.want(id, 4, append(want, `returned list@elsewhere.test 550 5.1.1 "failed (of d@inner.test)" report`)...)
}

// TestWords: a report in words is believed where it begins with them and calls a
// recipient what we called it. What an answer quotes of other mail is no report.
func TestWords(t *testing.T) {
	t.Parallel()
	const (
		answer   = "Subject: [4711] received\r\nAuto-Submitted: auto-replied\r\nPrecedence: auto_reply\r\n\r\nYour ticket was opened. You wrote:\r\n\r\n"
		exchange = "What is this?\r\n\r\nDiagnostic information for administrators:\r\n\r\nGenerating server: mx.third.test\r\n\r\ncarol@third.test\r\n550 5.1.1 not found\r\n"
		sendmail = "   ----- The following addresses had permanent fatal errors -----\r\n<x@elsewhere.test>\r\n    (reason: 550 5.1.1 User unknown)\r\n"
		qmail    = "Subject: failure notice\r\n\r\nHi. This is the qmail-send program at elsewhere.test.\r\n\r\n"
	)
	other := `reported x@elsewhere.test 0 "mail of another kind came to its return path" report`
	for name, c := range map[string]struct{ content, want string }{
		"quoted Exchange":          {answer + exchange, other},
		"quoted sendmail":          {answer + sendmail, other},
		"quoted by a person":       {"Subject: Re: lunch\r\n\r\nI got this:\r\n\r\n" + sendmail, other},
		"of a recipient":           {qmail + "<X@elsewhere.test>:\r\n550 5.1.1 no\r\n", failedX},
		"of somebody else":         {qmail + "<carol@third.test>:\r\n550 5.1.1 no\r\n", other},
		"of him and somebody else": {qmail + "<carol@third.test>:\r\nno\r\n\r\n<x@elsewhere.test>:\r\n550 5.1.1 no\r\n", failedX},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, returnpath.Settings{Mode: returnpath.VERP})
			id := w.send("alice@hayauma.test", "x@elsewhere.test")
			w.comes("", w.path(id, "alice@hayauma.test", "x@elsewhere.test"), c.content)
			w.want(id, 1, c.want)
			if events := w.Timeline(id.String()); c.want == other && !strings.Contains(events[len(events)-1].Detail.Reply, "550 5.1.1") {
				t.Errorf("its reply is lost: %+v", events[len(events)-1])
			}
		})
	}
	// Nor is it where it comes to the sender, as long as nobody is called by his name.
	w := newWorld(t, returnpath.Settings{})
	id := w.send("alice@hayauma.test", "x@elsewhere.test")
	copied := "\r\n--- Below this line is a copy of the message.\r\n\r\nMessage-ID: <lunch@hayauma.test>\r\n\r\nHello\r\n"
	w.comes("", w.Address("alice@hayauma.test"), qmail+"<carol@third.test>:\r\n550 5.1.1 no\r\n"+copied)
	w.want(id, 1)
	w.comes("", w.Address("alice@hayauma.test"), qmail+"<x@elsewhere.test>:\r\n550 5.1.1 no\r\n"+copied)
	w.want(id, 2, failedX+", by Message-ID")
}

// TestAtOnce: reports that come at the same moment know of each other.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{Mode: returnpath.Unique})
	id := w.send("alice@hayauma.test", "x@elsewhere.test", "y@elsewhere.test")
	path := w.path(id, "alice@hayauma.test", "x@elsewhere.test")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { w.comes("", path, report(i, "x@elsewhere.test")) })
	}
	all.Wait()
	w.want(id, 1, failedX)
}

// TestRepeated: a report that is sent again because our reply was lost is noted and
// passed on once.
func TestRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, returnpath.Settings{})
	id := w.send("alice@hayauma.test", "x@elsewhere.test")
	same := report(1, "x@elsewhere.test")
	for range 3 {
		w.comes("", w.Address("alice@hayauma.test"), same)
	}
	w.want(id, 1, `returned x@elsewhere.test 550 5.1.1 "failed" report, by Message-ID`)
}
