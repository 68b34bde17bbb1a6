package pack

import (
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// pending knows the bodies that are written but not recorded yet. No pack that
// holds one is compacted.
type pending struct {
	mu     sync.Mutex
	bodies map[mail.ID]waiting
	packs  map[int64]int
}

type waiting struct {
	pack  int64
	since time.Time // of the commit, or of the last try to record it
}

func (p *pending) init() { p.bodies, p.packs = map[mail.ID]waiting{}, map[int64]int{} }

func (p *pending) add(id mail.ID, pack int64) {
	p.mu.Lock()
	p.drop(id) // one that is restored may have been here before
	p.bodies[id] = waiting{pack, time.Now()}
	p.packs[pack]++
	p.mu.Unlock()
}

// touch says that a body is about to be recorded; false if it is not known.
func (p *pending) touch(id mail.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.bodies[id]
	if ok {
		w.since = time.Now()
		p.bodies[id] = w
	}
	return ok
}

func (p *pending) done(id mail.ID) {
	p.mu.Lock()
	p.drop(id)
	p.mu.Unlock()
}

func (p *pending) drop(id mail.ID) {
	w, ok := p.bodies[id]
	if !ok {
		return
	}
	delete(p.bodies, id)
	if p.packs[w.pack]--; p.packs[w.pack] == 0 {
		delete(p.packs, w.pack)
	}
}

// expire forgets the bodies that nobody recorded for longer than age and
// returns those with a file of their own.
func (p *pending) expire(age time.Duration) (large []mail.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, w := range p.bodies {
		if time.Since(w.since) <= age {
			continue
		}
		if w.pack == 0 {
			large = append(large, id)
		}
		p.drop(id)
	}
	return large
}

func (p *pending) inPack(pack int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packs[pack] > 0
}
