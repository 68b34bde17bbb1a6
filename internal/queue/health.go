package queue

import "errors"

var (
	errNotRecovered = errors.New("the queue does not run: what the last process had under way is not recovered")
	errStuck        = errors.New("the queue rests: results of attempts cannot be recorded")
)

// Health returns why the queue delivers nothing now, nil if it does. It gets
// well by itself: what fails is tried again. A commit that is slow is no failure yet.
func (q *Queue) Health() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.running:
		return errNotRecovered
	case q.stuck:
		return errStuck
	}
	return nil
}

// HoldsNew tells whether the settings hold new mail for others.
func (q *Queue) HoldsNew() bool { return q.o.Settings().Hold }

// Memory is how many octets the jobs in memory take, as estimated.
func (q *Queue) Memory() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.octets
}
