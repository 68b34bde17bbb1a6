package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// store serves STORE and UID STORE (RFC 3501 §6.4.6).
func store(ctx context.Context, s *session, req imap.Store) reply {
	flags, keywords, valid := storeFlags(req.Flags)
	if !valid {
		return badFlag()
	}
	uids, err := s.uids(req.Set, req.UID)
	if err != nil {
		return s.failed("STORE", err)
	}
	change := mailbox.Change{Mode: mailbox.Replace, Flags: flags, Keywords: keywords}
	switch req.Mode {
	case imap.StoreAdd:
		change.Mode = mailbox.Add
	case imap.StoreRemove:
		change.Mode = mailbox.Remove
	}
	found := 0
	err = s.sel.view.StoreEach(ctx, uids, change, func(row mailbox.Row) error {
		found++
		if !req.Silent {
			s.fetchFlags(&row, req.UID)
		}
		return nil
	})
	if err != nil {
		return s.failed("STORE", err)
	}
	if !req.UID && found < len(uids) {
		return gone()
	}
	return ok("Flags stored")
}
