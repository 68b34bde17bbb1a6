package queue

import (
	"slices"
	"sync"
	"time"
)

// leaps are by how much the clock was set ahead while this process ran, or the machine slept:
// what was accepted before has not been tried for so long, and its lifetime is not over for
// that. A clock that is set ahead by mistake, if only for a moment, must not return all that
// waits.
type leaps struct {
	begin time.Time

	mu     sync.Mutex
	wall   int64         // microseconds: the clock at the last look
	steady time.Duration // since begin, by the clock that never steps, at the same
	list   []leap
}

type leap struct{ from, by int64 } // microseconds

// maxLeaps bounds those that are remembered: a machine that sleeps each night has one a day.
const maxLeaps = 100

func newLeaps() *leaps { return &leaps{begin: time.Now(), wall: micros()} }

// look takes down what the clock did since the last look, and tells by how much it was set
// ahead; 0 = it was not.
func (l *leaps) look() time.Duration { return l.note(micros(), time.Since(l.begin)) }

func (l *leaps) note(wall int64, steady time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	from, by := l.wall, wall-l.wall-(steady-l.steady).Microseconds()
	l.wall, l.steady = wall, steady
	switch {
	case by > fast.Microseconds():
		l.list = append(l.list, leap{from, by})
		l.list = slices.Delete(l.list, 0, max(len(l.list)-maxLeaps, 0))
		return time.Duration(by) * time.Microsecond
	case by < -fast.Microseconds():
		l.takeBack(-by)
	}
	return 0
}

// takeBack forgets so much of the last leaps: the clock was set back. l.mu is held.
func (l *leaps) takeBack(by int64) {
	for n := len(l.list); n > 0 && by > 0; n = len(l.list) {
		last := &l.list[n-1]
		part := min(last.by, by)
		last.by -= part
		by -= part
		if last.by == 0 {
			l.list = l.list[:n-1]
		}
	}
}

// since is how much of the time since then has not passed.
func (l *leaps) since(then int64) (sum int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if e.from >= then {
			sum += e.by
		}
	}
	return sum
}

// noteLeap notices a clock that was set ahead.
func (q *Queue) noteLeap() {
	if by := q.leaps.look(); by > 0 {
		q.o.Logger.Warn("the clock was set ahead, or the machine slept: what waits keeps the lifetime that it had left", "by", by)
	}
}
