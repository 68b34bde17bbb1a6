package dsn_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/dsn"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample() dsn.Report {
	return dsn.Report{
		From: "MAILER-DAEMON@mx.test", To: "alice@hayauma.test", Subject: "Undelivered mail", MessageID: "<0001@mx.test>",
		Date: noon, Hostname: "mx.test", Arrival: noon, Text: "We could not.\nSorry.\n",
		Recipients: []dsn.Recipient{{
			Final: "x@elsewhere.test", Action: dsn.Failed, Status: "5.1.1", RemoteMTA: "mx.elsewhere.test",
			Diagnostic: "550 5.1.1 No such user\nSee the manual", LastTry: noon,
		}},
		Original: []byte("Subject: one\r\n"), HeadersOnly: true,
	}
}

// parsed is a report as a reader sees it.
type parsed struct {
	header mail.Header
	types  []string
	bodies []string
	groups []textproto.MIMEHeader // of the part for machines
}

func parse(t *testing.T, b []byte) parsed {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v in\n%q", err, b)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("content type %q, %v", m.Header.Get("Content-Type"), err)
	}
	p := parsed{header: m.Header}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextPart() // decodes quoted-printable
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("part %d: %v in\n%s", len(p.types), err, b)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		p.types = append(p.types, part.Header.Get("Content-Type"))
		p.bodies = append(p.bodies, string(body))
	}
	if len(p.types) != 3 {
		t.Fatalf("parts: %q in\n%s", p.types, b)
	}
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(p.bodies[1] + "\r\n\r\n")))
	for {
		group, err := r.ReadMIMEHeader()
		if len(group) == 0 {
			return p
		}
		if err != nil {
			t.Fatalf("status part: %v in\n%s", err, p.bodies[1])
		}
		p.groups = append(p.groups, group)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := sample()
	p := parse(t, r.Bytes())
	if got := strings.Join(p.types, " | "); got != "text/plain; charset=utf-8 | message/delivery-status | text/rfc822-headers" {
		t.Errorf("parts: %s", got)
	}
	if p.header.Get("Auto-Submitted") != "auto-replied" || p.header.Get("To") != "<alice@hayauma.test>" {
		t.Errorf("header: %v", p.header)
	}
	if len(p.groups) != 2 || p.groups[0].Get("Reporting-MTA") != "dns; mx.test" {
		t.Fatalf("groups: %v", p.groups)
	}
	for name, want := range map[string]string{
		"Final-Recipient": "rfc822; x@elsewhere.test", "Action": "failed", "Status": "5.1.1",
		"Remote-Mta": "dns; mx.elsewhere.test", "Diagnostic-Code": "smtp; 550 5.1.1 No such user See the manual",
		"Last-Attempt-Date": "Sun, 01 Mar 2026 12:00:00 +0000", "Original-Recipient": "", "Will-Retry-Until": "",
	} {
		if got := p.groups[1].Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if p.bodies[0] != "We could not.\r\nSorry.\r\n" || p.bodies[2] != "Subject: one\r\n" {
		t.Errorf("bodies: %q", p.bodies)
	}
}

func TestReportVariants(t *testing.T) {
	t.Parallel()
	t.Run("our own finding", func(t *testing.T) {
		t.Parallel()
		r := sample()
		r.Recipients[0].RemoteMTA = ""
		if got := parse(t, r.Bytes()).groups[1].Get("Diagnostic-Code"); !strings.HasPrefix(got, "x-hayauma; ") {
			t.Error(got)
		}
	})
	t.Run("delayed", func(t *testing.T) {
		t.Parallel()
		r := sample()
		r.Recipients[0].Action, r.Recipients[0].RetryUntil = dsn.Delayed, noon.Add(time.Hour)
		got := parse(t, r.Bytes()).groups[1]
		if got.Get("Action") != "delayed" || got.Get("Will-Retry-Until") != "Sun, 01 Mar 2026 13:00:00 +0000" {
			t.Error(got)
		}
	})
	t.Run("what the sender asked for", func(t *testing.T) {
		t.Parallel()
		r := sample()
		r.EnvelopeID, r.Recipients[0].Original = "QQ314159", "rfc822;a+b@elsewhere.test"
		p := parse(t, r.Bytes())
		if p.groups[0].Get("Original-Envelope-Id") != "QQ314159" || p.groups[1].Get("Original-Recipient") != "rfc822;a+b@elsewhere.test" {
			t.Error(p.groups)
		}
	})
	t.Run("beyond ASCII", func(t *testing.T) {
		t.Parallel()
		r := sample()
		r.Recipients[0].Final = "ü@elsewhere.test"
		p := parse(t, r.Bytes())
		if p.types[1] != "message/global-delivery-status" || p.groups[1].Get("Final-Recipient") != "utf-8; ü@elsewhere.test" {
			t.Error(p.types, p.groups)
		}
	})
	t.Run("a whole message that holds our boundary", func(t *testing.T) {
		t.Parallel()
		r := sample()
		r.HeadersOnly = false
		r.Original = []byte("Subject: one\r\n\r\n--report.0001\r\n--report.0001.0--\r\n")
		r.Text = "--report.0001.1\n"
		p := parse(t, r.Bytes())
		if p.types[2] != "message/rfc822" || p.bodies[2] != string(r.Original) {
			t.Errorf("%q %q", p.types, p.bodies)
		}
	})
}

var (
	headerFields = []string{"From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type"}
	statusFields = []string{"Original-Envelope-Id", "Reporting-Mta", "Arrival-Date", "Original-Recipient", "Final-Recipient",
		"Action", "Status", "Remote-Mta", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until"}
)

// FuzzReport puts a remote's words everywhere: they never become a field, a
// part or a line end of their own.
func FuzzReport(f *testing.F) {
	f.Add("550 5.1.1 no\r\nBcc: evil@b.test\r\n\r\nbody", "mx.test\r\nX: y", "a@b.test>\r\nTo: c", "Subject: a\r\n")
	f.Add("\r\n--report.0001--\r\n", "\r\r\n\n", "\x00\x7f", "\r\n--report.0001\r\n\r\n")
	f.Add(strings.Repeat("ä", 2000), " ", "\t\n \n", "")
	f.Fuzz(func(t *testing.T, words, host, address, original string) {
		r := sample()
		r.To, r.Subject, r.EnvelopeID = address, words, words
		r.Text = "It says: " + words + "\n" + host + "\n"
		r.Original = []byte(original)
		r.Recipients = []dsn.Recipient{
			{Final: address, Original: words, Action: dsn.Failed, Status: words, RemoteMTA: host, Diagnostic: words, LastTry: noon},
			{Final: "b@b.test", Action: dsn.Delayed, Status: "4.0.0", Diagnostic: words, RetryUntil: noon},
		}
		b := r.Bytes()
		if without := strings.ReplaceAll(string(bytes.Replace(b, r.Original, nil, 1)), "\r\n", ""); len(original) == 0 && strings.ContainsAny(without, "\r\n\x00") {
			t.Errorf("a CR, LF or NUL alone in %q", b)
		}
		if len(original) == 0 {
			for line := range strings.SplitSeq(string(b), "\r\n") {
				if len(line) > 998 {
					t.Errorf("a line of %d octets", len(line))
				}
			}
		}
		p := parse(t, b)
		for name := range p.header {
			if !slices.Contains(headerFields, name) || len(p.header[name]) != 1 {
				t.Errorf("field %q in the header of %q", name, b)
			}
		}
		if len(p.groups) != 3 {
			t.Errorf("%d groups in %q", len(p.groups), p.bodies[1])
		}
		for _, group := range p.groups {
			for name := range group {
				if !slices.Contains(statusFields, name) || len(group[name]) != 1 {
					t.Errorf("field %q in %q", name, p.bodies[1])
				}
			}
		}
		if p.bodies[2] != original {
			t.Errorf("original %q came back as %q", original, p.bodies[2])
		}
	})
}
