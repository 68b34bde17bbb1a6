package queue

import "testing"

// TestAsideSaysNothingOfTheSite: a message that waits for a reason of ours neither
// raises a site that is down nor widens what its provider bears; one that the site
// answered does both.
func TestAsideSaysNothingOfTheSite(t *testing.T) {
	t.Parallel()
	q := newWorld(t, nil).q
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, aside := range []bool{true, false} {
		w := &worker{q: q, s: &site{name: "far.test", down: &down{}}, p: &provider{name: "far.test", width: 2}}
		list := []Outcome{{Result: TryLater, Ours: true, Code: 451, Enhanced: "4.4.5", Aside: aside}}
		w.judge(list)
		w.adapt(list)
		if down, same := w.s.down != nil, w.p.width == 2; down != aside || same != aside {
			t.Errorf("aside %v: still down %v, width %v", aside, down, w.p.width)
		}
	}
}
