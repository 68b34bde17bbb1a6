package smtpd_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/sasl"
	"github.com/hayauma/hayauma/test/stack"
)

// oracle says what a client says and knows from the octets alone which replies
// are due. It shares no code with the server.
type oracle struct {
	t    *testing.T
	f    *fuzzed
	door byte
	conn net.Conn
	in   *bufio.Reader

	bursts [][]byte // not yet said
	said   []byte   // said, and not yet accounted for
	over   bool     // all was said
	heard  []string // replies, for the report

	mail      bool // MAIL was taken
	accepted  int  // recipients
	chunks    int64
	mayRelay  bool // somebody logged in, or a front spoke
	challenge string
	scram     sasl.Client
	closing   bool // the last reply ends the session
	reset     bool // the connection: TCP lost what was not yet read
	mayClose  bool // the last reply may do so: nobody knows what is behind a BDAT that was garbled
}

// watch goes through the whole session.
func (o *oracle) watch() {
	o.in = bufio.NewReader(o.conn)
	o.mayRelay = o.door == '5' || o.door == 'P' // those whose address may be trusted
	if len(o.bursts) == 0 {
		o.say() // there may be half a PROXY header, and no more comes
	}
	if greeting, ok := o.reply(); !ok {
		if o.door != 'P' {
			o.t.Fatal("no greeting")
		}
		return
	} else if !strings.HasPrefix(greeting, "220 ") {
		o.t.Fatalf("greeting %q", greeting)
	}
	for !o.closing && o.command() {
	}
	o.end()
}

// fail tells what was heard until then.
func (o *oracle) fail(format string, args ...any) {
	o.t.Helper()
	o.t.Errorf("behind the replies %q: ", o.heard)
	o.t.Fatalf(format, args...)
}

// say sends the next burst; false = there is none.
func (o *oracle) say() bool {
	if len(o.bursts) == 0 {
		if !o.over {
			o.over = true
			_ = o.conn.(interface{ CloseWrite() error }).CloseWrite() // it may be closed already
		}
		return false
	}
	burst := o.bursts[0]
	o.bursts = o.bursts[1:]
	switch strings.ToUpper(string(bytes.TrimSpace(burst))) {
	case scramBegins, "!":
		burst = o.prove(burst)
	}
	_, _ = o.conn.Write(burst) // the server may have closed
	o.said = append(o.said, burst...)
	return true
}

// prove is what SCRAM says next.
func (o *oracle) prove(burst []byte) []byte {
	if len(bytes.TrimSpace(burst)) > 1 {
		o.scram, _ = sasl.NewClient("SCRAM-SHA-256", sasl.ClientCredentials{User: "alice@hayauma.test", Password: o.f.password})
		answer, _, err := o.scram.Next(nil)
		if err != nil {
			o.t.Fatal(err)
		}
		return []byte("AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString(answer) + "\r\n")
	}
	challenge, err := base64.StdEncoding.DecodeString(o.challenge)
	if err != nil || o.scram == nil {
		return burst
	}
	answer, _, err := o.scram.Next(challenge)
	if err != nil {
		return burst // a challenge of another mechanism
	}
	if len(answer) == 0 {
		return []byte("=\r\n")
	}
	return []byte(base64.StdEncoding.EncodeToString(answer) + "\r\n")
}

// line is the next line that was said, with its LF; false = none is whole.
func (o *oracle) line() (string, bool) {
	for {
		if i := bytes.IndexByte(o.said, '\n'); i >= 0 {
			line := string(o.said[:i+1])
			o.said = o.said[i+1:]
			return line, true
		}
		if !o.say() {
			return "", false
		}
	}
}

// handshakes tells whether what comes next looks like a TLS record.
func (o *oracle) handshakes() bool {
	for len(o.said) < 2 && o.say() {
	}
	return len(o.said) > 1 && o.said[0] == 0x16 && o.said[1] == 3
}

// command takes one line and its reply; false = there is no more.
func (o *oracle) command() bool {
	if o.handshakes() {
		if r := o.due(); !strings.HasPrefix(r, "421 ") {
			o.fail("a handshake heard %q", r)
		}
		return false
	}
	line, whole := o.line()
	if !whole {
		return false
	}
	verb := strings.ToUpper(strings.TrimRight(line, " \t\r\n"))
	verb, arg, _ := strings.Cut(verb, " ")
	if verb == "BDAT" && o.wellFormed(line) {
		if size, last, ok := chunkSize(arg); ok {
			o.chunk(size, last)
			return !o.closing
		}
	}
	r := o.due()
	o.mayClose = strings.HasPrefix(verb, "BDAT") && r[0] == '5'
	o.learn(verb, line, r)
	return !o.closing
}

// wellFormed tells whether a line is a command's at all.
func (o *oracle) wellFormed(line string) bool {
	body, ok := strings.CutSuffix(line, "\r\n")
	return ok && len(line) <= 12288 && strings.IndexFunc(body, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

var chunkArgument = regexp.MustCompile(`^ *([0-9]{1,19})( +LAST)?[ \t]*$`)

func chunkSize(arg string) (n int64, last, ok bool) {
	m := chunkArgument.FindStringSubmatch(arg)
	if m == nil {
		return 0, false, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n, m[2] != "", err == nil
}

// learn keeps in mind what a reply means for those to come.
func (o *oracle) learn(verb, line, r string) {
	code := r[:3]
	switch {
	case code == "354":
		o.content()
	case code == "334":
		o.answers(r)
	case verb == "STARTTLS" && code == "220":
		o.upgrade()
	case verb == "XCLIENT" && code == "220":
		o.mail, o.accepted, o.mayRelay = false, 0, true
	case verb == "MAIL" && code == "250":
		o.mail, o.accepted, o.chunks = true, 0, 0
	case verb == "RCPT" && code == "250":
		if !o.mail {
			o.fail("RCPT was taken without MAIL")
		}
		o.accepted++
		o.ours(line)
	case (verb == "RSET" || verb == "EHLO" || verb == "HELO" || verb == "LHLO") && code == "250":
		o.mail, o.accepted = false, 0
	case code == "235":
		o.mayRelay = true
	case strings.Contains(r, "Accepted"):
		o.fail("%q took a message: %q", line, r)
	}
}

var (
	forwardPath    = regexp.MustCompile(`(?is)^rcpt +to: *<(?:@[^:]*:)?((?:"(?:\\.|[^"\\])*"|[^"@<>])*)@([^>]*)>`)
	barePostmaster = regexp.MustCompile(`(?i)^rcpt +to: *<postmaster>`)
)

// ours complains of a recipient elsewhere that a stranger gave.
func (o *oracle) ours(line string) {
	m := forwardPath.FindStringSubmatch(line)
	if o.mayRelay || m == nil && barePostmaster.MatchString(line) {
		return
	}
	if m == nil {
		o.fail("%q was taken, which is no path", line)
	}
	switch domain := strings.TrimSuffix(strings.ToLower(m[2]), "."); {
	case domain == "hayauma.test", domain == "catch.test", strings.EqualFold(m[1], "postmaster") && domain[0] == '[':
	case strings.IndexFunc(domain, func(r rune) bool { return r > 0x7f }) >= 0: // another form of ours perhaps
	default:
		o.fail("%q was taken from a stranger", line)
	}
}

// answers follows a login to its end.
func (o *oracle) answers(r string) {
	for strings.HasPrefix(r, "334") {
		o.challenge = strings.TrimPrefix(r, "334 ")
		if o.handshakes() {
			o.learn("", "", o.due())
			o.closing = true
			return
		}
		if _, whole := o.line(); !whole {
			return
		}
		r = o.due()
	}
	o.challenge = ""
	if strings.HasPrefix(r, "235") {
		o.mayRelay = true
	}
}

// upgrade goes on over TLS.
func (o *oracle) upgrade() {
	o.said = nil // what came in clear is not to count
	t := tls.Client(o.conn, o.f.ca.ClientConfig(stack.Hostname))
	if err := t.Handshake(); err != nil {
		o.fail("handshake: %v", err)
	}
	o.conn, o.in = t, bufio.NewReader(t)
	o.mail, o.accepted = false, 0
}

// content takes what is behind DATA.
func (o *oracle) content() {
	if !o.mail || o.accepted == 0 {
		o.fail("DATA without MAIL and RCPT")
	}
	for {
		// The end may be the first line.
		if i := bytes.Index(append([]byte("\r\n"), o.said...), []byte("\r\n.\r\n")); i >= 0 {
			o.said = o.said[i+3:]
			o.outcomes(true)
			return
		}
		if !o.say() {
			break
		}
	}
	o.said = nil
	if r := o.due(); !strings.HasPrefix(r, "421 ") {
		o.fail("a message without an end: %q", r)
	}
	o.closing = true
}

// chunk takes the octets behind BDAT, and its replies.
func (o *oracle) chunk(size int64, last bool) {
	for int64(len(o.said)) < size && o.say() {
	}
	if int64(len(o.said)) < size {
		// It will not come: a farewell, or none, or that it is too large anyway.
		o.said = nil
		if r, ok := o.reply(); ok && r[0] < '4' {
			o.fail("a chunk that did not come: %q", r)
		}
		o.closing = true
		return
	}
	o.said = o.said[size:]
	if last && o.mail && o.accepted > 0 {
		o.outcomes(false)
		return
	}
	r := o.due()
	switch {
	case r[:3] == "250" && (!o.mail || o.accepted == 0 || last):
		o.fail("a chunk without MAIL and RCPT: %q", r)
	case r[:3] != "250" && o.accepted > 0:
		o.mail, o.accepted = false, 0
	}
}

// outcomes are the replies to a whole message: one, or LMTP's for each recipient.
func (o *oracle) outcomes(data bool) {
	n := 1
	if o.door == '4' {
		n = o.accepted
	}
	for i := range n {
		r := o.due()
		if r[:3] == "250" && !strings.HasPrefix(r, "250 2.0.0 Accepted as ") {
			o.fail("outcome %q", r)
		}
		if i == 0 && !data && strings.HasPrefix(r, "421 4.7.0") {
			break // too many errors, behind it
		}
	}
	o.mail, o.accepted = false, 0
}

// due is a reply that has to come.
func (o *oracle) due() string {
	o.t.Helper()
	mayClose := o.mayClose
	r, ok := o.reply()
	if !ok && (mayClose || o.reset) {
		o.closing = true
		return "421 4.4.2 it is gone"
	}
	if !ok {
		o.fail("the session ended without a reply")
	}
	return r
}

// reply reads one whole reply and looks at its form.
func (o *oracle) reply() (string, bool) {
	o.t.Helper()
	var first string
	for {
		line, err := o.in.ReadString('\n')
		if err != nil {
			if line != "" || first != "" || !errors.Is(err, io.EOF) && !isReset(err) {
				o.fail("heard %q, then %v", line, err)
			}
			o.reset = isReset(err)
			return "", false
		}
		o.form(line)
		if first == "" {
			first = line
		} else if first[:3] != line[:3] {
			o.fail("one reply of two codes: %q, %q", first, line)
		}
		if line[3] == ' ' {
			break
		}
	}
	first = strings.TrimSuffix(first, "\r\n")
	o.heard = append(o.heard, first)
	o.closing, o.mayClose = first[:3] == "421" || first[:3] == "221", false
	return first, true
}

func isReset(err error) bool {
	_, is := errors.AsType[*net.OpError](err)
	return is && !errors.Is(err, io.ErrUnexpectedEOF) && strings.Contains(err.Error(), "reset")
}

var (
	replyLine    = regexp.MustCompile(`^[2345][0-5]\d[ -][ -~]*\r\n$`)
	enhancedLine = regexp.MustCompile(`^([245])\d\d[ -]([245])\.\d{1,3}\.\d{1,3} [ -~]+\r\n$`)
)

// form looks at one line of a reply.
func (o *oracle) form(line string) {
	o.t.Helper()
	longest := 512
	if strings.HasPrefix(line, "334 ") {
		longest = 12288 // RFC 4954 §4
	}
	if !replyLine.MatchString(line) || len(line) > longest {
		o.fail("no reply: %q", line)
	}
	switch line[:3] {
	case "220", "250", "334", "354":
		// Greetings, what EHLO tells, and replies of a third class have none
		// (RFC 2034 §3); where one is, its class is the code's.
		if m := enhancedLine.FindStringSubmatch(line); m != nil && m[1] != m[2] {
			o.fail("one class and another: %q", line)
		}
	default:
		if m := enhancedLine.FindStringSubmatch(line); m == nil || m[1] != m[2] {
			o.fail("no enhanced code of its class: %q", line)
		}
	}
}

// end sees that nothing more is heard.
func (o *oracle) end() {
	if !o.closing && o.say() {
		o.fail("not all was said")
	}
	if !o.over {
		o.over = true
		_ = o.conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	r, more := o.reply()
	if more && !strings.HasPrefix(r, "421 4.7.0 Too many errors") && !strings.HasPrefix(r, "421 4.4.2 ") {
		o.fail("one reply more: %q", r)
	}
	if more {
		if r, more := o.reply(); more {
			o.fail("one reply more: %q", r)
		}
	}
}
