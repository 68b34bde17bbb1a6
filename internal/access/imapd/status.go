package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// status serves STATUS (RFC 3501 §6.3.10), also of the selected mailbox.
func status(ctx context.Context, s *session, req imap.Status) reply {
	st, err := s.srv.o.Mailboxes.Status(ctx, s.account.ID, req.Mailbox)
	if err != nil {
		return s.failed("STATUS", err)
	}
	values := make([]imap.StatusValue, 0, len(req.Items))
	for _, item := range req.Items {
		var n uint32
		switch item {
		case imap.StatusMessages:
			n = st.Messages
		case imap.StatusRecent:
			n = st.Recent
		case imap.StatusUIDNext:
			n = st.UIDNext
		case imap.StatusUIDValidity:
			n = st.UIDValidity
		case imap.StatusUnseen:
			n = st.Unseen
		}
		values = append(values, imap.StatusValue{Item: item, Value: uint64(n)})
	}
	s.enc.Status(req.Mailbox, values)
	return ok("Done")
}
