package pack

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/staging"
)

const (
	// groupBytes and groupJobs bound what shares one sync.
	groupBytes = 4 << 20
	groupJobs  = 1024
	// writeLen is how much is written with one system call.
	writeLen = 256 << 10
)

// job is a body that waits for the committer. Whoever sends it gives the memory
// away: the committer releases it.
type job struct {
	head      entry
	blocks    [][]byte
	held      *staging.Body // nil if blocks are of other memory
	roll      bool          // no body: the active pack ends here
	abandoned atomic.Bool
	done      chan result // holds one
}

type result struct {
	place place
	err   error
}

// submit hands a job to the committer and waits until its bytes are durable.
func (s *Store) submit(ctx context.Context, j *job) (place, error) {
	if err := s.refuses(); err != nil {
		j.release()
		return place{}, err
	}
	select {
	case s.queue <- j:
	case <-ctx.Done():
		j.release()
		return place{}, context.Cause(ctx)
	case <-s.gone:
		j.release()
		return place{}, errClosed
	}
	select {
	case r := <-j.done:
		return r.place, r.err
	case <-ctx.Done():
		// It may still become durable; without a row it is dropped again.
		j.abandoned.Store(true)
		return place{}, context.Cause(ctx)
	case <-s.gone:
		select {
		case r := <-j.done:
			return r.place, r.err
		default:
			return place{}, errClosed
		}
	}
}

func (j *job) release() {
	if j.held != nil {
		j.held.Release()
		j.held, j.blocks = nil, nil
	}
}

// commitLoop is the committer. While one group is being synced the next one
// gathers in the queue.
func (s *Store) commitLoop() {
	defer close(s.gone)
	w := &groupWriter{buf: make([]byte, 0, writeLen)}
	group := make([]*job, 0, groupJobs)
	for {
		select {
		case j := <-s.queue:
			group = s.gather(append(group[:0], j))
			s.commitGroup(w, group)
			clear(group)
		case b := <-s.batches:
			s.commitBatch(w, b)
		case <-s.stop:
			for {
				select {
				case j := <-s.queue:
					j.release()
					j.done <- result{err: errClosed}
				case b := <-s.batches:
					b.written <- errClosed
				default:
					return
				}
			}
		}
	}
}

func (s *Store) gather(group []*job) []*job {
	octets := group[0].head.Stored
	for len(group) < groupJobs && octets < groupBytes {
		select {
		case j := <-s.queue:
			group = append(group, j)
			octets += j.head.Stored
		default:
			return group
		}
	}
	return group
}

func (s *Store) commitGroup(w *groupWriter, group []*job) {
	err := s.writeGroup(w, group, nil)
	for _, j := range group {
		j.release()
		if err == nil && !j.roll && !j.abandoned.Load() {
			s.pending.add(j.head.ID, j.head.Pack)
		}
	}
	for _, j := range group {
		r := result{err: err}
		if err == nil && !j.roll {
			r.place = j.place()
		}
		j.done <- r
	}
}

func (j *job) place() place {
	return place{pack: j.head.Pack, start: j.head.Offset, length: entryLen + j.head.Stored, size: j.head.Size}
}

// writeGroup writes all bodies of a group, calls written unless it is nil, and syncs
// once. After a failed sync nothing can be said about the bytes, so the store is sealed.
func (s *Store) writeGroup(w *groupWriter, group []*job, written func()) error {
	if err := s.failure(); err != nil {
		return err
	}
	if err := s.space.check(); err != nil {
		return err
	}
	var need int64
	roll := false
	for _, j := range group {
		if j.roll {
			roll = true
			continue
		}
		need += align(entryLen + j.head.Stored)
	}
	p, at, err := s.keep.reserve(need, roll)
	if err != nil || need == 0 {
		return err
	}
	began := time.Now()
	w.start(p.f, at)
	for _, j := range group {
		if j.roll {
			continue
		}
		j.head.Pack, j.head.Offset = p.id, w.offset()
		w.add(&j.head, s.sums, j.blocks)
		j.release() // the sync needs no memory
	}
	if err := w.flush(); err != nil {
		return s.writeFailed(err)
	}
	if written != nil {
		written()
	}
	if err := p.f.Datasync(); err != nil {
		return s.fail(err)
	}
	s.keep.advance(p, at+need)
	if f := s.opt.Observer.Synced; f != nil {
		f(len(group), need, time.Since(began))
	}
	return nil
}

// writeFailed sorts the error of a write before the sync: where only space ran
// out, nothing was promised and the next group writes over it.
func (s *Store) writeFailed(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	return s.fail(err)
}

// groupWriter gathers octets for few large writes to consecutive places.
type groupWriter struct {
	f   file
	at  int64 // where buf goes
	buf []byte
	err error
}

func (w *groupWriter) start(f file, at int64) { w.f, w.at, w.buf, w.err = f, at, w.buf[:0], nil }

func (w *groupWriter) offset() int64 { return w.at + int64(len(w.buf)) }

// add appends an entry and fills up to where the next one may stand. An error
// is kept for flush.
func (w *groupWriter) add(e *entry, s *sums, blocks [][]byte) {
	var head [entryLen]byte
	w.write(e.appendTo(head[:0], s))
	for _, b := range blocks {
		w.write(b)
	}
	var zeros [entryAlign]byte
	w.write(zeros[:align(w.offset())-w.offset()])
}

func (w *groupWriter) write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), cap(w.buf)-len(w.buf))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
		if len(w.buf) == cap(w.buf) {
			_ = w.flush() // kept in err
		}
	}
}

func (w *groupWriter) flush() error {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.f.WriteAt(w.buf, w.at)
	}
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return w.err
}
