package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// copyMessages serves COPY and UID COPY (RFC 3501 §6.4.7, RFC 4315 §3).
func copyMessages(ctx context.Context, s *session, req imap.Copy) reply {
	uids, err := s.uids(req.Set, req.UID)
	if err != nil {
		return s.failed("COPY", err)
	}
	if !req.UID {
		whole, err := s.allThere(ctx, uids)
		if err != nil {
			return s.failed("COPY", err)
		}
		if !whole {
			return gone()
		}
	}
	done, err := s.sel.view.Copy(ctx, uids, req.Mailbox)
	if err != nil {
		return s.failedTarget("COPY", err)
	}
	return reply{result: imap.OK, code: copied(done), text: "Copied"}
}

// allThere tells whether no message has been expunged by another session.
func (s *session) allThere(ctx context.Context, uids []uint32) (bool, error) {
	n := 0
	err := s.sel.view.Rows(ctx, uids, 0, func(mailbox.Row) error {
		n++
		return nil
	})
	return n == len(uids), err
}

// copied is COPYUID, or no code where nothing was copied.
func copied(c mailbox.Copied) imap.Code {
	if len(c.To) == 0 {
		return ""
	}
	return imap.CodeCopyUID(c.UIDValidity, imap.SeqSetOf(c.From...), imap.SeqSetOf(c.To...))
}

// moveMessages serves MOVE and UID MOVE (RFC 6851 §3.1). COPYUID comes first
// and untagged, then the news tell what left this mailbox.
// RFC 6851 §4.3
func moveMessages(ctx context.Context, s *session, req imap.Move) reply {
	uids, err := s.uids(req.Set, req.UID)
	if err != nil {
		return s.failed("MOVE", err)
	}
	done, err := s.sel.view.Move(ctx, uids, req.Mailbox)
	if len(done.To) > 0 {
		s.enc.Untagged(imap.OK, copied(done), "Moved")
	}
	if err != nil {
		return s.failedTarget("MOVE", err)
	}
	return ok("Done")
}
