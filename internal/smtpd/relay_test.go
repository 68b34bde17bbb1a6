package smtpd_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/test/stack"
)

// trick is one way to have us carry mail to somewhere else, or what looks like it.
type trick struct {
	name   string
	door   string   // of dialDoor; empty = a stranger on port 25
	before []string // commands and the beginnings of their replies by turns, before MAIL
	from   string   // what follows MAIL FROM:, empty = <a@b.test>; with a code behind "|" it is refused
	to     []string // what follows RCPT TO:, and the beginning of the reply, by turns
	queued string   // whom the queue then waits to reach, where an alias says so
}

const (
	taken     = "250 2.1.5 "
	foreign   = "550 5.7.1 We do not relay"
	unknown   = "550 5.1.1 "
	noAddress = "501 5.1.3 "
	noSyntax  = "501 5.5.4 "
	noFront   = "550 5.7.1 You may not speak for others"
	later     = "452 4.5.3 "
)

// victim is where nobody may get through us.
const victim = "victim.test"

func rerouted() []trick {
	return []trick{
		{name: "plain", to: []string{"<user@victim.test>", foreign}},
		{name: "percent hack", to: []string{"<user%victim.test@hayauma.test>", unknown, "<user%victim.test>", noAddress, "<user%victim.test@catch.test>", taken,
			"<alice%victim.test@hayauma.test>", unknown, "<user%victim.test%hayauma.test@hayauma.test>", unknown, "<user%victim.test@victim.test>", foreign}},
		{name: "bang path", to: []string{"<victim.test!user@hayauma.test>", unknown, "<victim.test!user>", noAddress, "<hayauma.test!victim.test!user@catch.test>", taken,
			"<hayauma.test!user@victim.test>", foreign}},
		// RFC 5321 §4.1.1.3: a route is read and ignored.
		{name: "source route", to: []string{"<@a,@b:user@victim.test>", foreign, "<@hayauma.test:user@victim.test>", foreign, "<@hayauma.test,@victim.test:user@victim.test>", foreign,
			"<@victim.test:alice@hayauma.test>", taken, "<@a:@b:user@victim.test>", noAddress, "<@[192.0.2.1]:user@victim.test>", foreign,
			"<@[IPv6:2001:db8::1]:user@victim.test>", noAddress, "<@hayauma.test:user%victim.test@hayauma.test>", unknown, "<@victim.test:>", noAddress, "<@victim.test>", noAddress}},
		{name: "source route of the sender", from: "<@victim.test:alice@hayauma.test>", to: []string{"<user@victim.test>", foreign}},
		{name: "quoted", to: []string{`<"user@victim.test"@hayauma.test>`, unknown, `<"user%victim.test"@hayauma.test>`, unknown, `<"user@victim.test">`, noAddress, `<"user"@victim.test>`, foreign,
			`<"@hayauma.test:user@victim.test"@hayauma.test>`, unknown, `<"user@victim.test"@catch.test>`, taken, `<"user\@victim.test"@catch.test>`, taken, `<"alice"@victim.test>`, foreign,
			`<"user@hayauma.test"@victim.test>`, foreign, `<user@victim.test"@hayauma.test">`, noAddress, `<"a>"@victim.test>`, foreign, `<"a" <user@victim.test>`, noAddress,
			`<"alice"@hayauma.test> <user@victim.test>`, noSyntax, `<"alice\"@hayauma.test>`, noSyntax, `<"al\ice"@hayauma.test>`, taken}},
		{name: "two at signs", to: []string{"<user@hayauma.test@victim.test>", noAddress, "<user@victim.test@hayauma.test>", noAddress, "<user@@hayauma.test>", noAddress, "<alice@hayauma.test@>", noAddress}},
		{name: "lists", to: []string{"<alice@hayauma.test,user@victim.test>", noAddress, "<alice@hayauma.test>,<user@victim.test>", noSyntax, "<alice@hayauma.test;user@victim.test>", noAddress,
			"<alice@hayauma.test user@victim.test>", noAddress, "<|/bin/sh>", noAddress, "</dev/null>", noAddress, "<|sh@hayauma.test>", unknown, "<:include:/etc/passwd@hayauma.test>", noAddress}},
		{name: "spaces", to: []string{"< user@victim.test>", noAddress, "<user @victim.test>", noAddress, "<user@ victim.test>", noAddress, "<user@victim.test >", noAddress, " <user@victim.test>", foreign,
			"<alice@hayauma.test\t@victim.test>", noAddress, "<user@victim.test>\t", foreign, "<alice@hayauma.test>x", noSyntax, "alice@hayauma.test", noSyntax}},
	}
}

func named() []trick {
	return []trick{
		{name: "address literals", to: []string{"<user@[127.0.0.1]>", foreign, "<alice@[192.0.2.1]>", foreign, "<user@[IPv6:::1]>", foreign, "<user@[IPv6:::ffff:127.0.0.1]>", foreign, "<user@[127.1]>", noAddress,
			"<user@[2130706433]>", noAddress, "<user@[::1]>", noAddress, "<user@[IPv6:fe80::1%25lo]>", noAddress, "<user@127.0.0.1>", foreign, "<user@[127.0.0.1].hayauma.test>", noAddress,
			"<user@[hayauma.test]>", noAddress, "<user@#2130706433>", noAddress, "<postmaster@[192.0.2.1]>", taken, "<postmaster+a@[192.0.2.1]>", foreign}},
		{name: "dots at the end", to: []string{"<alice@hayauma.test.>", taken, "<user@victim.test.>", foreign, "<alice@hayauma.test..>", noAddress, "<alice.@hayauma.test>", noAddress, "<.alice@hayauma.test>", noAddress,
			"<alice@.hayauma.test>", noAddress, "<user@victim.test.hayauma.test>", foreign, "<user@hayauma.test.victim.test>", foreign, "<user@xhayauma.test>", foreign, "<user@test>", foreign, "<user@localhost>", foreign, "<user@.>", noAddress}},
		{name: "case", to: []string{"<ALICE@HaYaUmA.TeSt>", taken, "<user@VICTIM.test>", foreign, "<PostMaster>", taken, "<POSTMASTER@VICTIM.TEST>", foreign}},
		{name: "internationalised", from: "<a@b.test> SMTPUTF8", to: []string{"<info@bücher.test>", taken, "<info@xn--bcher-kva.test>", taken, "<info@XN--BCHER-KVA.test>", taken, "<info@BÜCHER.test>", taken, "<info@bu\u0308cher.test>", taken,
			"<user@ víctim.test>", noAddress, "<user@víctim.test>", foreign, "<user@xn--vctim-5sa.test>", foreign, "<user%víctim.test@bücher.test>", unknown, "<info@bücher.test.>", taken, "<info@bücher\u3002test>", taken}},
		{name: "homographs", from: "<a@b.test> SMTPUTF8", to: []string{"<alice@h\u0430yauma.test>", foreign, "<\u0430lice@hayauma.test>", unknown, "<alice@ｈａｙａｕｍａ.test>", taken, "<user@ｖｉｃｔｉｍ.test>", foreign,
			"<user\uff20victim.test@hayauma.test>", unknown, "<user\ufe6bvictim.test>", noAddress, "<user@victim.test\uff20hayauma.test>", noAddress, "<user\u2024x@hayauma.test>", unknown, "<alice\u200b@hayauma.test>", unknown,
			"<po\u017ftmaster@hayauma.test>", unknown, "<po\u017ftmaster@[192.0.2.1]>", foreign, "<po\u017ftmaster>", noAddress, "<\u202ealice@hayauma.test>", unknown}},
		{name: "without a domain", to: []string{"<postmaster>", taken, "<alice>", noAddress, "<>", noAddress, "<@>", noAddress, "<@hayauma.test>", noAddress, `<""@hayauma.test>`, noAddress, `<"">`, noAddress, "<abuse>", noAddress, "<alice@>", noAddress}},
		{name: "long", to: []string{
			"<" + strings.Repeat("a", 64) + "@catch.test>", taken, "<" + strings.Repeat("a", 128) + "@catch.test>", taken, "<" + strings.Repeat("a", 129) + "@catch.test>", noAddress,
			"<" + strings.Repeat("a", 64) + "@victim.test>", foreign, "<a@" + domainOf(252) + ">", foreign, "<a@" + domainOf(253) + ">", noAddress,
			`<"` + strings.Repeat(`\"`, 128) + `"@catch.test>`, noAddress, "<@" + domainOf(200) + ":alice@hayauma.test>", taken, "<@" + domainOf(235) + ":alice@hayauma.test>", noAddress}},
	}
}

// domainOf is a domain of n octets.
func domainOf(n int) string {
	const label = "abcdefghijklmnopqrstuvwxyz012345." // 33 octets
	return (strings.Repeat(label, n/len(label)+1))[:n-2] + "xy"
}

func behindAliases() []trick {
	return []trick{
		{name: "forward", to: []string{"<away@hayauma.test>", taken}, queued: "me@elsewhere.test"},
		{name: "forward with a tag", to: []string{"<away+x@hayauma.test>", taken, "<away+user%victim.test@hayauma.test>", taken, `<"away+user@victim.test"@hayauma.test>`, taken}, queued: "me@elsewhere.test"},
		{name: "forward with a percent", to: []string{"<away%victim.test@hayauma.test>", unknown, "<user%away@hayauma.test>", unknown, "<me%elsewhere.test@hayauma.test>", unknown}},
		{name: "what a forward leads to", to: []string{"<me@elsewhere.test>", foreign, "<me+x@elsewhere.test>", foreign}},
		{name: "catch-all that forwards", to: []string{"<user%victim.test@far.test>", taken, `<"user@victim.test"@far.test>`, taken, "<x+user%victim.test@far.test>", taken, "<victim.test!user@far.test>", taken, "<*@far.test>", taken}, queued: "all@elsewhere.test"},
		{name: "percent in an alias", to: []string{"<odd%victim.test@hayauma.test>", taken, "<odd@victim.test>", foreign}, queued: "me@elsewhere.test"},
	}
}

func borrowed() []trick {
	plain := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice@hayauma.test\x00wrong"))
	return []trick{
		{name: "our own sender", from: "<alice@hayauma.test>", to: []string{"<user@victim.test>", foreign, "<bob@hayauma.test>", taken}},
		{name: "our postmaster as sender", from: "<postmaster@hayauma.test>", to: []string{"<user@victim.test>", foreign}},
		{name: "null sender", from: "<>", to: []string{"<user@victim.test>", foreign, "<alice@hayauma.test>", taken}},
		{name: "null sender to many", from: "<>", to: []string{"<nobody@hayauma.test>", unknown, "<alice@hayauma.test>", taken, "<bob@hayauma.test>", later, "<nobody@hayauma.test>", later, "<alice@hayauma.test>", later, "<user@victim.test>", later, "<postmaster>", later}},
		{name: "null sender to many over LMTP", door: "4", from: "<>", to: []string{"<alice@hayauma.test>", taken, "<bob@hayauma.test>", taken}},
		{name: "null sender to many of a trusted host", door: "5", from: "<>", to: []string{"<alice@hayauma.test>", taken, "<bob@hayauma.test>", taken}},
		{name: "null sender to many of a user", door: "3", before: []string{"AUTH PLAIN " + plainAlice, "235"}, from: "<>", to: []string{"<alice@hayauma.test>", taken, "<bob@hayauma.test>", taken}},
		{name: "AUTH=", from: "<a@b.test> AUTH=alice@hayauma.test|555 5.5.4"},
		{name: "AUTH=<>", from: "<a@b.test> AUTH=<>|555 5.5.4"},
		{name: "AUTH= before a login", door: "3", from: "<alice@hayauma.test> AUTH=alice@hayauma.test|530"},
		{name: "AUTH= that is another", door: "3", before: []string{"AUTH PLAIN " + plainAlice, "235"}, from: "<bob@hayauma.test> AUTH=bob@hayauma.test|550 5.7.1"},
		{name: "AUTH on port 25", before: []string{"AUTH PLAIN " + plainAlice, "500"}, to: []string{"<user@victim.test>", foreign}},
		{name: "a login that fails", door: "3", before: []string{plain, "535"}, from: "<alice@hayauma.test>|530"},
		{name: "submission without a login", door: "2", from: "<alice@hayauma.test>|530"},
		{name: "XCLIENT ADDR", before: []string{"XCLIENT ADDR=10.1.2.3", noFront, "XCLIENT ADDR=127.0.0.1 LOGIN=alice@hayauma.test", noFront}, to: []string{"<user@victim.test>", foreign}},
		{name: "XCLIENT LOGIN", door: "3", before: []string{"XCLIENT LOGIN=alice@hayauma.test", noFront}, from: "<alice@hayauma.test>|530"},
		{name: "XCLIENT LOGIN of a front on port 25", door: "6", before: []string{"XCLIENT ADDR=203.0.113.5 LOGIN=alice@hayauma.test", "535"}, to: []string{"<user@victim.test>", foreign}},
		{name: "a front for a stranger", door: "6", before: []string{"XCLIENT ADDR=203.0.113.5", "220", "EHLO client.test", "250"}, to: []string{"<user@victim.test>", foreign}},
		{name: "a front for nobody", door: "6", before: []string{"XCLIENT ADDR=[UNAVAILABLE]", "220", "EHLO client.test", "250"}, to: []string{"<user@victim.test>", foreign}},
		{name: "a front itself", door: "6", to: []string{"<user@victim.test>", foreign}},
		{name: "XFORWARD", before: []string{"XFORWARD ADDR=10.1.2.3", noFront}, to: []string{"<user@victim.test>", foreign}},
		{name: "XFORWARD of a front", door: "6", before: []string{"XFORWARD ADDR=10.1.2.3 SOURCE=LOCAL", "250"}, to: []string{"<user@victim.test>", foreign}},
		{name: "PROXY, version 1", before: []string{"PROXY TCP4 10.1.2.3 192.0.2.1 1 25", "500"}, to: []string{"<user@victim.test>", foreign}},
		{name: "EHLO of a trusted host", before: []string{"EHLO [10.1.2.3]", "250", "EHLO mx.hayauma.test", "250"}, to: []string{"<user@victim.test>", foreign}},
		{name: "LMTP", door: "4", to: []string{"<user@victim.test>", foreign, "<user%victim.test@hayauma.test>", unknown, "<@hayauma.test:user@victim.test>", foreign, "<alice@hayauma.test>", taken}},
	}
}

// TestRelayTricks: whatever an address looks like, nobody without the right to it
// gets mail carried elsewhere, and what an alias leads to is the alias's alone to
// say.
func TestRelayTricks(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.Junk = 1000 })
	r.Account("info@bücher.test", 0)
	r.Account("owner@far.test", 0)
	r.Alias("*@far.test", "all@elsewhere.test")
	r.Alias("odd%victim.test@hayauma.test", "me@elsewhere.test")
	seen := map[mail.ID]bool{}
	for _, list := range [][]trick{rerouted(), named(), behindAliases(), borrowed()} {
		for _, tr := range list {
			t.Run(tr.name, func(t *testing.T) {
				tr.play(t, r)
				if got := newlyQueued(r, seen); got != tr.queued {
					t.Errorf("the queue waits to reach %q, want %q", got, tr.queued)
				}
			})
		}
	}
}

// play says it all, and sends a message to whoever was taken.
func (tr trick) play(t *testing.T, r *rig) {
	t.Helper()
	c := r.open(tr.door)
	defer func() { _ = c.conn.Close() }() // closed by the server perhaps
	hello := "EHLO client.test"
	if tr.door == "4" {
		hello = "LHLO client.test"
	}
	c.say(hello, "250")
	for i := 0; i < len(tr.before); i += 2 {
		c.say(tr.before[i], tr.before[i+1])
	}
	from, code, refused := strings.Cut(tr.from, "|")
	if from == "" {
		from = "<a@b.test>"
	}
	if refused {
		c.say("MAIL FROM:"+from, code)
		c.say("RCPT TO:<user@"+victim+">", "5")
		return
	}
	c.say("MAIL FROM:"+from, "250")
	accepted := 0
	for i := 0; i < len(tr.to); i += 2 {
		c.send("RCPT TO:" + tr.to[i] + "\r\n")
		got, err := c.reply()
		if err != nil || !strings.HasPrefix(got, tr.to[i+1]) {
			t.Errorf("RCPT TO:%s: %q, %v; want %s", tr.to[i], got, err, tr.to[i+1])
		}
		if strings.HasPrefix(got, "250") {
			accepted++
		}
	}
	if accepted == 0 {
		c.say("DATA", "503")
		return
	}
	c.say("DATA", "354")
	c.send("Subject: a trick\r\n\r\nx\r\n.\r\n")
	for range map[bool]int{true: accepted, false: 1}[tr.door == "4"] {
		c.expect("250")
	}
}

// newlyQueued is whom the messages that are not yet seen go to.
func newlyQueued(r *rig, seen map[mail.ID]bool) string {
	var out []string
	for _, m := range r.Queued() {
		if seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		for _, rcpt := range m.Recipients {
			out = append(out, fmt.Sprint(rcpt.Address))
		}
	}
	return strings.Join(out, " ")
}
