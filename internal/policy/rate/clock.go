package rate

import "time"

// Clock is where the time comes from. The zero value is the machine's.
//
// What is in memory is counted by a clock that never steps, so that setting the
// machine's clock, in whatever direction, neither locks anybody out nor lets
// anybody start anew. Only rows bear the date: at the start their age is judged
// once. Those from the future, which a clock that went back has left, count as
// of now: they keep nobody out for longer than their span.
// Those that were written while the clock was behind, which was set right before the
// restart, are held for as old as they look.
type Clock struct {
	Wall   func() time.Time     // may step
	Steady func() time.Duration // since any moment, only grows
}

// clock is a Clock that was started.
type clock struct {
	Clock
	started int64         // seconds since 1970 by the wall clock
	zero    time.Duration // of the steady clock then
}

func (c Clock) start() clock {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Steady == nil {
		begin := time.Now()
		c.Steady = func() time.Duration { return time.Since(begin) }
	}
	return clock{Clock: c, started: max(0, c.Wall().Unix()), zero: c.Steady()}
}

// now is the time in seconds by which windows count.
func (c clock) now() int64 { return c.started + int64((c.Steady()-c.zero)/time.Second) }

// minute is the date that a row of now bears, in minutes since 1970.
func (c clock) minute() int64 { return max(0, c.Wall().Unix()) / 60 }

// startMinute is the newest date that rows of an earlier run bear: see recover.
func (c clock) startMinute() int64 { return c.started / 60 }

// oldest is the date by which rows are held for old: the earlier one of both
// clocks, so that a step forward makes nothing old.
func (c clock) oldest() int64 { return min(c.minute(), c.now()/60) }

const minutesPerDay = 24 * 60
