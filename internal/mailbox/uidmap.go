package mailbox

import (
	"context"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
)

// load reads the map of a mailbox unless another View has done so. It reads in
// slices, so the map may hold messages that were expunged or lack some that
// came since base; what happened after base is in the change log, and the next
// Poll repairs it.
func (b *shared) load(ctx context.Context, d db.DB) error {
	b.loading.Lock()
	defer b.loading.Unlock()
	b.mu.Lock()
	loaded := b.loaded
	b.mu.Unlock()
	if loaded {
		return nil
	}
	var base record
	var uids []uint32
	for first, after := true, uint32(0); ; first = false {
		var part []uint32
		err := d.Read(ctx, func(tx *db.Tx) (err error) {
			if first {
				if base, err = findID(tx, b.id); err != nil {
					return err
				}
				uids = make([]uint32, 0, base.Messages)
			}
			part, err = readUIDs(tx, b.id, after, pollRows)
			return err
		})
		if err != nil {
			return err
		}
		for _, uid := range part {
			// Later ones come by the change log.
			if uid < base.UIDNext {
				uids = append(uids, uid)
			}
			after = uid
		}
		if len(part) < pollRows || after >= base.UIDNext-1 {
			break
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loaded, b.uids, b.modseq, b.top = true, uids, base.Modseq, base.UIDNext-1
	b.recent, b.written = max(b.recent, base.recent), max(b.written, base.recent)
	return nil
}

// step is how a View's map changes.
type step struct {
	from, to int64    // modseqs
	whole    bool     // it leads to the whole state at to
	uids     []uint32 // of the View
	gone     []uint32 // UIDs that leave; ascending, all in uids
	added    []uint32 // UIDs that come, larger than all
}

// advance returns the map after a step: the one that Views share where the
// step leads there, which moves on with the first View that takes it.
func (b *shared) advance(s step) []uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.whole || s.to < b.modseq {
		return applyStep(slices.Clip(s.uids), s)
	}
	if s.to > b.modseq || !b.sameAfter(s) {
		uids := s.uids
		if s.from != b.modseq || !sameSlice(uids, b.uids) {
			uids = slices.Clip(uids)
		}
		b.uids = applyStep(uids, s)
		b.modseq = s.to
		if n := len(s.added); n > 0 {
			b.top = max(b.top, s.added[n-1])
		}
	}
	return b.uids
}

// sameAfter tells whether the shared map is what a step to its modseq gives.
func (b *shared) sameAfter(s step) bool {
	return len(b.uids) == len(s.uids)-len(s.gone)+len(s.added)
}

// applyStep appends to uids in place if they have room, which only the shared
// map has; others see no more of it than they did.
func applyStep(uids []uint32, s step) []uint32 {
	if len(s.gone) == 0 {
		return append(uids, s.added...)
	}
	kept := make([]uint32, 0, len(uids)-len(s.gone)+len(s.added))
	gone := s.gone
	for _, uid := range uids {
		if len(gone) > 0 && gone[0] == uid {
			gone = gone[1:]
			continue
		}
		kept = append(kept, uid)
	}
	return append(kept, s.added...)
}

func sameSlice(a, b []uint32) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
