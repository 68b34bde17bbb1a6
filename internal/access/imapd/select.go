package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// selectMailbox serves SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2). Whatever
// comes of it, the mailbox selected before is left.
func selectMailbox(ctx context.Context, s *session, req imap.Select) reply {
	s.leave()
	view, err := s.srv.o.Mailboxes.Select(ctx, s.account.ID, req.Mailbox, req.ReadOnly)
	if err != nil {
		return s.failed("SELECT", err)
	}
	s.sel = &selected{view: view}
	unseen, err := view.FirstUnseen(ctx)
	if err != nil {
		s.leave()
		return s.failed("SELECT", err)
	}
	box, e := view.Mailbox(), s.enc
	e.Flags(s.allFlags())
	if req.ReadOnly {
		e.Untagged(imap.OK, imap.CodePermanentFlags(), "No flag can be changed")
	} else {
		e.Untagged(imap.OK, imap.CodePermanentFlags(append(s.allFlags(), imap.FlagAny)...), "Flags that are kept")
	}
	e.Exists(view.Count())
	e.Recent(view.Recent())
	if unseen > 0 {
		e.Untagged(imap.OK, imap.CodeUnseen(unseen), "First message that was not seen")
	}
	e.Untagged(imap.OK, imap.CodeUIDValidity(box.UIDValidity), "UIDs are valid")
	e.Untagged(imap.OK, imap.CodeUIDNext(box.UIDNext), "Next UID")
	if req.ReadOnly {
		return reply{result: imap.OK, code: imap.CodeReadOnly, text: "Mailbox opened for reading"}
	}
	return reply{result: imap.OK, code: imap.CodeReadWrite, text: "Mailbox opened"}
}

// closeMailbox serves CLOSE (RFC 3501 §6.4.2).
func closeMailbox(ctx context.Context, s *session, _ imap.Close) reply {
	if !s.sel.view.ReadOnly() {
		if _, err := s.sel.view.Expunge(ctx, nil); err != nil {
			return s.failed("CLOSE", err)
		}
	}
	s.leave()
	return ok("Mailbox closed")
}

// unselect serves UNSELECT (RFC 3691 §2).
func unselect(_ context.Context, s *session, _ imap.Unselect) reply {
	s.leave()
	return ok("Mailbox closed")
}
