package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/mail"
)

// groupJobs bounds how many bodies share an object; Options.ObjectSize bounds
// their octets.
const groupJobs = 1024

// States of a job: whoever moves it away from waiting decides.
const (
	jobWaiting   = 0
	jobStored    = 1
	jobAbandoned = 2
)

// job is a body that waits for the committer. Whoever sends it gives the memory
// away: the committer releases it.
type job struct {
	body   indexed // start is set once it has a place
	sums   []byte
	chunks [][]byte
	held   *staging.Body // nil if chunks are of other memory
	state  atomic.Int32
	done   chan result // holds one
}

type result struct {
	place place
	err   error
}

func (j *job) place(object mail.ID) place {
	return place{object: object, start: j.body.start, length: j.body.length, size: j.body.length, sums: j.sums}
}

func (j *job) release() {
	if j.held != nil {
		j.held.Release()
		j.held, j.chunks = nil, nil
	}
}

func (j *job) fail(err error) {
	j.release()
	j.done <- result{err: err}
}

// submit hands a job to the committer and waits until its object is stored.
func (s *Store) submit(ctx context.Context, j *job) (place, error) {
	if err := s.closed(); err != nil {
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
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return place{}, context.Cause(ctx)
		}
		r := <-j.done // it was faster
		return r.place, r.err
	case <-s.gone:
		select {
		case r := <-j.done:
			return r.place, r.err
		default:
			return place{}, errClosed
		}
	}
}

// commitLoop is the committer. While as many objects as may be are being sent,
// what comes gathers in the queue; nothing waits on purpose.
func (s *Store) commitLoop() {
	defer close(s.gone)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		var first *job
		select {
		case first = <-s.queue:
		case <-s.stop:
			s.refuseQueued()
			return
		}
		select {
		case s.slots <- struct{}{}:
		case <-s.stop:
			first.fail(errClosed)
			s.refuseQueued()
			return
		}
		group := s.gather(first)
		running.Go(func() {
			defer func() { <-s.slots }()
			s.commitGroup(group)
		})
	}
}

func (s *Store) refuseQueued() {
	for {
		select {
		case j := <-s.queue:
			j.fail(errClosed)
		default:
			return
		}
	}
}

func (s *Store) gather(first *job) []*job {
	group := []*job{first}
	octets := first.body.length
	for len(group) < groupJobs && octets < s.opt.ObjectSize {
		select {
		case j := <-s.queue:
			group = append(group, j)
			octets += j.body.length
		default:
			return group
		}
	}
	return group
}

// commitGroup stores what is still wanted of a group and answers everyone.
func (s *Store) commitGroup(group []*job) {
	wanted := make([]*job, 0, len(group))
	for _, j := range group {
		if j.state.Load() == jobAbandoned {
			j.release()
			continue
		}
		wanted = append(wanted, j)
	}
	if len(wanted) == 0 {
		return
	}
	object, size, err := s.writeObject(s.ctx, wanted)
	if err != nil {
		if s.ctx.Err() != nil {
			err = errClosed
		}
		for _, j := range wanted {
			j.fail(err)
		}
		return
	}
	for _, j := range wanted {
		if j.state.CompareAndSwap(jobWaiting, jobStored) {
			s.pending.add(j.body.id, j.place(object), size)
			s.remember(j)
		}
		j.release()
	}
	s.pending.release(object)
	for _, j := range wanted {
		j.done <- result{place: j.place(object)}
	}
}

// remember keeps what was just written for whoever relays it next.
func (s *Store) remember(j *job) {
	at := &chunkReader{chunks: j.chunks}
	for n := range blocksOf(j.body.length) {
		data := make([]byte, blockSize(j.body.length, n))
		if _, err := io.ReadFull(at, data); err != nil {
			return // it is read from the service then
		}
		s.cache.put(blockKey{j.body.id, n}, data)
	}
}

// writeObject stores bodies in a new object, under an intent that is committed
// before. The object is held in pending: the caller releases it once all that
// holds it for longer is noted. Jobs keep their memory.
func (s *Store) writeObject(ctx context.Context, jobs []*job) (object mail.ID, size int64, err error) {
	if object, err = s.intents.take(ctx); err != nil {
		return 0, 0, err
	}
	p, size := s.assemble(jobs)
	began := time.Now()
	err = s.client.put(ctx, s.tries(), s.key(object), p)
	s.stored(err)
	if err != nil {
		s.pending.release(object)
		return 0, 0, fmt.Errorf("store object %s: %w", object, err)
	}
	if f := s.opt.Observer.Put; f != nil {
		f(len(jobs), p.size, time.Since(began))
	}
	return object, size, nil
}

// assemble gives the bodies of jobs their places in an object and returns what
// the object holds, and the octets of all bodies.
func (s *Store) assemble(jobs []*job) (content, int64) {
	list := make([]indexed, len(jobs))
	chunks := make([][]byte, 1, 1+len(jobs)*2)
	begin := indexLen(len(jobs))
	at := begin
	for i, j := range jobs {
		j.body.start = at
		at += j.body.length
		list[i] = j.body
		chunks = append(chunks, j.chunks...)
	}
	chunks[0] = appendIndex(make([]byte, 0, begin), list)
	sum := sha256.New()
	for _, c := range chunks {
		sum.Write(c)
	}
	open := func() io.Reader { return &chunkReader{chunks: chunks} }
	return content{size: at, sum: hex.EncodeToString(sum.Sum(nil)), open: open}, at - begin
}

// chunkReader reads pieces of memory one after the other.
type chunkReader struct {
	chunks [][]byte
	off    int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.chunks) > 0 {
		if r.off < len(r.chunks[0]) {
			n := copy(p, r.chunks[0][r.off:])
			r.off += n
			return n, nil
		}
		r.chunks, r.off = r.chunks[1:], 0
	}
	return 0, io.EOF
}
