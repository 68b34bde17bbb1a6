package rate

// counts holds a number for each measure.
type counts [measures]int32

func (c *counts) add(d counts) {
	for m := range c {
		c[m] += d[m]
	}
}

func (c *counts) take(d counts) {
	for m := range c {
		c[m] -= d[m]
	}
}

// window counts what happened within a span up to now. It holds the slot that
// now falls in and as many before it as make up the span: so nothing is
// forgotten before the span is over, and everything is one slot later.
type window struct {
	width int64    // seconds of a slot
	head  int64    // number of the slot that now falls in
	slots []counts // a ring
}

func newWindow(s Span, now int64) window {
	w := window{width: spanTable[s].slot, slots: make([]counts, spanTable[s].slots+1)}
	w.head = now / w.width
	return w
}

// size is how many slots count.
func (w *window) size() int64 { return int64(len(w.slots)) }

// advance empties the slots that now stand for a later time.
func (w *window) advance(now int64) {
	to := now / w.width
	for i := max(w.head+1, to-w.size()+1); i <= to; i++ {
		w.slots[i%w.size()] = counts{}
	}
	w.head = max(w.head, to)
}

// add counts what happened at a time, which may be past.
func (w *window) add(at int64, c counts) {
	w.advance(at)
	i := at / w.width
	if i < 0 || i <= w.head-w.size() {
		return
	}
	w.slots[i%w.size()].add(c)
}

// giveBack takes out of a slot that still counts, and not more than is in it.
func (w *window) giveBack(at int64, c counts) {
	i := at / w.width
	if i < 0 || i > w.head || i <= w.head-w.size() {
		return
	}
	s := &w.slots[i%w.size()]
	for m := range c {
		s[m] -= min(s[m], c[m])
	}
}

func (w *window) sum(now int64) (total counts) {
	w.advance(now)
	for _, s := range w.slots {
		total.add(s)
	}
	return total
}

// wait returns in how many seconds at least so many will have left.
func (w *window) wait(now int64, m Measure, leave int64) int64 {
	w.advance(now)
	for i := max(0, w.head-w.size()+1); i <= w.head; i++ {
		leave -= int64(w.slots[i%w.size()][m])
		if leave <= 0 {
			return (i+w.size())*w.width - now
		}
	}
	return w.size() * w.width
}
