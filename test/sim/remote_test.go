package sim

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// temper is how a host behaves; chances are in thousandths.
type temper struct {
	name     string
	refuses  bool          // connections
	hangs    bool          // dials never end
	delay    time.Duration // before a reply, at most
	greylist bool
	after    int // 421 after so many messages on a connection; 0 = never
	silent   int // a command is never answered, and nothing is read any more
	drop     int // the connection ends instead of a reply
	dropDot  int // the same behind the final dot, the message taken or not
	tls      int // STARTTLS is offered and ends badly
	lies     bool
	rcpt4    int
	rcpt5    int
	data4    int
	data5    int
	mail4    int
	mail5    int
	garbage  int
	chop     int // a reply comes in two parts
	down     bool
}

// host is a remote mail server.
type host struct {
	temper
	name     string
	keywords []string
	most     int // recipients of a transaction, 0 = any number
	size     int64
	seen     map[string]time.Time // greylisted recipients, when they came first
}

// session is one connection as the host sees it. It is driven by the loop alone.
type session struct {
	h *host
	c *conn

	started   bool
	ended     bool
	mute      bool // reads, maybe, and says nothing any more
	handshake bool
	served    int

	open     bool // MAIL was taken
	accepted []string
	scope    []string // recipients that were named
	data     bool
	body     []byte
	chunk    int // octets of a chunk still to come
	last     bool

	replies []reply
	sent    int // octets that went to the client
}

// reply is what is still to be said.
type reply struct {
	at   time.Time
	text string
	end  bool // the connection ends behind it
	note func(end int)
}

func newSession(h *host, c *conn) *session { return &session{h: h, c: c} }

// pending tells whether the session can go on now, and else when.
func (s *session) pending(now time.Time) (ready bool, at time.Time) {
	if s.ended {
		return false, at
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if len(s.replies) > 0 {
		return !now.Before(s.replies[0].at), s.replies[0].at
	}
	if s.c.reset {
		return true, at
	}
	return !s.started || !s.mute && len(s.c.up) > 0 && s.complete() || s.c.closed && !s.waits(), at
}

// waits tells whether there is input to deal with. c.mu is held.
func (s *session) waits() bool { return !s.mute && len(s.c.up) > 0 && s.complete() }

// complete tells whether what came can be dealt with. c.mu is held.
func (s *session) complete() bool {
	switch {
	case s.handshake, s.chunk > 0, s.data:
		return true
	}
	return bytes.IndexByte(s.c.up, '\n') >= 0
}

// step lets the session do one thing.
func (s *session) step() {
	w := s.c.w
	switch {
	case s.c.reset:
		s.ended = true
	case len(s.replies) > 0:
		s.say()
	case !s.started:
		s.started = true
		s.answer(220, s.h.name+" ESMTP", s.h.down)
	default:
		s.c.mu.Lock()
		over := s.c.closed && !s.waits()
		s.c.mu.Unlock()
		if over {
			s.ended = true
			w.trace("%s ends", s.c.name)
			return
		}
		s.take()
	}
}

// say sends the reply that is due.
func (s *session) say() {
	r := s.replies[0]
	s.replies = s.replies[1:]
	s.c.mu.Lock()
	if !s.c.closed {
		s.c.down = append(s.c.down, r.text...)
	}
	s.sent += len(r.text)
	if r.note != nil {
		r.note(s.sent)
	}
	if r.end {
		s.c.gone, s.ended = true, true
	}
	s.c.changed.Broadcast()
	s.c.mu.Unlock()
	s.c.w.trace("%s says %q%s", s.c.name, brief(r.text), map[bool]string{true: " and leaves"}[r.end])
}

func brief(text string) string {
	text = strings.TrimRight(text, "\r\n")
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return text[:min(len(text), 60)]
}

// lines of the input, one taken off; ok = false if there is none.
func (s *session) line() (string, bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	i := bytes.IndexByte(s.c.up, '\n')
	if i < 0 {
		return "", false
	}
	line := strings.TrimRight(string(s.c.up[:i]), "\r")
	s.c.up = s.c.up[i+1:]
	s.c.changed.Broadcast()
	return line, true
}

// swallow takes up to n octets of the input, all of it if n is 0.
func (s *session) swallow(n int) []byte {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if n == 0 || n > len(s.c.up) {
		n = len(s.c.up)
	}
	out := s.c.up[:n:n]
	s.c.up = s.c.up[n:]
	s.c.changed.Broadcast()
	return out
}

func (s *session) take() {
	switch {
	case s.handshake:
		s.brokenTLS()
	case s.chunk > 0:
		part := s.swallow(s.chunk)
		s.body = append(s.body, part...)
		if s.chunk -= len(part); s.chunk == 0 {
			s.chunkEnd()
		}
	case s.data:
		s.content()
	default:
		if line, ok := s.line(); ok {
			s.command(line)
		}
	}
}

// answer replies to a command, or does what the temper has it do instead.
func (s *session) answer(code int, text string, end bool) {
	w, t := s.c.w, &s.h.temper
	w.replies++
	number := w.replies
	if code/100 == 2 || code/100 == 3 || code == 421 {
		switch {
		case w.chance(t.silent):
			s.mute = true
			w.trace("%s falls silent", s.c.name)
			return
		case w.chance(t.drop):
			s.replies = append(s.replies, reply{at: s.when(), end: true})
			return
		case w.chance(t.garbage):
			s.replies = append(s.replies, reply{at: s.when(), text: "what?\r\n"})
			return
		}
	}
	w.said[number] = said{code: code, host: s.h.name, to: append([]string(nil), s.scope...)}
	s.put(fmt.Sprintf("%d %s #%d\r\n", code, text, number), end, nil)
}

// put sends a text, in parts maybe.
func (s *session) put(text string, end bool, note func(int)) {
	at := s.when()
	if s.c.w.chance(s.h.chop) && len(text) > 4 {
		cut := 1 + s.c.w.rng.IntN(len(text)-2)
		s.replies = append(s.replies, reply{at: at, text: text[:cut]})
		at, text = at.Add(time.Duration(s.c.w.rng.IntN(2000))*time.Millisecond), text[cut:]
	}
	s.replies = append(s.replies, reply{at: at, text: text, end: end, note: note})
}

// when is when the next reply goes out.
func (s *session) when() time.Time {
	at := time.Now()
	if s.h.delay > 0 {
		at = at.Add(time.Duration(s.c.w.rng.Int64N(int64(s.h.delay))))
	}
	return at
}

func (s *session) command(line string) {
	verb, argument, _ := strings.Cut(line, " ")
	s.c.w.trace("%s hears %s", s.c.name, brief(line))
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.hello()
	case "HELO":
		s.answer(250, s.h.name, false)
	case "STARTTLS":
		s.handshake = true
		s.answer(220, "2.0.0 go on", false)
	case "MAIL":
		s.mail(argument)
	case "RCPT":
		s.rcpt(argument)
	case "DATA":
		if len(s.accepted) == 0 {
			s.answer(503, "5.5.1 nobody wants it", false)
			return
		}
		s.answer(354, "go on", false)
		s.data = !s.mute && !s.leaves()
		s.body = nil
	case "BDAT":
		size, rest, _ := strings.Cut(argument, " ")
		s.chunk, _ = strconv.Atoi(size)
		s.last = rest == "LAST"
		if s.body = nil; s.chunk == 0 {
			s.chunkEnd()
		}
	case "RSET":
		s.forget()
		s.answer(250, "2.0.0 forgotten", false)
	case "QUIT":
		s.answer(221, "2.0.0 bye", true)
	default:
		s.answer(500, "5.5.1 what?", false)
	}
}

// leaves tells whether the reply just given ends the connection.
func (s *session) leaves() bool { return len(s.replies) > 0 && s.replies[len(s.replies)-1].end }

func (s *session) forget() { s.open, s.accepted, s.scope, s.data, s.body = false, nil, nil, false, nil }

func (s *session) hello() {
	w := s.c.w
	s.forget()
	words := append([]string{s.h.name}, s.h.keywords...)
	if w.chance(s.h.tls) {
		words = append(words, "STARTTLS")
	}
	if s.h.size > 0 {
		words = append(words, fmt.Sprintf("SIZE %d", s.h.size))
	}
	text := ""
	for i, word := range words {
		mark := "-"
		if i == len(words)-1 {
			mark = " "
		}
		text += "250" + mark + word + "\r\n"
	}
	s.put(text, false, nil)
}

// brokenTLS ends a handshake in one of the ways in which it goes wrong.
func (s *session) brokenTLS() {
	s.swallow(0)
	s.handshake = false
	switch s.c.w.rng.IntN(4) {
	case 0:
		s.put("\x15\x03\x01\x00\x02\x02\x28", true, nil) // fatal alert: handshake failure
	case 1:
		s.put("", true, nil)
	case 2:
		s.put("500 5.5.1 what is that?\r\n", true, nil)
	default:
		s.mute = true
	}
}

func (s *session) mail(argument string) {
	w, t := s.c.w, &s.h.temper
	switch {
	case t.after > 0 && s.served >= t.after:
		s.answer(421, "4.7.0 enough for now", true)
	case w.chance(t.mail4):
		s.answer(451, "4.3.2 not now", false)
	case w.chance(t.mail5):
		s.answer(550, "5.7.1 not from you", false)
	case t.lies && strings.Contains(argument, "SIZE="):
		s.answer(552, "5.3.4 too big after all", false)
	default:
		s.forget()
		s.open = true
		s.answer(250, "2.1.0 sender", false)
	}
}

func (s *session) rcpt(argument string) {
	w, t := s.c.w, &s.h.temper
	address, _, _ := strings.Cut(strings.TrimPrefix(argument, "TO:<"), ">")
	if !s.open {
		s.answer(503, "5.5.1 MAIL first", false)
		return
	}
	all := s.scope
	s.scope = []string{address}
	first, known := s.h.seen[address]
	switch {
	case w.chance(t.rcpt4):
		s.answer(450, "4.2.1 mailbox busy", false)
	case w.chance(t.rcpt5):
		s.answer(550, "5.1.1 no such user", false)
	case s.h.most > 0 && len(s.accepted) >= s.h.most:
		s.answer(452, "4.5.3 too many recipients", false)
	case t.greylist && (!known || time.Since(first) < 5*time.Minute):
		if !known {
			s.h.seen[address] = time.Now()
		}
		s.answer(451, "4.7.1 greylisted, come back in 5 minutes", false)
	default:
		s.accepted = append(s.accepted, address)
		s.answer(250, "2.1.5 recipient", false)
	}
	s.scope = append(all, address)
}

// content takes what came of a message, up to the final dot.
func (s *session) content() {
	s.c.mu.Lock()
	s.body = append(s.body, s.c.up...)
	s.c.up = nil
	s.c.changed.Broadcast()
	s.c.mu.Unlock()
	end, size := bytes.Index(s.body, []byte("\r\n.\r\n")), 5
	if bytes.HasPrefix(s.body, []byte(".\r\n")) {
		end, size = -2, 5
	}
	if end == -1 {
		return
	}
	rest := s.body[end+size:]
	text := s.body[:end+2]
	s.c.mu.Lock()
	s.c.up = append([]byte(nil), rest...)
	s.c.mu.Unlock()
	text = bytes.ReplaceAll(append([]byte("\r\n"), text...), []byte("\r\n."), []byte("\r\n"))[2:]
	s.finish(text)
}

func (s *session) chunkEnd() {
	if !s.last || len(s.accepted) == 0 {
		s.answer(503, "5.5.1 out of step", true)
		return
	}
	s.finish(s.body)
}

// finish decides about a message that is there whole.
func (s *session) finish(text []byte) {
	w, t := s.c.w, &s.h.temper
	to := s.accepted
	s.scope = to
	s.data = false
	s.served++
	switch {
	case w.chance(t.data4):
		s.answer(452, "4.3.1 no space left", false)
	case w.chance(t.data5):
		s.answer(554, "5.6.0 not this", false)
	case w.chance(t.dropDot):
		if w.rng.IntN(2) == 0 {
			w.taken(s, to, text, 0)
		}
		s.replies = append(s.replies, reply{at: s.when(), end: true})
	case w.chance(t.silent):
		w.taken(s, to, text, 0)
		s.mute = true
	default:
		w.replies++
		number := w.replies
		w.said[number] = said{code: 250, host: s.h.name, to: to, content: true}
		all := w.taken(s, to, text, number)
		s.put(fmt.Sprintf("250 2.0.0 taken #%d\r\n", number), false, func(end int) {
			for _, a := range all {
				a.end = end
			}
		})
	}
	s.forget()
}
