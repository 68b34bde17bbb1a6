package smuggling

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// everyAttack is every variant with the smuggled transaction behind it, one after the
// other; with says which.
func everyAttack(with func(v string) bool) string {
	var b strings.Builder
	for _, v := range variants() {
		if with(v) {
			b.WriteString(v + smuggled)
		}
	}
	return b.String()
}

// What a program hands to `hayauma send` has any line ends.
func TestSend(t *testing.T) {
	t.Parallel()
	n, r := start(t)
	hasNUL := func(v string) bool { return strings.Contains(v, "\x00") }
	const head = "Subject: n\n\nfirst"
	sent := 0
	send := func(text string, args ...string) {
		n.Run(text, append([]string{"send", "-f", "alice@a.test"}, args...)...)
		sent++
	}
	send(head+everyAttack(func(v string) bool { return !hasNUL(v) }), "-i", "all@b.test")
	send(everyAttack(func(v string) bool { return !hasNUL(v) }), "-i", "all@b.test")
	// Without -i a dot ends the message; what follows is nothing.
	for _, v := range []string{"\n.\n", "\r\n.\r\n", "\r.\r", "\n.\r", "\r.\n", "\r\r\n.\n"} {
		send(head+v+smuggled, "first@b.test")
	}
	// A NUL is refused as at every door.
	for _, v := range []string{"\n\x00.\n", "\n.\x00\n"} {
		if n.Hayauma(head+v+smuggled, "send", "-i", "-f", "alice@a.test", "nul@b.test").Code == 0 {
			t.Errorf("a message with %q was taken", v)
			sent++
		}
	}
	r.wait(t, sent)
	n.WaitQueue("")
	got := r.check(t)
	if len(got) != sent {
		t.Errorf("%d messages were sent, %d went out", sent, len(got))
	}
	for _, m := range got {
		if m.to[0] == "first@b.test" && !strings.HasSuffix(m.content, "\r\n\r\nfirst") {
			t.Errorf("behind the dot: %q", m.content)
		}
	}
	compare(t, "the victim's inbox", nil, kept(t, n, "victim"))
}

// A report holds words of others: of the sender, of its message, and of the host
// that refused. None of them ends it.
func TestReports(t *testing.T) {
	t.Parallel()
	n, r := start(t)
	c := mustDial(t, n.SMTP, nil)
	// xtext can hold any octet, but not for us.
	const line = "+0D+0A.+0D+0AMAIL+20FROM:<evil@x.test>+0D+0A"
	must(t, c.say("MAIL FROM:<back@b.test> ENVID=a"+line+"\r\n", "501 "))
	must(t, c.say("MAIL FROM:<back@b.test>\r\n", "250 "))
	for _, orcpt := range []string{"rfc822;a" + line, "utf-8;a\\x{0D}\\x{0A}.\\x{0D}\\x{0A}", "utf-8;a\\x{2028}.\\x{85}", "a\x00;b", "rfc822;a+00"} {
		must(t, c.say("RCPT TO:<no@b.test> ORCPT="+orcpt+"\r\n", "50"))
	}
	must(t, c.say("RSET\r\n", "250 "))

	headers := []string{
		"Subject: n\r\n",
		"Subject: n\r\n.\r\n" + smuggled, // which are no fields, and still in the header
		"Subject: =?utf-8?q?a=0D=0A.=0D=0AMAIL_FROM:<evil@x.test>?=\r\nFrom: =?utf-8?b?DQouDQo=?= <a@c.test>\r\n",
		"Subject: =?utf-8?q?a=0D.=0D=0A=0A.=0A=00.=00?=\r\nTo: a\r\n .\r\n\t.\r\n",
		".\r\n..\r\n",
		"Subject: " + strings.Repeat(strings.Repeat("x.", 490)+"\r\n ", 20) + "x\r\n",
	}
	reports := 0
	for i, header := range headers {
		for _, ret := range []string{"HDRS", "FULL"} {
			must(t, c.say(fmt.Sprintf("MAIL FROM:<back%d@b.test> RET=%s ENVID=QQ+2B.+3D\r\nRCPT TO:<no%d@b.test> NOTIFY=FAILURE ORCPT=rfc822;no+2B.+3D@c.test\r\n", i, ret, i), "250 ", "250 "))
			must(t, c.say(bdat(header+"\r\nfirst\r\n.\r\n"+smuggled, true), "250 2.0.0 Accepted"))
			reports++
		}
	}
	must(t, c.leave())
	r.wait(t, reports)
	n.WaitQueue("")
	got := r.check(t)
	// Those that were refused never came to their content.
	got = slices.DeleteFunc(got, func(m seen) bool { return m.from != "" || len(m.to) != 1 || !strings.HasPrefix(m.to[0], "back") })
	if len(got) != reports {
		t.Errorf("%d messages failed, %d reports went out", reports, len(got))
	}
	for _, m := range got {
		if strings.Contains(m.content, "\x00") {
			t.Errorf("a NUL went out: %q", m.content)
		}
		if !strings.Contains(m.content, "MAIL FROM:<evil@x.test>") {
			t.Errorf("a report without the words of the other host: %q", m.content)
		}
	}
	compare(t, "the victim's inbox", nil, kept(t, n, "victim"))
}
