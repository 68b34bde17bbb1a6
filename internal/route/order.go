package route

import (
	"cmp"
	"slices"
)

// Order returns the hosts of a route as one attempt tries them: by preference, and
// among equal ones by weight as RFC 2782 has it. random gives a number from 0 to
// below n.
func Order(hosts []Host, random func(n int) int) []Host {
	left := slices.Clone(hosts)
	// Those without a weight stand first, so that they have a chance at all.
	slices.SortStableFunc(left, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	out := make([]Host, 0, len(left))
	for len(left) > 0 {
		equal, sum := 0, 0
		for equal < len(left) && left[equal].Preference == left[0].Preference {
			sum += left[equal].Weight
			equal++
		}
		// Of the numbers from 0 to the sum, 0 is for those without a weight. Where there are
		// none it would be one more for the first.
		least := min(left[0].Weight, 1)
		chosen := least + random(sum+1-least)
		for i := range equal {
			if chosen -= left[i].Weight; chosen <= 0 {
				out = append(out, left[i])
				left = slices.Delete(left, i, i+1)
				break
			}
		}
	}
	return out
}
