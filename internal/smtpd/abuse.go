package smtpd

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// errEarly says that a peer spoke before it was its turn, as only those do who
// do not listen (RFC 5321 §3.1, RFC 2920 §3.1).
var errEarly = errors.New("the peer spoke before its turn")

// listenFirst waits before the greeting.
func (s *session) listenFirst(d time.Duration) error {
	s.conn.expectLine(d, time.Now().Add(d))
	err := s.in.ReadAhead()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !s.conn.stopping():
		return nil
	case err == nil:
		return errEarly
	}
	return err
}

// early tells whether the peer goes on although it has to wait for a reply, where that is
// looked at.
func (s *session) early() bool {
	return s.settings().GreetingDelay > 0 && s.door == mail.DoorSMTP && s.conn.ahead(s.in) > 0
}

// tooMuchJunk counts since the last accepted message.
func (s *session) tooMuchJunk(r reply) bool {
	if r.enhanced == tooManyRecipients {
		s.overshoot++
	}
	if r.junk || r.failed() && (r.enhanced != tooManyRecipients || s.overshoot > maxOvershoot) {
		s.junk++
	}
	return s.junk >= s.settings().Junk
}

// tooManyRecipients is an answer that honest hosts get in great number, those that
// send all of a message's recipients before they read: maxOvershoot of them.
const (
	tooManyRecipients = "4.5.3"
	maxOvershoot      = 1000
)

// fruitless is how long a session may go on without a message. It ends those that
// send what is no junk, a recipient at a time, for as long as each is waited for, or a
// content that is refused, for as long as its octets last.
const fruitless = 2 * time.Hour

// givesUp is when a session without a message ends.
func (s *session) givesUp() time.Time { return s.fruit.Add(fruitless) }

// patience is until when the next command has to be here.
func (s *session) patience() time.Time {
	if s.tx != nil && s.tx.chunks != nil {
		return s.conn.contentEnds()
	}
	return s.givesUp()
}

const (
	// patient is how many refusals are not slowed down.
	patient = 10
	// maxTarpit is how long one refusal takes at the most.
	maxTarpit = 10 * time.Second
)

// hesitate lets a peer that is refused again and again wait ever longer.
func (s *session) hesitate(ctx context.Context, r reply) {
	step := s.settings().Tarpit
	if !r.failed() || s.junk < patient || step <= 0 {
		return
	}
	pause(ctx, min(time.Duration(s.junk-patient+1)*step, maxTarpit))
}

// pause lets a peer wait, but not beyond the life of the server.
func pause(ctx context.Context, d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// makeRoom ends a session whose message came too slowly while others wait for memory.
func (s *session) makeRoom() reply {
	s.log.Warn("message cut off: it came too slowly while others wait for memory; limits.memory_in_flight says how much there is")
	return reply{code: 421, enhanced: "4.3.2", lines: []string{"Too many messages come in at once, and this one too slowly: try again later"}, close: true}
}

func hangUp(text string) reply {
	return reply{code: 421, enhanced: "4.7.0", lines: []string{text}, close: true}
}

// garbled refuses a line that is no command. Behind what may be a BDAT content may
// come, which is not to be taken for commands.
func garbled(line []byte, text string) reply {
	r := refuse(mail.Final(mail.BadSyntax, text))
	r.close = smtp.IsChunk(line)
	return r
}
