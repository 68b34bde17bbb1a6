package pack

import (
	"sync"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// prepared holds the bodies that are whole, until who commits their rows settles them.
type prepared struct {
	mu   sync.Mutex
	jobs map[mail.ID]*job
}

func (p *prepared) put(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs == nil {
		p.jobs = map[mail.ID]*job{}
	}
	p.jobs[j.head.ID] = j
}

// take returns the job of a body, nil if there is none.
func (p *prepared) take(id mail.ID) *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jobs[id]
	delete(p.jobs, id)
	return j
}

// batch is what is settled together.
type batch struct {
	jobs    []*job
	written chan error // holds one: the jobs have their places
	synced  chan error // holds one
}

// Settle implements blob.Settler.
func (s *Store) Settle(bodies []*blob.Body) (durable func() error, err error) {
	b := &batch{written: make(chan error, 1), synced: make(chan error, 1)}
	var of []*blob.Body // b.jobs
	for _, body := range bodies {
		if j := s.prepared.take(body.ID); j != nil {
			b.jobs, of = append(b.jobs, j), append(of, body)
		}
	}
	if len(b.jobs) == 0 {
		return func() error { return nil }, nil
	}
	if err := s.hand(b); err != nil {
		for _, j := range b.jobs {
			j.release()
		}
		return nil, err
	}
	for i, j := range b.jobs {
		of[i].Place = j.place().String()
	}
	return sync.OnceValue(func() error { return <-b.synced }), nil
}

// hand gives a batch to the committer and waits until it is written.
func (s *Store) hand(b *batch) error {
	if err := s.refuses(); err != nil {
		return err
	}
	select {
	case s.batches <- b:
	case <-s.gone:
		return errClosed
	}
	select {
	case err := <-b.written:
		return err
	case <-s.gone:
		select {
		case err := <-b.written:
			return err
		default:
			return errClosed
		}
	}
}

// commitBatch is commitGroup for a batch.
func (s *Store) commitBatch(w *groupWriter, b *batch) {
	told := false
	err := s.writeGroup(w, b.jobs, func() {
		for _, j := range b.jobs {
			s.pending.add(j.head.ID, j.head.Pack)
		}
		told = true
		b.written <- nil
	})
	if !told {
		for _, j := range b.jobs {
			j.release()
		}
		b.written <- err
	}
	b.synced <- err
}
