package smtpd

import (
	"context"
	"errors"
	"time"

	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// maxUnconfirmed bounds the transactions that wait for a sign of life from a
// peer that pipelines without reading.
const maxUnconfirmed = 100

// smallest is what a peer may go on sending of a message that we refuse, on
// top of twice the largest message that we take.
const smallest = 1 << 20

// mostOf is how many octets of one content are read at the most.
func mostOf(set Settings) int64 { return 2*set.MessageSize + smallest }

// data serves DATA (RFC 5321 §4.1.1.4).
func data(ctx context.Context, s *session, arg string) reply {
	switch {
	case arg != "":
		return refuse(mail.Final(mail.BadArguments, "DATA has no argument"))
	case s.early():
		return s.farewell(ctx, errEarly)
	}
	return reply{code: 354, lines: []string{"Send the message, end it with a dot on a line of its own"}, then: s.content}
}

// content reads the message and takes responsibility for it.
func (s *session) content(ctx context.Context) reply {
	defer s.drop()
	s.conn.expectContent(s.settings().DataTimeout)
	err := s.in.ReadContent(s.tx.intake, s.srv.buffers, smtp.Bounds{Octets: s.tx.left, Until: s.givesUp()})
	return s.complete(ctx, err, true)
}

// complete ends a message, and the session with it if its content did not end. That
// is told with the reason of the refusal: a 421 would bring an honest peer back.
func (s *session) complete(ctx context.Context, err error, last bool) reply {
	r := s.conclude(ctx, err, last)
	if _, endless := errors.AsType[*smtp.EndlessError](err); endless {
		r.close = true
	}
	return r
}

// conclude takes responsibility for a message that was read, or, with an error,
// says why not. last tells whether all of the content was said to have come.
func (s *session) conclude(ctx context.Context, err error, last bool) reply {
	t := s.tx.intake
	lost, broken := errors.AsType[*smtp.ReadError](err)
	if broken && s.conn.hinders() {
		return s.makeRoom()
	}
	if broken {
		s.log.Info("connection lost in the middle of a message: nothing is kept", "message", t.ID().String(), "error", lost.Err)
		return reply{code: 421, enhanced: "4.4.2", lines: []string{"The connection was lost in the middle of the message"}, close: true}
	}
	if errors.Is(err, smtp.ErrBareNewline) {
		t.Abort()
		return s.unfit(mail.Final(mail.BareNewline, "The message holds a CR or LF alone; lines must end in CR LF"), last)
	}
	if !last {
		t.Abort()
		return s.unfit(mail.AsFault(err), false)
	}
	s.fruit = time.Now()
	// Any other error is the intake's own and stands in its result. The commit
	// does not end with the session.
	result := t.Commit(context.WithoutCancel(ctx))
	if result.Fault != nil {
		s.refused("content", result.Fault)
		return s.final(result)
	}
	s.junk, s.overshoot = 0, 0
	if result.Receipt != 0 && len(s.unconfirmed) < maxUnconfirmed {
		s.unconfirmed = append(s.unconfirmed, result.Receipt)
	}
	log := s.log
	if tags := t.Tags(); len(tags) > 0 {
		log = log.With("tags", tags)
	}
	log.Info("message accepted", "message", result.ID.String(), "sender", s.tx.env.From.String(), "recipients", s.tx.accepted)
	return s.final(result)
}

// unfit refuses a content: once, or once for each recipient where the last of it
// has come over LMTP.
func (s *session) unfit(f *mail.Fault, last bool) reply {
	r := s.refused("content", f)
	if !last {
		return r
	}
	return s.final(intake.Result{Fault: f, Each: s.all(f)})
}

func (s *session) all(f *mail.Fault) []*mail.Fault {
	each := make([]*mail.Fault, s.tx.accepted)
	for i := range each {
		each[i] = f
	}
	return each
}

// final is one reply for all recipients, or one for each over LMTP
// (RFC 2033 §4.2).
func (s *session) final(r intake.Result) reply {
	if s.door != mail.DoorLMTP {
		return s.outcome(r, r.Fault)
	}
	var out reply
	for i, f := range r.Each {
		one := s.outcome(r, f)
		if i == 0 {
			out = one
		} else {
			out.each = append(out.each, one)
		}
	}
	return out
}

func (s *session) outcome(r intake.Result, f *mail.Fault) reply {
	if f != nil {
		return refuse(f)
	}
	text := "Accepted as " + r.ID.String()
	// A repeat goes out when the first does, which was said then.
	if release := s.tx.env.Release; release != 0 && r.ID == s.tx.intake.ID() {
		if left := time.Until(mail.FromMicros(release)); left > 0 {
			text += ", goes out in " + left.Round(time.Second).String()
		}
	}
	return ok(250, "2.0.0", text)
}
