package imapd

import (
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// uids returns the UIDs that a set of UIDs or sequence numbers means.
func (s *session) uids(set imap.SeqSet, uid bool) ([]uint32, error) {
	if uid {
		return s.sel.view.UIDs(storeSet(set)), nil
	}
	return s.sel.view.BySeq(storeSet(set))
}

// storeSet is a set of the wire as the store takes it; both write "*" as 0.
func storeSet(set imap.SeqSet) mailbox.Set {
	out := make(mailbox.Set, len(set))
	for i, r := range set {
		out[i] = mailbox.Range{First: r.First, Last: r.Last}
	}
	return out
}
