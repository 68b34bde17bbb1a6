package mailbox

import (
	"slices"
	"testing"
)

// A View that lags behind must not write into the array of one that is ahead:
// here UID 3 came and went before it looked.
func TestLaggingViewLeavesSharedMapAlone(t *testing.T) {
	t.Parallel()
	first := append(make([]uint32, 0, 8), 1, 2)
	b := &shared{uids: first, modseq: 1, loaded: true}
	ahead := b.advance(step{from: 1, to: 2, whole: true, uids: first, added: []uint32{3}})
	if &ahead[0] != &first[0] {
		t.Error("new mail copied the whole map")
	}
	behind := b.advance(step{from: 1, to: 3, whole: true, uids: first, added: []uint32{4}})
	if !slices.Equal(ahead, []uint32{1, 2, 3}) || !slices.Equal(behind, []uint32{1, 2, 4}) {
		t.Errorf("ahead %v, behind %v", ahead, behind)
	}
	joined := b.advance(step{from: 2, to: 3, whole: true, uids: ahead, gone: []uint32{3}, added: []uint32{4}})
	if &joined[0] != &behind[0] {
		t.Error("two Views of one state have two maps")
	}
	late := b.advance(step{from: 1, to: 2, whole: true, uids: first, added: []uint32{3}})
	if !slices.Equal(late, []uint32{1, 2, 3}) || !slices.Equal(b.uids, []uint32{1, 2, 4}) || b.modseq != 3 {
		t.Errorf("late %v, shared %v at %d", late, b.uids, b.modseq)
	}
}
