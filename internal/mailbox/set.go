package mailbox

import (
	"cmp"
	"slices"
)

// Range is the numbers from First to Last, in either order. A 0 is "*", the
// largest number in use.
type Range struct{ First, Last uint32 }

// Set is the numbers of all its ranges.
type Set []Range

// resolve puts "*" in place, and the ranges into ascending order without
// overlaps.
func (s Set) resolve(largest uint32) Set {
	list := make(Set, 0, len(s))
	for _, r := range s {
		if r.First == 0 {
			r.First = largest
		}
		if r.Last == 0 {
			r.Last = largest
		}
		list = append(list, Range{First: min(r.First, r.Last), Last: max(r.First, r.Last)})
	}
	slices.SortFunc(list, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	merged := list[:0]
	for _, r := range list {
		if n := len(merged); n > 0 && r.First <= merged[n-1].Last {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}

// has tells whether a resolved set holds a number.
func (s Set) has(n uint32) bool {
	i, found := slices.BinarySearchFunc(s, n, func(r Range, n uint32) int { return cmp.Compare(r.First, n) })
	return found || i > 0 && n <= s[i-1].Last
}

// between finds the part of ascending UIDs that is in a range.
func between(uids []uint32, r Range) (from, to int) {
	from, _ = slices.BinarySearch(uids, r.First)
	to, found := slices.BinarySearch(uids, r.Last)
	if found {
		to++
	}
	return from, max(from, to)
}

// UIDs returns the view's UIDs that are in a set, ascending. UIDs that are not
// in use do not matter.
func (v *View) UIDs(set Set) []uint32 {
	if len(v.uids) == 0 {
		return nil
	}
	var list []uint32
	for _, r := range set.resolve(v.MaxUID()) {
		from, to := between(v.uids, r)
		list = append(list, v.uids[from:to]...)
	}
	return list
}

// BySeq returns the UIDs of a set of sequence numbers, ascending;
// ErrNoMessage if one is beyond the view.
// RFC 3501 §9, seq-number
func (v *View) BySeq(set Set) ([]uint32, error) {
	var list []uint32
	for _, r := range set.resolve(v.Count()) {
		if r.First == 0 || r.Last > v.Count() {
			return nil, ErrNoMessage
		}
		list = append(list, v.uids[r.First-1:r.Last]...)
	}
	return list, nil
}
