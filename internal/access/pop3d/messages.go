package pop3d

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/pop3"
)

func noop(context.Context, *session, string) reply { return ok("Ok") }

// quit serves QUIT. After a login it is what deletes (RFC 1939 §6), and that
// does not end with the session.
func quit(ctx context.Context, s *session, _ string) reply {
	r := ok("Bye")
	if s.drop != nil {
		n, err := s.drop.update(context.WithoutCancel(ctx))
		s.srv.o.Metrics.deleted.Add(float64(n))
		if err != nil {
			s.log.Error("messages could not be deleted", "error", err)
			r = refuse(codeTemporary, "Some deleted messages could not be removed, try again later")
		} else {
			s.log.Info("logged out", "deleted", n)
		}
		// Before the peer hears of it and comes again.
		s.leave() //nolint:contextcheck // closing a View outlives the session
	}
	r.close = true
	return r
}

func noMessage() reply { return refuse("", "There is no such message") }

// message finds the message that an argument names.
func (s *session) message(arg string) (int, *item, bool) {
	n, err := pop3.ParseNumber(arg)
	if err != nil {
		return 0, nil, false
	}
	i, found := s.drop.find(n)
	return n, i, found
}

// stat serves STAT (RFC 1939 §5).
func stat(_ context.Context, s *session, _ string) reply {
	return ok(fmt.Sprintf("%d %d", s.drop.count, s.drop.size))
}

// list serves LIST (RFC 1939 §5).
func list(_ context.Context, s *session, arg string) reply {
	head := fmt.Sprintf("%d messages (%d octets)", s.drop.count, s.drop.size)
	return s.listing(arg, head, func(b []byte, i item) []byte { return strconv.AppendInt(b, i.size, 10) })
}

// uidl serves UIDL (RFC 1939 §7).
func uidl(_ context.Context, s *session, arg string) reply {
	return s.listing(arg, fmt.Sprintf("%d messages", s.drop.count), func(b []byte, i item) []byte { return append(b, i.unique()...) })
}

// listing is a line for one message, or for all that are not deleted.
func (s *session) listing(arg, head string, add func([]byte, item) []byte) reply {
	if arg != "" {
		n, i, found := s.message(arg)
		if !found {
			return noMessage()
		}
		return ok(string(add(append(strconv.AppendInt(nil, int64(n), 10), ' '), *i)))
	}
	r := ok(head)
	r.body = func(context.Context) error {
		for n, i := range s.drop.items {
			if i.deleted {
				continue
			}
			s.out = append(strconv.AppendInt(s.out, int64(n+1), 10), ' ')
			s.out = append(add(s.out, i), "\r\n"...)
			if err := s.pass(); err != nil {
				return err
			}
		}
		s.out = append(s.out, ".\r\n"...)
		return nil
	}
	return r
}

// dele serves DELE (RFC 1939 §5).
func dele(_ context.Context, s *session, arg string) reply {
	_, i, found := s.message(arg)
	if !found {
		return noMessage()
	}
	s.drop.remove(i)
	return ok("Deleted")
}

// rset serves RSET (RFC 1939 §5).
func rset(_ context.Context, s *session, _ string) reply {
	s.drop.reset()
	return ok("Nothing is deleted")
}

// retr serves RETR (RFC 1939 §5).
func retr(ctx context.Context, s *session, arg string) reply {
	n, _, found := s.message(arg)
	if !found {
		return noMessage()
	}
	r := s.text(ctx, n, math.MaxInt)
	if !r.failed() {
		s.srv.o.Metrics.retrieved.Inc()
	}
	return r
}

// top serves TOP (RFC 1939 §7).
func top(ctx context.Context, s *session, arg string) reply {
	n, lines, err := pop3.ParseTop(arg)
	if err != nil {
		return refuse("", "TOP needs a message and a number of lines")
	}
	if _, found := s.drop.find(n); !found {
		return noMessage()
	}
	r := s.text(ctx, n, lines)
	if !r.failed() {
		r.text = "The top of the message"
	}
	return r
}

// text is a message: its header and the first lines of its body.
func (s *session) text(ctx context.Context, n, lines int) reply {
	row, err := s.drop.row(ctx, n, s.in.Pending())
	var r mailbox.Reader
	if err == nil {
		r, err = s.drop.view.Open(ctx, row)
	}
	switch {
	case errors.Is(err, mailbox.ErrNoMessage), errors.Is(err, mailbox.ErrNoMailbox):
		return refuse("", "The message is gone: another session has removed it")
	case err != nil:
		s.log.Error("a message could not be opened", "message", s.drop.items[n-1].message.String(), "error", err)
		return refuse(codeTemporary, "The message cannot be read right now, try again later")
	}
	out := ok(strconv.FormatInt(r.Size(), 10) + " octets")
	out.body = func(context.Context) error {
		return errors.Join(s.copy(r, row.Header, lines), r.Close())
	}
	return out
}

// copy adds a message to the output, part by part.
func (s *session) copy(r mailbox.Reader, header int64, lines int) error {
	lent, ok := s.srv.parts.Get().(*[]byte)
	if !ok {
		return errors.New("pop3d: foreign buffer in pool")
	}
	defer s.srv.parts.Put(lent)
	var stuffer pop3.Stuffer
	for at, size := int64(0), r.Size(); at < size; {
		limit := size
		if lines == 0 {
			limit = min(header, size)
		}
		if at >= limit {
			break
		}
		part := (*lent)[:min(partSize, limit-at)]
		if n, err := r.ReadAt(part, at); n < len(part) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			s.log.Error("a message ended in the middle of its reading", "at", at+int64(n), "error", err)
			return err
		}
		take := part
		if inBody := header - at; inBody < int64(len(part)) {
			skip := max(0, inBody)
			octets, left := pop3.Lines(part[skip:], lines)
			take, lines = part[:skip+int64(octets)], left
		}
		s.out = stuffer.Append(s.out, take)
		at += int64(len(part))
		if err := s.pass(); err != nil {
			return err
		}
	}
	s.out = stuffer.End(s.out)
	return nil
}
