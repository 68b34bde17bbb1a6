package smtpd

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// maxHelo bounds what a peer may call itself (RFC 5321 §4.5.3.1.2).
const maxHelo = 255

// ehlo serves EHLO and LMTP's LHLO (RFC 5321 §4.1.1.1, RFC 2033 §4.1).
func ehlo(ctx context.Context, s *session, arg string) reply {
	r := s.hello(ctx, arg, true)
	if !r.failed() {
		r.lines = append(r.lines, s.extensions(ctx)...)
	}
	return r
}

func helo(ctx context.Context, s *session, arg string) reply { return s.hello(ctx, arg, false) }

func (s *session) hello(ctx context.Context, arg string, extended bool) reply {
	if s.early() {
		return s.farewell(ctx, errEarly)
	}
	if arg == "" || len(arg) > maxHelo {
		return refuse(mail.Final(mail.BadArguments, "Say who you are: a host name or an address literal"))
	}
	s.drop()
	s.helo, s.extended = arg, extended
	return reply{code: 250, lines: []string{s.settings().Hostname}}
}

// extensions are announced only where the whole system honours them.
func (s *session) extensions(ctx context.Context) []string {
	set := s.settings()
	out := []string{
		"PIPELINING", "SIZE " + strconv.FormatInt(set.MessageSize, 10), "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING", "DSN", "DELIVERBY", "MT-PRIORITY MIXER",
	}
	if n := set.Recipients; n > 0 && n <= maxLimit {
		out = append(out, "LIMITS RCPTMAX="+strconv.Itoa(n))
	}
	if s.door == mail.DoorSubmission {
		until := time.Now().Add(maxHold).UTC().Format(time.RFC3339)
		out = append(out, fmt.Sprintf("FUTURERELEASE %d %s", int(maxHold.Seconds()), until))
	}
	if s.tls != "" {
		out = append(out, "REQUIRETLS")
	}
	if s.mayFront() {
		out = append(out, "XCLIENT "+xclientAttributes, "XFORWARD "+xforwardAttributes)
	}
	if s.tls == "" && s.srv.o.TLS != nil {
		out = append(out, "STARTTLS")
	}
	if s.mayAuth() {
		out = append(out, "AUTH "+strings.Join(s.srv.o.Gate.Mechanisms(ctx, s.attempt()), " "))
	}
	return out
}

// maxLimit is the largest number that LIMITS can tell (RFC 9422 §3).
const maxLimit = 999_999

// mayAuth tells whether a password may be sent on this connection.
func (s *session) mayAuth() bool {
	return s.door == mail.DoorSubmission && s.account.ID == 0 && (s.tls != "" || s.settings().AllowCleartext)
}
