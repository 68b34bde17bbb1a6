package s3

import (
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// pending knows the bodies that are stored but not recorded yet, and the
// objects on which something of this process still rests: reserved ones, those
// being sent, and those with a body that may be recorded. No sweep touches them.
type pending struct {
	mu      sync.Mutex
	bodies  map[mail.ID]waiting
	objects map[mail.ID]int
}

// waiting is a body that was not recorded yet.
type waiting struct {
	place
	objectSize int64
	since      time.Time // of the commit, or of the last try to record it
}

func (p *pending) init() { p.bodies, p.objects = map[mail.ID]waiting{}, map[mail.ID]int{} }

// hold keeps sweeps away from an object, until as many calls of release.
func (p *pending) hold(object mail.ID) {
	p.mu.Lock()
	p.objects[object]++
	p.mu.Unlock()
}

func (p *pending) release(objects ...mail.ID) {
	p.mu.Lock()
	for _, o := range objects {
		p.free(o)
	}
	p.mu.Unlock()
}

func (p *pending) free(object mail.ID) {
	if p.objects[object]--; p.objects[object] <= 0 {
		delete(p.objects, object)
	}
}

// held reports whether sweeps have to leave an object alone.
func (p *pending) held(object mail.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.objects[object] > 0
}

// add notes a body that may be recorded from now on, in place of an earlier try
// to restore it.
func (p *pending) add(id mail.ID, at place, objectSize int64) {
	p.mu.Lock()
	p.drop(id)
	p.bodies[id] = waiting{at, objectSize, time.Now()}
	p.objects[at.object]++
	p.mu.Unlock()
}

// touch says that a body is about to be recorded; false if it is not known.
func (p *pending) touch(id mail.ID) (waiting, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.bodies[id]
	if ok {
		w.since = time.Now()
		p.bodies[id] = w
	}
	return w, ok
}

// done forgets a body.
func (p *pending) done(id mail.ID) {
	p.mu.Lock()
	p.drop(id)
	p.mu.Unlock()
}

func (p *pending) drop(id mail.ID) {
	if w, ok := p.bodies[id]; ok {
		delete(p.bodies, id)
		p.free(w.object)
	}
}

// expire forgets the bodies that nobody recorded for longer than age.
func (p *pending) expire(age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, w := range p.bodies {
		if time.Since(w.since) > age {
			p.drop(id)
		}
	}
}
