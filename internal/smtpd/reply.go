package smtpd

import (
	"context"
	"strconv"

	"github.com/hayauma/hayauma/internal/mail"
)

// reply is what a command leads to. Handlers return it and write nothing.
type reply struct {
	code     int
	enhanced string // "2.1.0", empty for greetings, EHLO and 3xx (RFC 2034 §3)
	lines    []string
	close    bool // the session ends behind it
	junk     bool // the command brought no message nearer, though it did not fail
	// then reads on behind a 334 or 354 and gives the next reply.
	then func(context.Context) reply
	// each are further replies of their own: LMTP's, one per recipient.
	each []reply
}

func ok(code int, enhanced, text string) reply {
	return reply{code: code, enhanced: enhanced, lines: []string{text}}
}

func refuse(f *mail.Fault) reply {
	return reply{code: f.Code(), enhanced: f.Enhanced(), lines: []string{f.Public}}
}

// failed tells whether the command did not do what it was asked for.
func (r reply) failed() bool { return r.code >= 400 }

// maxReply is how long a line of a reply may be (RFC 5321 §4.5.3.1.5), and
// maxChallenge one of a login (RFC 4954 §4), in octets with CRLF.
const maxReply, maxChallenge = 512, 12288

// append writes the reply's lines (RFC 5321 §4.2.1). What a text took from a peer
// or a name, letters beyond ASCII or great length, does not get through.
func (r reply) append(b []byte) []byte {
	longest := maxReply
	if r.code == 334 {
		longest = maxChallenge
	}
	for i, line := range r.lines {
		start := len(b)
		b = strconv.AppendInt(b, int64(r.code), 10)
		if i < len(r.lines)-1 {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if r.enhanced != "" {
			b = append(append(b, r.enhanced...), ' ')
		}
		for j := 0; j < len(line) && len(b)-start < longest-2; j++ {
			b = append(b, printable(line[j]))
		}
		b = append(b, "\r\n"...)
	}
	for _, e := range r.each {
		b = e.append(b)
	}
	return b
}

func printable(c byte) byte {
	if c < ' ' || c > '~' {
		return '?'
	}
	return c
}
