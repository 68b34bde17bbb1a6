package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/config"
)

// hints is what the lines to copy are made of.
type hints struct {
	Program, Config, CA        string
	Accounts                   string // the file of logins
	From, To                   string
	FromPassword, ToPassword   string
	Submissions, IMAPS, POP3S  string // empty: off
	SubmissionHost, SubmitPort string
}

const hintText = `
# Accounts of this development server, kept in {{.Accounts}}:
#   {{.From}}   {{.FromPassword}}
#   {{.To}}     {{.ToPassword}}
# Copy any of these into another terminal, in this folder.
{{if .Submissions}}
# Send a mail with curl
curl -sS --cacert {{.CA}} --url smtps://{{.Submissions}} --user {{.From}}:{{.FromPassword}} \
  --mail-from {{.From}} --mail-rcpt {{.To}} --crlf --upload-file - <<'END'
From: Alice <{{.From}}>
To: Bob <{{.To}}>
Subject: Hello from curl
Message-ID: <hello@hayauma.test>

It works.
END
{{end}}{{if .SubmitPort}}
# Send a mail with Python
python3 - <<'END'
import smtplib, ssl
from email.message import EmailMessage
m = EmailMessage()
m["From"], m["To"], m["Subject"] = "{{.From}}", "{{.To}}", "Hello from Python: 早馬"
m.set_content("It works.")
with smtplib.SMTP("{{.SubmissionHost}}", {{.SubmitPort}}) as s:
    s.starttls(context=ssl.create_default_context(cafile="{{.CAPlain}}"))
    s.login("{{.From}}", "{{.FromPassword}}")
    s.send_message(m)
END
{{end}}
# Send a mail as programs on this machine do; -v tells its id
printf 'To: {{.To}}\nSubject: Hello from send\n\nIt works.\n' | {{.Program}} send --config {{.Config}} -v -t -f {{.From}}
{{if .IMAPS}}
# Read the first mail over IMAP, and see what else is there
curl -sS --cacert {{.CA}} --user {{.To}}:{{.ToPassword}} 'imaps://{{.IMAPS}}/INBOX;MAILINDEX=1'
curl -sS --cacert {{.CA}} --user {{.To}}:{{.ToPassword}} 'imaps://{{.IMAPS}}/INBOX' -X 'FETCH 1:* (UID FLAGS RFC822.SIZE)'
{{end}}{{if .POP3S}}
# Read it over POP3
curl -sS --cacert {{.CA}} --user {{.To}}:{{.ToPassword}} pop3s://{{.POP3S}}/1
{{end}}
# See what became of the mail from curl, and the queue. The id that a server
# gives in its reply to a message works as well as a Message-ID
{{.Program}} trace --config {{.Config}} hello@hayauma.test
{{.Program}} queue list --config {{.Config}}
`

// printHints prints lines that send a mail to the running server and read it.
func (c *cli) printHints(cfg *config.Config, logins []login) {
	h := hints{
		Program: shellWord(shown(c.program)), Config: shellWord(shown(c.configFlag)), CA: shown(certs.CAFile(cfg.DataDir)),
		Accounts: shown(filepath.Join(filepath.Dir(c.configFlag), devAccounts)),
		From:     logins[0].address, FromPassword: logins[0].password,
		To: logins[1].address, ToPassword: logins[1].password,
		Submissions: first(cfg.Listen.Submissions), IMAPS: first(cfg.Listen.IMAPS), POP3S: first(cfg.Listen.POP3S),
	}
	if host, port, err := net.SplitHostPort(first(cfg.Listen.Submission)); err == nil {
		h.SubmissionHost, h.SubmitPort = host, port
	}
	if err := h.print(c.stdout); err != nil {
		fmt.Fprintln(c.stderr, "hayauma: print how to use the server:", err)
	}
}

func (h hints) print(w io.Writer) error {
	t, err := template.New("hints").Parse(hintText)
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		hints
		CA, CAPlain string
	}{h, shellWord(h.CA), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(h.CA)})
}

// first is an address to connect to: the first of a list, where an empty host
// stands for all of this machine's.
func first(addresses []string) string {
	if len(addresses) == 0 {
		return ""
	}
	host, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return ""
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// shown is the shorter one of a path and its form that starts here.
func shown(path string) string {
	here, err := os.Getwd()
	if err != nil || !strings.ContainsRune(path, filepath.Separator) {
		return path
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(here, full)
	if err != nil || strings.HasPrefix(relative, "..") {
		return full
	}
	if !strings.ContainsRune(relative, filepath.Separator) && path != relative {
		relative = "." + string(filepath.Separator) + relative
	}
	return cmp.Or(relative, path)
}

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
