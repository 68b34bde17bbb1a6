package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// expunge serves EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1). The
// news behind it tell which messages went.
func expunge(ctx context.Context, s *session, req imap.Expunge) reply {
	view := s.sel.view
	if view.ReadOnly() {
		return s.failed("EXPUNGE", mailbox.ErrReadOnly)
	}
	var uids []uint32 // nil stands for all
	if req.UID {
		if uids = view.UIDs(storeSet(req.Set)); len(uids) == 0 {
			return ok("There was nothing to expunge")
		}
	}
	if _, err := view.Expunge(ctx, uids); err != nil {
		return s.failed("EXPUNGE", err)
	}
	return ok("Expunged")
}
