package ban

import "time"

// A failure counts for ten minutes, and for the rest of the minute in which they
// end: whole minutes take the same little memory however many failures they hold.
const (
	minutes = 11
	window  = (minutes - 1) * time.Minute
)

// firstsAsOne is how many names that fail once count as much as one failure.
const firstsAsOne = 5

// tally counts failures by the minute.
type tally struct {
	minute  int64           // the last one counted
	firsts  [minutes]uint32 // of names that had not failed before, by minute
	repeats [minutes]uint32
}

// advance forgets what is too old.
func (t *tally) advance(now time.Duration) {
	minute := int64(now / time.Minute)
	for m := max(t.minute+1, minute-minutes+1); m <= minute; m++ {
		t.firsts[m%minutes], t.repeats[m%minutes] = 0, 0
	}
	t.minute = max(t.minute, minute)
}

func (t *tally) add(first bool) {
	if first {
		t.firsts[t.minute%minutes]++
	} else {
		t.repeats[t.minute%minutes]++
	}
}

// clear forgets all failures.
func (t *tally) clear() {
	t.firsts, t.repeats = [minutes]uint32{}, [minutes]uint32{}
}

func (t *tally) sums() (firsts, repeats int) {
	for m := range t.firsts {
		firsts += int(t.firsts[m])
		repeats += int(t.repeats[m])
	}
	return firsts, repeats
}

// failures is how many there were.
func (t *tally) failures() int {
	firsts, repeats := t.sums()
	return firsts + repeats
}

// points is what they weigh together.
func (t *tally) points() int {
	firsts, repeats := t.sums()
	return repeats + (firsts+firstsAsOne-1)/firstsAsOne
}

// below is when the points will be fewer than n.
func (t *tally) below(n int) time.Duration {
	later := *t
	for range minutes {
		if later.points() < n {
			break
		}
		later.advance(time.Duration(later.minute+1) * time.Minute)
	}
	return time.Duration(later.minute) * time.Minute
}

// oldest is the minute of the first failure that counts, or the last minute if
// there is none.
func (t *tally) oldest() time.Duration {
	for m := max(0, t.minute-minutes+1); m < t.minute; m++ {
		if t.firsts[m%minutes]+t.repeats[m%minutes] > 0 {
			return time.Duration(m) * time.Minute
		}
	}
	return time.Duration(t.minute) * time.Minute
}
