package imap

import (
	"errors"
	"iter"
	"math"
	"slices"
	"sort"
	"strconv"
)

// SeqRange is a range of sequence numbers or UIDs, both ends included. A Last
// of 0 stands for "*", the largest number in use; then First may be 0 too,
// which is "*" alone.
type SeqRange struct{ First, Last uint32 }

// SeqSet is a set of sequence numbers or UIDs. What this package makes is
// canonical: ranges ascend, neither overlap nor touch, and at most the last
// one has a "*". The methods rely on that.
//
// RFC 3501 §9 sequence-set
type SeqSet []SeqRange

var errSeqSet = errors.New("imap: bad sequence set")

// ParseSeqSet parses a set that names at most limit ranges.
func ParseSeqSet(s string, limit int) (SeqSet, error) {
	set, size, ok := parseSeqSet(s, limit)
	if !ok || size != len(s) {
		return nil, errSeqSet
	}
	return set, nil
}

// parseSeqSet reads the set at the start of s and returns how long it is.
func parseSeqSet[T string | []byte](s T, limit int) (set SeqSet, size int, ok bool) {
	sorted := true
	for count := 1; ; count++ {
		if count > limit {
			return nil, 0, false
		}
		r, n, ok := parseRange(s[size:])
		if !ok {
			return nil, 0, false
		}
		size += n
		if last := len(set) - 1; last >= 0 && !before(set[last], r) {
			sorted = false
		}
		set = append(set, r)
		if size == len(s) || s[size] != ',' {
			break
		}
		size++
	}
	if !sorted {
		set = canonical(set)
	}
	return set, size, true
}

// parseRange reads one number, "*", or a pair of them in either order.
func parseRange[T string | []byte](s T) (r SeqRange, size int, ok bool) {
	a, size, ok := parseSeqNumber(s)
	if !ok {
		return r, 0, false
	}
	if size == len(s) || s[size] != ':' {
		return SeqRange{First: a, Last: a}, size, true
	}
	b, n, ok := parseSeqNumber(s[size+1:])
	if !ok {
		return r, 0, false
	}
	if a == 0 || b != 0 && b < a {
		a, b = b, a
	}
	return SeqRange{First: a, Last: b}, size + 1 + n, true
}

func parseSeqNumber[T string | []byte](s T) (n uint32, size int, ok bool) {
	if len(s) > 0 && s[0] == '*' {
		return 0, 1, true
	}
	v, size := digits(s)
	// RFC 3501 §9 nz-number: no zero, and no leading zero.
	if size == 0 || s[0] == '0' || v < 0 || v > math.MaxUint32 {
		return 0, 0, false
	}
	return uint32(v), size, true
}

// before reports whether r may follow p in a canonical set.
func before(p, r SeqRange) bool {
	if p.Last == 0 {
		return false
	}
	return r.First == 0 || p.Last != math.MaxUint32 && r.First > p.Last+1
}

// canonical sorts set and merges its ranges, in place.
func canonical(set SeqSet) SeqSet {
	star, hasStar := uint32(math.MaxUint32), false
	alone := true
	fixed := set[:0]
	for _, r := range set {
		if r.Last != 0 {
			fixed = append(fixed, r)
			continue
		}
		hasStar = true
		if r.First != 0 {
			alone = false
			star = min(star, r.First)
		}
	}
	slices.SortFunc(fixed, func(a, b SeqRange) int {
		if a.First < b.First {
			return -1
		}
		if a.First > b.First {
			return 1
		}
		return 0
	})
	out := fixed[:0]
	for _, r := range fixed {
		last := len(out) - 1
		if last < 0 || before(out[last], r) {
			out = append(out, r)
			continue
		}
		out[last].Last = max(out[last].Last, r.Last)
	}
	if !hasStar {
		return out
	}
	if alone {
		return append(out, SeqRange{})
	}
	// n:* holds everything from n that can exist, and so all later ranges.
	for len(out) > 0 && !before(out[len(out)-1], SeqRange{First: star}) {
		star = min(star, out[len(out)-1].First)
		out = out[:len(out)-1]
	}
	return append(out, SeqRange{First: star})
}

// SeqSetOf returns the set of the given numbers, which should ascend: others
// have to be sorted first. A zero is left out.
func SeqSetOf(numbers ...uint32) SeqSet {
	var set SeqSet
	sorted := true
	for _, n := range numbers {
		last := len(set) - 1
		switch {
		case n == 0:
		case last >= 0 && set[last].Last == n-1:
			set[last].Last = n
		default:
			sorted = sorted && (last < 0 || set[last].Last < n)
			set = append(set, SeqRange{First: n, Last: n})
		}
	}
	if !sorted {
		set = canonical(set)
	}
	return set
}

// Add returns the set with n in it. It is cheap if n is larger than all
// numbers of the set. It may change the memory of s.
func (s SeqSet) Add(n uint32) SeqSet {
	if n == 0 {
		return s
	}
	r := SeqRange{First: n, Last: n}
	if last := len(s) - 1; last >= 0 {
		if p := &s[last]; p.Last != 0 && p.Last == n-1 {
			p.Last = n
			return s
		}
		if !before(s[last], r) {
			return canonical(append(s, r))
		}
	}
	return append(s, r)
}

// Contains reports whether n is in the set, where largest is what "*" stands
// for: the largest number in use, 0 if there is none.
func (s SeqSet) Contains(n, largest uint32) bool {
	if n == 0 {
		return false
	}
	fixed := s
	if last := len(s) - 1; last >= 0 && s[last].Last == 0 {
		if n >= min(first(s[last]), largest) && n <= largest {
			return true
		}
		fixed = s[:last]
	}
	i := sort.Search(len(fixed), func(i int) bool { return fixed[i].Last >= n })
	return i < len(fixed) && fixed[i].First <= n
}

// first is the start of a range that ends in "*", before it is known what that
// stands for.
func first(r SeqRange) uint32 {
	if r.First == 0 {
		return math.MaxUint32
	}
	return r.First
}

// HasStar reports whether the set has a "*".
func (s SeqSet) HasStar() bool { return len(s) > 0 && s[len(s)-1].Last == 0 }

// Largest returns the largest number that the set names, "*" not counted.
func (s SeqSet) Largest() uint32 {
	for i := len(s) - 1; i >= 0; i-- {
		if n := max(s[i].First, s[i].Last); n != 0 {
			return n
		}
	}
	return 0
}

// Ranges yields the ranges that the set stands for among 1..largest,
// ascending, without overlap and without "*".
func (s SeqSet) Ranges(largest uint32) iter.Seq[SeqRange] {
	return func(yield func(SeqRange) bool) {
		var done uint32
		for _, r := range s {
			if r.Last == 0 {
				r = SeqRange{First: min(first(r), largest), Last: largest}
			}
			r.First, r.Last = max(r.First, done+1), min(r.Last, largest)
			if r.First > r.Last {
				continue
			}
			if !yield(r) {
				return
			}
			if done = r.Last; done == largest {
				return
			}
		}
	}
}

// Numbers yields the numbers of Ranges one by one.
func (s SeqSet) Numbers(largest uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for r := range s.Ranges(largest) {
			for n := uint64(r.First); n <= uint64(r.Last); n++ {
				if !yield(uint32(n)) {
					return
				}
			}
		}
	}
}

// Append appends the set as it is written on the wire.
func (s SeqSet) Append(dst []byte) []byte {
	for i, r := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSeqNumber(dst, r.First)
		if r.Last != r.First {
			dst = append(dst, ':')
			dst = appendSeqNumber(dst, r.Last)
		}
	}
	return dst
}

func appendSeqNumber(dst []byte, n uint32) []byte {
	if n == 0 {
		return append(dst, '*')
	}
	return strconv.AppendUint(dst, uint64(n), 10)
}

// String returns the set as it is written on the wire.
func (s SeqSet) String() string { return string(s.Append(nil)) }

// seqSet takes a sequence set.
func (d *Decoder) seqSet() SeqSet {
	if d.err != nil {
		return nil
	}
	set, size, ok := parseSeqSet(d.line[d.pos:], d.limits.Ranges)
	if !ok {
		d.fail("bad sequence set")
		return nil
	}
	d.pos += size
	return set
}
