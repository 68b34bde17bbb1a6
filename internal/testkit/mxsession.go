package testkit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// errHangup ends a session on purpose.
var errHangup = errors.New("the script ends the connection")

// mxSession is one connection of a fake MX.
type mxSession struct {
	mx    *MX
	conn  net.Conn
	in    *bufio.Reader
	msg   MXMessage // Conn, Peer, TLS, Helo and Login live as long as the connection
	open  bool      // MAIL was accepted
	ended bool
}

func newMXSession(mx *MX, conn net.Conn, number int) *mxSession {
	peer, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // none = a connection in memory
	return &mxSession{mx: mx, conn: conn, in: bufio.NewReader(conn), msg: MXMessage{Conn: number, Peer: peer}}
}

// run ends at the first error: a client that leaves is what many tests do.
func (s *mxSession) run() {
	if _, err := s.reply("CONNECT", "", "220 "+s.mx.opts.Hostname+" ESMTP"); err != nil {
		return
	}
	for !s.ended {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mx.update(func() {
			s.mx.commands = append(s.mx.commands, MXCommand{Conn: s.msg.Conn, TLS: s.msg.TLS, Line: line})
		})
		verb, argument, _ := strings.Cut(line, " ")
		if err := s.command(strings.ToUpper(verb), argument); err != nil {
			return
		}
	}
}

func (s *mxSession) command(verb, argument string) error {
	switch verb {
	case "HELO", "EHLO", "LHLO":
		return s.hello(verb, argument)
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.auth(argument)
	case "MAIL":
		return s.mail(argument)
	case "RCPT":
		return s.rcpt(argument)
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(argument)
	case "RSET":
		s.reset()
		_, err := s.reply(verb, argument, "250 2.0.0 OK")
		return err
	case "NOOP":
		_, err := s.reply(verb, argument, "250 2.0.0 OK")
		return err
	case "QUIT":
		s.ended = true
		_, err := s.reply(verb, argument, "221 2.0.0 Bye")
		return err
	}
	_, err := s.reply(verb, argument, "500 5.5.1 Unknown command")
	return err
}

func (s *mxSession) hello(verb, argument string) error {
	s.reset()
	s.msg.Helo = argument
	lines := []string{s.mx.opts.Hostname}
	switch {
	case (verb == "LHLO") != s.mx.opts.LMTP:
		_, err := s.reply(verb, argument, "500 5.5.1 Unknown command")
		return err
	case verb != "HELO":
		lines = append(lines, s.mx.opts.Keywords...)
		if s.mx.opts.TLS != nil && !s.msg.TLS {
			lines = append(lines, "STARTTLS")
		}
		if s.mx.opts.Auth {
			lines = append(lines, "AUTH PLAIN LOGIN")
		}
	}
	var text strings.Builder
	for i, line := range lines {
		if i < len(lines)-1 {
			text.WriteString("250-" + line + "\n")
		} else {
			text.WriteString("250 " + line)
		}
	}
	_, err := s.reply(verb, argument, text.String())
	return err
}

func (s *mxSession) startTLS() error {
	if s.mx.opts.TLS == nil || s.msg.TLS {
		_, err := s.reply("STARTTLS", "", "502 5.5.1 Not available")
		return err
	}
	got, err := s.reply("STARTTLS", "", "220 2.0.0 Go ahead")
	if err != nil || !strings.HasPrefix(got, "2") {
		return err
	}
	// A command sent before the handshake must not count as protected.
	if s.in.Buffered() > 0 {
		return errHangup
	}
	secured := tls.Server(s.conn, s.mx.opts.TLS)
	if err := secured.HandshakeContext(context.Background()); err != nil {
		return err
	}
	s.mx.update(func() { s.mx.conns[s.conn] = secured })
	s.conn, s.in = secured, bufio.NewReader(secured)
	s.reset()
	s.msg.TLS, s.msg.Helo, s.msg.Login = true, "", ""
	return nil
}

func (s *mxSession) auth(argument string) error {
	mechanism, initial, _ := strings.Cut(argument, " ")
	login := ""
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if initial == "" {
			answer, err := s.ask("")
			if err != nil {
				return err
			}
			initial = answer
		}
		parts := strings.Split(decode64(initial), "\x00")
		if len(parts) == 3 {
			login = parts[1]
		}
	case "LOGIN":
		answer, err := s.ask("Username:")
		if err != nil {
			return err
		}
		if _, err := s.ask("Password:"); err != nil {
			return err
		}
		login = decode64(answer)
	default:
		proven, err := s.prove(mechanism, initial)
		if err != nil {
			return err
		}
		login = proven
	}
	polite := "235 2.7.0 Welcome"
	if login == "" || !s.mx.opts.Auth && s.mx.opts.SASL == nil {
		polite = "535 5.7.8 No"
	}
	got, err := s.reply("AUTH", argument, polite)
	if strings.HasPrefix(got, "235") {
		s.msg.Login = login
	}
	return err
}

// prove runs another mechanism and returns who is proven, if somebody is.
func (s *mxSession) prove(mechanism, initial string) (string, error) {
	if s.mx.opts.SASL == nil {
		return "", nil
	}
	server := *s.mx.opts.SASL
	if c, ok := s.conn.(*tls.Conn); ok && strings.HasSuffix(mechanism, "-PLUS") {
		state := c.ConnectionState()
		server.Binding = sasl.Bind(&state, nil)
	}
	run, ok := server.Begin(mechanism)
	if !ok {
		return "", nil
	}
	for answer := decode64(initial); ; {
		challenge, done, err := run.Next([]byte(answer))
		if err != nil {
			return "", nil //nolint:nilerr // it is refused
		}
		if done {
			return run.Claimed(), nil
		}
		line, err := s.ask(string(challenge))
		if err != nil {
			return "", err
		}
		answer = decode64(line)
	}
}

// ask sends a SASL challenge and returns the line that answers it.
func (s *mxSession) ask(challenge string) (string, error) {
	if _, err := io.WriteString(s.conn, "334 "+base64.StdEncoding.EncodeToString([]byte(challenge))+"\r\n"); err != nil {
		return "", err
	}
	line, err := s.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func decode64(text string) string {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(plain)
}

func (s *mxSession) mail(argument string) error {
	begun := time.Now()
	polite := "250 2.1.0 OK"
	address, params, ok := cutPath(argument, "FROM:")
	switch {
	case !ok:
		polite = "501 5.5.4 Syntax"
	case s.open:
		polite = "503 5.5.1 Nested MAIL"
	}
	got, err := s.reply("MAIL", argument, polite)
	if strings.HasPrefix(got, "2") {
		s.open, s.msg.From, s.msg.Params, s.msg.Begun = true, address, params, begun
	}
	return err
}

func (s *mxSession) rcpt(argument string) error {
	polite := "250 2.1.5 OK"
	address, params, ok := cutPath(argument, "TO:")
	switch {
	case !ok:
		polite = "501 5.5.4 Syntax"
	case !s.open:
		polite = "503 5.5.1 MAIL first"
	}
	got, err := s.reply("RCPT", argument, polite)
	if strings.HasPrefix(got, "2") {
		s.msg.Recipients = append(s.msg.Recipients, MXRecipient{Address: address, Params: params})
	}
	return err
}

// cutPath splits "FROM:<a@b> SIZE=1" into the address and the parameters.
func cutPath(argument, prefix string) (address string, params []string, ok bool) {
	if len(argument) < len(prefix) || !strings.EqualFold(argument[:len(prefix)], prefix) {
		return "", nil, false
	}
	path, found := strings.CutPrefix(argument[len(prefix):], "<")
	if !found {
		return "", nil, false
	}
	end := strings.LastIndexByte(path, '>')
	if end < 0 {
		return "", nil, false
	}
	return path[:end], strings.Fields(path[end+1:]), true
}

func (s *mxSession) data() error {
	polite := "354 Go on"
	if len(s.msg.Recipients) == 0 {
		polite = "554 5.5.1 No valid recipients"
	}
	got, err := s.reply("DATA", "", polite)
	if err != nil || !strings.HasPrefix(got, "3") {
		return err
	}
	if err := s.body(); err != nil {
		return err
	}
	return s.end()
}

// bdat takes a chunk, as it is (RFC 3030 §2).
func (s *mxSession) bdat(argument string) error {
	size, last, _ := strings.Cut(argument, " ")
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || last != "" && last != "LAST" {
		_, err := s.reply("BDAT", argument, "501 5.5.4 Syntax")
		return errors.Join(err, errHangup)
	}
	chunk := make([]byte, n)
	rest := chunk
	if rule := s.mx.rule("BODY", ""); rule.Command != "" {
		first := min(rule.After, n)
		if _, err := io.ReadFull(s.in, chunk[:first]); err != nil {
			return err
		}
		if err := s.interrupt(rule); err != nil {
			return err
		}
		rest = chunk[first:]
	}
	if _, err := io.ReadFull(s.in, rest); err != nil {
		return err
	}
	if len(s.msg.Recipients) == 0 {
		_, err := s.reply("BDAT", argument, "503 5.5.1 No valid recipients")
		return err
	}
	s.msg.Data = append(s.msg.Data, chunk...)
	if last != "" {
		s.msg.Chunked = true
		return s.end()
	}
	_, err = s.reply("BDAT", argument, "250 2.0.0 Taken")
	return err
}

// end answers the final dot: once, or with LMTP once for each recipient.
func (s *mxSession) end() error {
	answers := []string{""}
	if s.mx.opts.LMTP {
		answers = nil
		for _, to := range s.msg.Recipients {
			answers = append(answers, to.Address)
		}
	}
	for i, to := range answers {
		rule := s.mx.rule("END", to)
		text := rule.Reply
		if text == "" {
			text = "250 2.0.0 Taken"
		}
		silent := rule.Drop || rule.Stall
		if !silent {
			s.msg.Replies = append(s.msg.Replies, text)
		}
		// The record is made before the reply leaves: a test that saw the
		// reply finds the message here.
		if silent || i == len(answers)-1 {
			message := s.msg
			s.mx.update(func() { s.mx.messages = append(s.mx.messages, message) })
		}
		if err := s.act(rule, text); err != nil {
			return err
		}
	}
	s.reset()
	return nil
}

// body reads up to the final dot.
func (s *mxSession) body() error {
	rule := s.mx.rule("BODY", "")
	acts := rule.Command != ""
	var data bytes.Buffer
	for {
		if acts && data.Len() >= rule.After {
			acts = false
			if err := s.interrupt(rule); err != nil {
				return err
			}
		}
		line, err := s.in.ReadBytes('\n')
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" {
			s.msg.Data = data.Bytes()
			return nil
		}
		data.Write(bytes.TrimPrefix(line, []byte(".")))
	}
}

func (s *mxSession) reset() {
	s.open = false
	s.msg = MXMessage{Conn: s.msg.Conn, Peer: s.msg.Peer, TLS: s.msg.TLS, Helo: s.msg.Helo, Login: s.msg.Login}
}

// reply answers a command politely or as a rule says, and returns what it said.
func (s *mxSession) reply(command, argument, polite string) (string, error) {
	rule := s.mx.rule(command, argument)
	text := polite
	if rule.Reply != "" {
		text = rule.Reply
	}
	return text, s.act(rule, text)
}

func (s *mxSession) act(rule MXRule, text string) error {
	if err := s.pause(rule); err != nil {
		return err
	}
	wire := []byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n")
	step := len(wire)
	if rule.Trickle > 0 {
		step = 1
	}
	for len(wire) > 0 {
		if _, err := s.conn.Write(wire[:step]); err != nil {
			return err
		}
		wire = wire[step:]
		if err := s.wait(rule.Trickle); err != nil {
			return err
		}
	}
	if rule.Hangup {
		return errHangup
	}
	return nil
}

// interrupt does what a rule says in the middle of a message.
func (s *mxSession) interrupt(rule MXRule) error {
	if rule.Reply == "" {
		return s.pause(rule)
	}
	return s.act(rule, rule.Reply)
}

// pause does the part of a rule that comes before a reply.
func (s *mxSession) pause(rule MXRule) error {
	if err := s.wait(rule.Delay); err != nil {
		return err
	}
	if rule.Stall {
		<-s.mx.done
		return errHangup
	}
	if rule.Drop {
		return errHangup
	}
	return nil
}

// wait lasts d, or until the test ends.
func (s *mxSession) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.mx.done:
		return errHangup
	}
}
