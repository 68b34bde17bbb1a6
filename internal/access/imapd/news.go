package imapd

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/mailbox"
)

// news tells what others changed, before the tagged reply to a command.
// RFC 3501 §5.2
func (s *session) news(ctx context.Context, n news, r reply) reply {
	if s.sel == nil || n == quiet || r.close || s.enc.Err() != nil {
		return r
	}
	err := s.tell(ctx, n == all)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		// RFC 2180 §3.3
		r.close, r.bye = true, "The mailbox was deleted"
	} else if err != nil {
		s.unseen(err) // the command itself is done; the next one looks again
	}
	return r
}

func (s *session) unseen(err error) {
	s.log.Error("mailbox could not be looked at", "account", s.account.ID.String(), "error", err)
}

// tell writes what changed in the selected mailbox since it was last asked for.
func (s *session) tell(ctx context.Context, expunge bool) error {
	for more := true; more; {
		c, err := s.sel.view.Poll(ctx, expunge)
		if err != nil {
			return err
		}
		for _, seq := range c.Expunged {
			s.enc.Expunge(seq)
		}
		if c.ExistsChanged {
			s.enc.Exists(c.Exists)
			s.enc.Recent(c.Recent)
		}
		for i := range c.Flags {
			s.fetchFlags(&c.Flags[i], true)
		}
		more = c.More && s.enc.Err() == nil
	}
	return nil
}

// fetchFlags writes the flags of a message.
func (s *session) fetchFlags(row *mailbox.Row, uid bool) {
	s.announce(row.Keywords)
	s.enc.BeginFetch(row.Seq)
	if uid {
		s.enc.FetchUID(row.UID)
	}
	s.enc.FetchFlags(wireFlags(nil, row))
	s.enc.EndFetch()
}
