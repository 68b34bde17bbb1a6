package imap_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

func TestParseSeqSet(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1":                       "1",
		"*":                       "*",
		"*:*":                     "*",
		"1:*":                     "1:*",
		"*:4":                     "4:*",
		"5:2":                     "2:5",
		"7:7":                     "7",
		"1,2,3":                   "1:3",
		"9,1:3,2:5":               "1:5,9",
		"1,*":                     "1,*",
		"*,1":                     "1,*",
		"3:7,5:*":                 "3:*",
		"3:7,8:*,20":              "3:*",
		"3:7,9:*":                 "3:7,9:*",
		"4:*,2:*,*":               "2:*",
		"4294967295":              "4294967295",
		"4294967294,1:4294967295": "1:4294967295",
		"4294967295,4294967295:*": "4294967295:*",
	} {
		got, err := imap.ParseSeqSet(in, 10)
		if err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestParseBadSeqSet(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "0", "01", ",", "1,", ",1", "1:", ":1", "1::2", "1:2:3", "a", "1 ", "**", "-1",
		"4294967296", "99999999999999999999999", "1,2,3,4,5,6,7,8,9,10,11",
	} {
		if got, err := imap.ParseSeqSet(in, 10); err == nil {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// The methods agree with a plain reading of the ranges.
func TestSeqSetAgreesWithItsRanges(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var text string
		largest := r.Uint32N(12)
		has := map[uint32]bool{}
		for i := range 1 + r.IntN(5) {
			if i > 0 {
				text += ","
			}
			a, b := r.Uint32N(10), r.Uint32N(10)
			text += imap.SeqSet{{First: a, Last: a}}.String() + ":" + imap.SeqSet{{First: b, Last: b}}.String()
			if a == 0 {
				a = largest
			}
			if b == 0 {
				b = largest
			}
			for n := min(a, b); n <= max(a, b); n++ {
				has[n] = n >= 1 && n <= largest
			}
		}
		s := set(text)
		var want []uint32
		for n := uint32(1); n <= largest; n++ {
			if has[n] {
				want = append(want, n)
			}
			if s.Contains(n, largest) != has[n] {
				t.Fatalf("%s of %d: Contains(%d) = %t", text, largest, n, !has[n])
			}
		}
		if got := slices.Collect(s.Numbers(largest)); !slices.Equal(got, want) {
			t.Fatalf("%s = %s of %d: %v, want %v", text, s, largest, got, want)
		}
	}
}

func TestSeqSetOf(t *testing.T) {
	t.Parallel()
	if got := imap.SeqSetOf(1, 2, 3, 7, 9, 10, 10, 0).String(); got != "1:3,7,9:10" {
		t.Error(got)
	}
	if got := imap.SeqSetOf(9, 3, 4, 2, 2).String(); got != "2:4,9" {
		t.Error(got)
	}
	if got := imap.SeqSetOf(4294967294, 4294967295).String(); got != "4294967294:4294967295" {
		t.Error(got)
	}
	if got := set("5:*").Add(4).Add(2).Add(9).String(); got != "2,4:*" {
		t.Error(got)
	}
	if got := imap.SeqSetOf().String(); got != "" {
		t.Error(got)
	}
}

func TestSeqSetLargest(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint32{"1": 1, "*": 0, "3,*": 3, "1:9": 9, "2,7:*": 7} {
		if got := set(in).Largest(); got != want {
			t.Errorf("%s: %d", in, got)
		}
	}
	if set("1:4").HasStar() || !set("1,*").HasStar() {
		t.Error("HasStar")
	}
}

func TestIterationStopsWhenTold(t *testing.T) {
	t.Parallel()
	for n := range set("1:4294967295").Numbers(4294967295) {
		if n == 3 {
			break
		}
	}
}

func FuzzSeqSet(f *testing.F) {
	for _, s := range []string{"1", "*", "1:*", "*:4", "5:2,1", "1,3,5:7,*", "4294967295:4294967290,*"} {
		f.Add(s, uint32(5))
	}
	f.Fuzz(func(t *testing.T, in string, largest uint32) {
		const limit = 8
		s, err := imap.ParseSeqSet(in, limit)
		if err != nil {
			return
		}
		if len(s) == 0 || len(s) > limit {
			t.Fatalf("%q: %d ranges", in, len(s))
		}
		again, err := imap.ParseSeqSet(s.String(), limit)
		if err != nil || !slices.Equal(s, again) {
			t.Fatalf("%q: %v became %v, %v", in, s, again, err)
		}
		var end uint64
		for r := range s.Ranges(largest) {
			if uint64(r.First) <= end || r.Last < r.First || r.Last > largest {
				t.Fatalf("%q: range %v after %d", in, r, end)
			}
			end = uint64(r.Last)
			if !s.Contains(r.First, largest) || !s.Contains(r.Last, largest) {
				t.Fatalf("%q of %d does not contain %v", in, largest, r)
			}
		}
	})
}
