package pack

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// firstStep is how much of a new pack is zeroed at first.
	firstStep = 4 << 20
	zeroLen   = 256 << 10
)

// packFile is a pack that is or will be written to.
type packFile struct {
	id    int64
	f     file
	end   int64 // where the next entry goes
	ready int64 // below this the file holds synced zeros
}

// keeper sees to it that the committer always finds synced zeros to write to.
type keeper struct {
	s    *Store
	mu   sync.Mutex
	cond *sync.Cond

	cur, next *packFile
	retired   []*packFile
	lastID    int64 // highest pack number ever used
	need      int64 // the committer waits for cur to be ready up to here
	wantNext  bool
	err       error // why the last step failed; the next request clears it
	closed    bool
}

func (k *keeper) init(s *Store) { k.s, k.cond = s, sync.NewCond(&k.mu) }

func (k *keeper) wake() {
	k.mu.Lock()
	k.cond.Broadcast()
	k.mu.Unlock()
}

func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	k.cond.Broadcast()
	k.mu.Unlock()
}

func (k *keeper) closeFiles() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	for _, p := range append(k.retired, k.cur, k.next) {
		if p != nil {
			err = errors.Join(err, p.f.Close())
		}
	}
	k.cur, k.next, k.retired = nil, nil, nil
	return err
}

// reserve returns the pack and place for a group of need octets, waiting until
// they are ready. With roll the active pack ends first, unless it is empty.
func (k *keeper) reserve(need int64, roll bool) (*packFile, int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = nil
	for {
		if err := k.s.failure(); err != nil {
			return nil, 0, err
		}
		if k.closed {
			return nil, 0, errClosed
		}
		if k.err != nil {
			return nil, 0, k.err
		}
		c := k.cur
		empty := c.end == packHeadLen
		fits := (empty || c.end+need <= k.s.opt.PackSize) && (empty || !roll)
		switch {
		case fits && c.end+need <= c.ready:
			k.need = 0
			if c.ready-c.end-need < k.s.opt.Prealloc {
				k.cond.Broadcast()
			}
			return c, c.end, nil
		case fits:
			k.need = c.end + need
		case k.next != nil:
			k.retired = append(k.retired, c)
			k.cur, k.next, k.need = k.next, nil, 0
			roll = false
			continue
		default:
			k.wantNext = true
		}
		k.cond.Broadcast()
		k.cond.Wait()
	}
}

// advance says that a pack is durable up to end.
func (k *keeper) advance(p *packFile, end int64) {
	k.mu.Lock()
	p.end = end
	k.mu.Unlock()
}

// active returns the number of the pack that is written to.
func (k *keeper) active() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cur.id
}

// writable reports whether a pack is written to now or will be, or is still
// being sealed.
func (k *keeper) writable(id int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.retired {
		if p.id == id {
			return true
		}
	}
	return k.cur.id == id || (k.next != nil && k.next.id == id)
}

// run does one step after the other, the most urgent first.
func (k *keeper) run() {
	for {
		k.mu.Lock()
		step := k.pick()
		for step == nil && !k.closed {
			k.cond.Wait()
			step = k.pick()
		}
		closed := k.closed
		k.mu.Unlock()
		if closed {
			return
		}
		if err := step(); err != nil {
			k.failStep(err)
		}
	}
}

func (k *keeper) failStep(err error) {
	if isFull(err) {
		err = fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	k.mu.Lock()
	k.err = err
	k.cond.Broadcast()
	k.mu.Unlock()
	k.s.log.Warn("body store cannot prepare space", "error", err)
}

// pick returns the next step, nil if there is nothing to do. The lock is held.
func (k *keeper) pick() func() error {
	c, opt := k.cur, &k.s.opt
	switch {
	case k.s.failure() != nil:
		return nil
	case k.err != nil:
		// Wait for the next request before trying again.
	case c.ready < k.need:
		upTo := max(k.need, c.ready+opt.Prealloc)
		if c.ready == packHeadLen {
			upTo = max(k.need, k.firstReady()) // somebody waits
		}
		return func() error { return k.extend(c, upTo) }
	case k.wantNext && k.next == nil:
		return k.prepare
	case c.ready == packHeadLen:
		// Nobody has asked for space since the start: perhaps nobody will.
	case c.ready-c.end < opt.Prealloc && c.ready < opt.PackSize:
		upTo := min(c.ready+opt.Prealloc, opt.PackSize)
		return func() error { return k.extend(c, upTo) }
	case k.next == nil && c.end > opt.PackSize/4*3:
		return k.prepare
	}
	if len(k.retired) > 0 {
		p := k.retired[0]
		return func() error { return k.retire(p) }
	}
	return nil
}

// extend zeroes a pack up to a place and syncs that, and moves the mark.
func (k *keeper) extend(p *packFile, upTo int64) error {
	k.mu.Lock()
	from, durable := p.ready, p.end
	k.mu.Unlock()
	err := writeZeros(p.f, from, upTo)
	if err == nil {
		if err = p.f.Datasync(); err != nil {
			return k.s.fail(err)
		}
	}
	if err != nil {
		if !isFull(err) {
			return k.s.fail(err)
		}
		if terr := p.f.Truncate(from); terr != nil {
			return k.s.fail(terr)
		}
		return err
	}
	k.mu.Lock()
	p.ready = upTo
	k.cond.Broadcast()
	k.mu.Unlock()
	if err := k.s.setMark(k.s.ctx, p.id, durable); err != nil {
		k.s.log.Debug("pack mark not moved", "pack", p.id, "error", err)
	}
	return nil
}

func writeZeros(f file, from, upTo int64) error {
	zeros := make([]byte, min(zeroLen, upTo-from))
	for from < upTo {
		n := min(int64(len(zeros)), upTo-from)
		if _, err := f.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// prepare makes the pack that follows the active one.
func (k *keeper) prepare() error {
	p, err := k.create(k.firstReady())
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.next, k.wantNext = p, false
	k.cond.Broadcast()
	k.mu.Unlock()
	return nil
}

// firstReady is up to where a pack that is wanted is zeroed at first.
func (k *keeper) firstReady() int64 { return max(packHeadLen, min(firstStep, k.s.opt.Prealloc)) }

// create makes a pack with zeros up to a place: durable file, durable name,
// durable row, in this order. Its number is used up even when it fails.
func (k *keeper) create(ready int64) (_ *packFile, err error) {
	k.mu.Lock()
	k.lastID++
	id := k.lastID
	k.mu.Unlock()
	s, name := k.s, packName(id)
	f, err := s.disk.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	p := &packFile{id: id, f: f, end: packHeadLen, ready: ready}
	defer func() {
		if err != nil {
			// Without a row recovery removes the file as well.
			_ = f.Close()
			_ = s.disk.remove(name)
		}
	}()
	now := mail.Micros(time.Now())
	if _, err := f.WriteAt(packHead(s.sums, id, now), 0); err != nil {
		return nil, k.createFailed(err)
	}
	if err := writeZeros(f, packHeadLen, p.ready); err != nil {
		return nil, k.createFailed(err)
	}
	if err := f.Sync(); err != nil {
		return nil, s.fail(err)
	}
	if err := s.disk.syncDir("packs"); err != nil {
		return nil, s.fail(err)
	}
	if err := s.insertPack(s.ctx, id, now); err != nil {
		return nil, fmt.Errorf("record pack %d: %w", id, err)
	}
	return p, nil
}

func (k *keeper) createFailed(err error) error {
	if isFull(err) {
		return err
	}
	return k.s.fail(err)
}

// retire seals a pack: what is left of its zeros goes back to the file system.
// Where that fails the next start does it.
func (k *keeper) retire(p *packFile) error {
	err := sealFile(p.f, p.end)
	if err == nil {
		err = k.s.sealPack(k.s.ctx, p.id, p.end)
	}
	if err != nil {
		k.s.log.Warn("pack not sealed before the next start", "pack", p.id, "error", err)
	}
	err = p.f.Close()
	k.mu.Lock()
	k.retired = k.retired[1:]
	k.cond.Broadcast()
	k.mu.Unlock()
	return err
}

func sealFile(f file, end int64) error {
	if err := f.Truncate(end); err != nil {
		return err
	}
	return f.Sync()
}
