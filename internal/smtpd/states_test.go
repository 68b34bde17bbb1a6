package smtpd_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/hayauma/hayauma/test/stack"
)

var plainAlice = base64.StdEncoding.EncodeToString([]byte("\x00alice@hayauma.test\x00" + stack.Password))

// states are the ways to a state of a session, by name.
var states = map[string][]string{
	"fresh":   nil,
	"greeted": {"%s client.test"},
	"authed":  {"%s client.test", "AUTH PLAIN " + plainAlice},
	"inTx":    {"%s client.test", "AUTH PLAIN " + plainAlice, "MAIL FROM:<alice@hayauma.test>"},
	"hasRcpt": {"%s client.test", "AUTH PLAIN " + plainAlice, "MAIL FROM:<alice@hayauma.test>", "RCPT TO:<bob@hayauma.test>"},
}

// Every command in every state at every door has its code.
func TestStatesAndCommands(t *testing.T) {
	t.Parallel()
	arguments := map[string]string{
		"EHLO": " client.test", "HELO": " client.test", "LHLO": " client.test",
		"MAIL": " FROM:<alice@hayauma.test>", "RCPT": " TO:<bob@hayauma.test>", "VRFY": " bob",
		"AUTH": " PLAIN " + plainAlice, "BDAT": " 0 LAST",
	}
	tests := []struct {
		name, door, hello string
		authed            bool
		states            []string
		codes             map[string][]string
	}{
		{"smtp", "1", "EHLO", false, []string{"fresh", "greeted", "inTx", "hasRcpt"}, map[string][]string{
			"EHLO": {"250", "250", "250", "250"}, "HELO": {"250", "250", "250", "250"}, "LHLO": {"500", "500", "500", "500"},
			"MAIL": {"503", "250", "503", "503"}, "RCPT": {"503", "503", "250", "250"}, "DATA": {"503", "503", "503", "354"},
			"RSET": {"250", "250", "250", "250"}, "NOOP": {"250", "250", "250", "250"}, "QUIT": {"221", "221", "221", "221"},
			"VRFY": {"252", "252", "252", "252"}, "HELP": {"214", "214", "214", "214"}, "STARTTLS": {"220", "220", "503", "503"},
			"AUTH": {"500", "500", "500", "500"}, "BDAT": {"503", "503", "503", "250"}, "XYZZY": {"500", "500", "500", "500"},
		}},
		{"submission in clear", "2", "EHLO", false, []string{"fresh", "greeted"}, map[string][]string{
			"EHLO": {"250", "250"}, "HELO": {"250", "250"}, "LHLO": {"500", "500"},
			"MAIL": {"503", "530"}, "RCPT": {"503", "530"}, "DATA": {"503", "530"},
			"RSET": {"250", "250"}, "NOOP": {"250", "250"}, "QUIT": {"221", "221"},
			"VRFY": {"252", "252"}, "HELP": {"214", "214"}, "STARTTLS": {"220", "220"},
			"AUTH": {"503", "538"}, "BDAT": {"503", "530"}, "XYZZY": {"500", "500"},
		}},
		{"submission in TLS", "3", "EHLO", true, []string{"fresh", "greeted", "authed", "inTx", "hasRcpt"}, map[string][]string{
			"EHLO": {"250", "250", "250", "250", "250"}, "HELO": {"250", "250", "250", "250", "250"}, "LHLO": {"500", "500", "500", "500", "500"},
			"MAIL": {"503", "530", "250", "503", "503"}, "RCPT": {"503", "530", "503", "250", "250"}, "DATA": {"503", "530", "503", "503", "354"},
			"RSET": {"250", "250", "250", "250", "250"}, "NOOP": {"250", "250", "250", "250", "250"}, "QUIT": {"221", "221", "221", "221", "221"},
			"VRFY": {"252", "252", "252", "252", "252"}, "HELP": {"214", "214", "214", "214", "214"}, "STARTTLS": {"503", "503", "503", "503", "503"},
			"AUTH": {"503", "235", "503", "503", "503"}, "BDAT": {"503", "530", "503", "503", "250"}, "XYZZY": {"500", "500", "500", "500", "500"},
		}},
		{"lmtp", "4", "LHLO", false, []string{"fresh", "greeted", "inTx", "hasRcpt"}, map[string][]string{
			"EHLO": {"500", "500", "500", "500"}, "HELO": {"500", "500", "500", "500"}, "LHLO": {"250", "250", "250", "250"},
			"MAIL": {"503", "250", "503", "503"}, "RCPT": {"503", "503", "250", "250"}, "DATA": {"503", "503", "503", "354"},
			"RSET": {"250", "250", "250", "250"}, "NOOP": {"250", "250", "250", "250"}, "QUIT": {"221", "221", "221", "221"},
			"VRFY": {"252", "252", "252", "252"}, "HELP": {"214", "214", "214", "214"}, "STARTTLS": {"220", "220", "503", "503"},
			"AUTH": {"500", "500", "500", "500"}, "BDAT": {"503", "503", "503", "250"}, "XYZZY": {"500", "500", "500", "500"},
		}},
	}
	r := newRig(t, stack.Options{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for verb, codes := range test.codes {
				for i, state := range test.states {
					c := r.open(test.door)
					for _, step := range states[state] {
						switch {
						case step == states["greeted"][0]:
							c.say(fmt.Sprintf(step, test.hello), "250")
						case step != states["authed"][1]:
							c.say(step, "250")
						case test.authed:
							c.say(step, "235")
						}
					}
					c.send(verb + arguments[verb] + "\r\n")
					got, err := c.reply()
					if err != nil || got[:3] != codes[i] {
						t.Errorf("%s when %s: %q, %v; want %s", verb, state, got, err, codes[i])
					}
					_ = c.conn.Close() // the server may have closed it
				}
			}
		})
	}
}
