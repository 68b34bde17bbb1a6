package imapd

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// create serves CREATE (RFC 3501 §6.3.3).
func create(ctx context.Context, s *session, req imap.Create) reply {
	if _, err := s.srv.o.Mailboxes.Create(ctx, s.account.ID, req.Mailbox); err != nil {
		return s.failed("CREATE", err)
	}
	return ok("Mailbox made")
}

// deleteMailbox serves DELETE (RFC 3501 §6.3.4). A session that deletes the
// mailbox it is in is in none afterwards.
func deleteMailbox(ctx context.Context, s *session, req imap.Delete) reply {
	if err := s.srv.o.Mailboxes.Delete(ctx, s.account.ID, req.Mailbox); err != nil {
		return s.failed("DELETE", err)
	}
	if s.sel == nil {
		return ok("Mailbox deleted")
	}
	if err := s.tell(ctx, true); errors.Is(err, mailbox.ErrNoMailbox) {
		s.leave()
		return ok("Mailbox deleted, none is selected now")
	}
	return ok("Mailbox deleted")
}

// rename serves RENAME (RFC 3501 §6.3.5).
func rename(ctx context.Context, s *session, req imap.Rename) reply {
	if err := s.srv.o.Mailboxes.Rename(ctx, s.account.ID, req.From, req.To); err != nil {
		return s.failed("RENAME", err)
	}
	return ok("Mailbox renamed")
}

// subscribe serves SUBSCRIBE (RFC 3501 §6.3.6) for mailboxes that exist.
func subscribe(ctx context.Context, s *session, req imap.Subscribe) reply {
	_, err := s.srv.o.Mailboxes.Find(ctx, s.account.ID, req.Mailbox)
	if err == nil {
		err = s.srv.o.Mailboxes.Subscribe(ctx, s.account.ID, req.Mailbox, true)
	}
	if err != nil {
		return s.failed("SUBSCRIBE", err)
	}
	return ok("Subscribed")
}

// unsubscribe serves UNSUBSCRIBE (RFC 3501 §6.3.7), also where the mailbox is
// gone.
func unsubscribe(ctx context.Context, s *session, req imap.Unsubscribe) reply {
	if err := s.srv.o.Mailboxes.Subscribe(ctx, s.account.ID, req.Mailbox, false); err != nil {
		return s.failed("UNSUBSCRIBE", err)
	}
	return ok("Unsubscribed")
}
