package sim

import (
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/queue"
)

// live runs the world through trouble, then through peace, and sees what is left.
func (w *world) live(steps int) {
	w.begin()
	w.faults.draw()
	w.trouble(steps)
	if !w.broken() {
		w.peace()
	}
	w.kill("the end")
	<-time.After(time.Hour) // whoever still waits for something gives up
	synctest.Wait()
	if err := w.engine.Close(); err != nil {
		w.fail("close: %v", err)
	}
}

// trouble is a number of steps in which anything may happen.
func (w *world) trouble(steps int) {
	busy := oneOf(w, 10, 30, 80) // in a thousand steps: how often something comes from outside
	for range steps {
		w.rest()
		w.step++
		if w.broken() {
			return
		}
		w.look(w.step%40 == 0)
		if w.chance(busy) {
			w.happen()
			continue
		}
		w.goOn(15)
	}
}

// goOn lets one of those go on who can, or the clock.
func (w *world) goOn(slow int) {
	w.rest()
	list := w.ready()
	switch {
	case len(list) == 0:
		w.trace("nobody has anything to do")
		w.advance(oneOf(w, time.Minute, time.Hour, 6*time.Hour))
	case w.chance(slow):
		w.pause(oneOf(w, time.Second, 10*time.Second, time.Minute, 20*time.Minute, 3*time.Hour))
	default:
		one := list[w.rng.IntN(len(list))]
		if one.what != "" {
			w.trace("%s", one.what)
		}
		one.do()
	}
}

// pause lets time pass while those who could go on do not.
func (w *world) pause(d time.Duration) {
	w.trace("all rest for %v", d)
	for end := time.Now().Add(d); time.Now().Before(end); {
		w.rest()
		w.advance(time.Until(end))
	}
}

// look sees whether a process has ended, or has recovered what the last one left,
// and compares rows with what they must be.
func (w *world) look(always bool) {
	select {
	case <-w.p.ended:
		w.next("has ended")
		return
	default:
	}
	if w.recovered != w.p && w.p.q.Health() == nil {
		w.recovered = w.p
		w.model.recovered()
		always = true
	}
	if always {
		w.model.check()
	}
}

// next ends a process, as kill -9 does if it has not ended by itself, and starts
// another one.
func (w *world) next(how string) {
	w.kill(how)
	synctest.Wait()
	w.model.dying()
	w.model.check()
	w.begin()
}

// happen is one thing that comes from outside.
func (w *world) happen() {
	n := w.rng.IntN(100)
	if w.p.stopping {
		if n < 10 {
			w.next("is killed while it stops")
		}
		return
	}
	switch {
	case n < 42:
		w.bring()
	case n < 58:
		w.administer()
	case n < 70:
		w.report()
	case n < 77 && len(w.addrs) > 0:
		h := w.hosts[w.addrs[w.rng.IntN(len(w.addrs))]]
		h.temper = w.temper()
		w.trace("%s is now: %s", h.name, h.temper.name)
	case n < 84:
		w.weather()
	case n < 90:
		w.cutLine()
	case n < 96:
		w.next("is killed")
	default:
		w.shutdown()
	}
}

// weather changes what goes wrong.
func (w *world) weather() {
	switch w.rng.IntN(3) {
	case 0:
		z := w.sites[w.rng.IntN(len(w.sites))].zone
		z.broken = oneOf(w, "", "", "fails", "silent")
		w.trace("DNS: %+v", z.broken)
	case 1:
		w.faults.down = !w.faults.down && w.chance(300)
		w.trace("the database is down: %v", w.faults.down)
	default:
		w.faults.draw()
	}
}

// cutLine breaks a connection.
func (w *world) cutLine() {
	if len(w.sessions) == 0 {
		return
	}
	c := w.sessions[w.rng.IntN(len(w.sessions))].c
	w.trace("%s is cut", c.name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = true
	c.changed.Broadcast()
}

// shutdown asks the process to end.
func (w *world) shutdown() {
	p := w.p
	p.stopping = true
	if p.cut = w.chance(500); !p.cut {
		w.faults.calm()
	}
	w.trace("%s is to stop, with trouble: %v", p.name, p.cut)
	p.stop()
}

// peace ends all trouble, and then everything must be settled in time.
func (w *world) peace() {
	w.trace("peace")
	w.faults.calm()
	w.faults.off = true
	for _, s := range w.sites {
		s.zone.broken = ""
	}
	hopeless := w.chance(300)
	for _, addr := range w.addrs {
		h := w.hosts[addr]
		switch h.temper = (temper{name: "polite"}); {
		case hopeless && w.set.Lifetime > 24*time.Hour:
			h.temper = temper{name: "gone", refuses: true}
		case hopeless:
			h.temper = temper{name: "hopeless", mail4: 1000}
		}
		hopeless = false
	}
	if w.chance(500) {
		w.releaseAll()
	}
	end := time.Now().Add(w.set.Lifetime + mostRelease + 24*time.Hour)
	for n := 1; !w.settled(n); n++ {
		w.rest()
		w.step++
		w.look(false)
		if w.broken() {
			return
		}
		// The rounds only end one that goes round in circles: hundreds of recipients of a
		// hopeless site, tried every two hours for a day and a half, take 120,000.
		if time.Now().After(end) || n > 400_000 {
			w.fail("not all is settled %v after the trouble ended: %s", time.Since(end), w.model.left())
			return
		}
		w.goOn(0)
	}
	for n := 0; w.model.workers > 0 && n < 1000 && !w.broken(); n++ { // one that takes leave of a host waits for its answer
		w.rest()
		w.step++
		w.look(false)
		w.goOn(0)
	}
	w.last()
}

// settled tells from time to time whether nothing is left to do, and has reports
// written.
func (w *world) settled(n int) bool {
	w.rest()
	quiet := len(w.ready()) == 0
	if (quiet || n%200 == 0) && !w.p.stopping && w.model.owed() && !time.Now().Equal(w.nothing) {
		w.report()
	}
	if !quiet || w.recovered != w.p || w.p.ops > 0 {
		return false
	}
	for _, r := range w.model.check() {
		if r.state != queue.Held {
			return false
		}
	}
	return true
}

// last is what must hold when everything is done.
func (w *world) last() {
	w.trace("all is settled")
	for _, r := range w.model.order {
		if r.acked && r.ended == "" && !r.held {
			w.fail("%s was accepted, and nothing came of it", r.address)
		}
	}
	if n := w.p.q.Memory(); n != 0 {
		w.fail("%d octets of memory are not given back", n)
	}
	if w.model.workers != 0 {
		w.fail("%d workers with nothing to do", w.model.workers)
	}
}
