package smtpd

import (
	"context"
	"errors"
	"strconv"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// bdat serves BDAT (RFC 3030 §2). The octets behind it are content whatever the
// reply is, and are read before it: as commands they would smuggle mail.
func bdat(ctx context.Context, s *session, arg string) reply {
	ch, err := smtp.ParseBdat(arg)
	if err != nil {
		r := refuse(mail.Final(mail.BadArguments, "Syntax: BDAT size, or BDAT size LAST; closing, since nobody knows what follows"))
		r.close = true
		return r
	}
	if err := s.flush(ch.Size); err != nil {
		return reply{close: true}
	}
	if r, missing := s.unmet(greeted | authed | inTx | hasRcpt); missing {
		return s.skip(ctx, ch, r)
	}
	set := s.settings()
	if ch.Size > s.tx.left {
		r := s.refused("content", mail.Final(mail.MessageTooBig, "The message is larger than we accept"))
		r.close = true
		return r
	}
	s.tx.left -= ch.Size
	if s.tx.chunks == nil {
		s.tx.chunks = &smtp.Chunks{Until: s.givesUp()}
		// The next chunk's command comes out of the same time.
		s.conn.expectContent(max(set.DataTimeout, set.CommandTimeout))
	} else {
		s.conn.resumeContent()
	}
	err = s.in.ReadChunk(s.tx.chunks, ch, s.tx.intake, s.srv.buffers)
	if err != nil || ch.Last {
		defer s.drop()
		return s.complete(ctx, err, ch.Last)
	}
	return ok(250, "2.0.0", strconv.FormatInt(ch.Size, 10)+" octets taken")
}

// skip reads the octets of a chunk that is refused.
func (s *session) skip(ctx context.Context, ch smtp.Chunk, r reply) reply {
	set := s.settings()
	if ch.Size > mostOf(set) {
		r.close = true
		return r
	}
	s.conn.expectContent(set.DataTimeout)
	err := s.in.Skip(ch.Size, s.givesUp(), s.srv.buffers)
	if _, endless := errors.AsType[*smtp.EndlessError](err); endless {
		r.close = true
		return r
	}
	if err != nil {
		return s.farewell(ctx, err)
	}
	return r
}

// flush writes the replies that were kept back, unless the next octets have come
// already: the peer may want to read them before it sends more.
func (s *session) flush(octets int64) error {
	if len(s.out) == 0 || int64(s.in.Buffered()) >= octets {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}
