package rate

import "testing"

// TestWindow walks the edges of a slot: nothing leaves before its span is over,
// and everything has left a slot later.
func TestWindow(t *testing.T) {
	t.Parallel()
	for span, s := range spanTable {
		length := s.slot * s.slots
		for _, at := range []int64{1000 * length, 1000*length + 1, 1000*length + s.slot - 1} {
			w := newWindow(Span(span), at)
			w.add(at, counts{Messages: 3})
			for _, row := range []struct {
				after int64
				want  int32
			}{{0, 3}, {length - 1, 3}, {length + s.slot, 0}, {10 * length, 0}} {
				copied := w
				copied.slots = append([]counts{}, w.slots...)
				if got := copied.sum(at + row.after)[Messages]; got != row.want {
					t.Errorf("%s from %d, %d s later: %d, want %d", s.words, at, row.after, got, row.want)
				}
			}
			wait := w.wait(at, Messages, 1)
			if wait < length || wait > length+s.slot {
				t.Errorf("%s: wait of %d s, want %d or a slot more", s.words, wait, length)
			}
			if got := w.sum(at + wait - 1)[Messages]; got != 3 {
				t.Errorf("%s: gone before the wait is over", s.words)
			}
			if got := w.sum(at + wait)[Messages]; got != 0 {
				t.Errorf("%s: there after the wait", s.words)
			}
		}
	}
}

func TestWindowTakesWhatIsPast(t *testing.T) {
	t.Parallel()
	w := newWindow(Hour, 100_000)
	w.add(100_000-3600+300, counts{Messages: 1})
	w.add(100_000-2*3600, counts{Messages: 10})
	w.add(-5, counts{Messages: 10})
	w.add(100_000, counts{Messages: 2})
	if got := w.sum(100_000)[Messages]; got != 3 {
		t.Errorf("%d, want 3", got)
	}
	// A time before the newest one is none to empty slots for.
	if got := w.sum(50_000)[Messages]; got != 3 {
		t.Errorf("%d after a step back, want 3", got)
	}
	for leave, most := range map[int64]int64{1: 900, 2: 3900, 3: 3900, 4: 3900} {
		if got := w.wait(100_000, Messages, leave); got > most || got <= 0 {
			t.Errorf("wait of %d s for %d, want at most %d", got, leave, most)
		}
	}
}

func TestUsual(t *testing.T) {
	t.Parallel()
	u := usual{}
	u = u.next(100, 10, 20)
	if want := (usual{100, 1, 10_000, 20_000}); u != want {
		t.Fatalf("the first day counts whole: %+v", u)
	}
	u = u.next(101, 20, 40)
	if want := (usual{101, 2, 15_000, 30_000}); u != want {
		t.Fatalf("the second is half of the mean: %+v", u)
	}
	if got := u.next(103, 15, 30); got.messages != 11_250 || got.days != 4 {
		t.Errorf("a quiet day counts as well: %+v", got)
	}
	for day := int64(104); day < 160; day++ {
		u = u.next(day, 100, 100)
	}
	if u.messages < 95_000 || u.days != usualDays {
		t.Errorf("what goes on for weeks is usual: %+v", u)
	}
	if got := u.quiet(159 + 14); got.messages > u.messages/2 || got.messages < u.messages/4 {
		t.Errorf("after two quiet weeks: %+v", got)
	}
	if got := u.quiet(1 << 40); got.messages > 100 {
		t.Errorf("after years: %+v", got)
	}
	if got := u.quiet(1); got != u {
		t.Errorf("a day in the past: %+v", got)
	}
}
