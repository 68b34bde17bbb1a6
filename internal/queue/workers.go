package queue

import "fmt"

// A flow whose destinations are slow, or never answer, must not have all workers until
// they give up: the more workers are busy, the fewer of them may be of one flow. Alone it
// gets nine tenths, and one is always left where there are two or more.
const (
	// mostOfFree is how many workers a flow may have for each that is free beside the
	// one that it takes.
	mostOfFree = 9
	// smallShare is the part of all workers that a flow may have whatever is free, so
	// that few flows are ever kept from having more.
	smallShare = 16
)

// bound is below how many workers of its own a flow may have one more, when so many are
// busy in all. q.mu is held.
func (q *Queue) bound(active int) int {
	all := max(q.o.Settings().Concurrency, 1)
	return max(mostOfFree*(all-active-1), all/smallShare, 1)
}

// may tells whether a flow may have one more worker. q.mu is held.
func (q *Queue) may(flow int64) bool { return q.busy[flow] < q.bound(q.active) }

// engage counts a worker for a flow, or one less. q.mu is held.
func (q *Queue) engage(flow int64, n int) {
	if q.busy[flow] += n; q.busy[flow] == 0 {
		delete(q.busy, flow)
	}
}

// may tells whether the worker may go on with a flow. q.mu is held.
func (w *worker) may(flow int64) bool {
	return flow == w.flow || w.q.busy[flow] < w.q.bound(w.q.active-1)
}

// serves notes whose message the worker has. q.mu is held.
func (w *worker) serves(flow int64) {
	if flow == w.flow {
		return
	}
	w.q.engage(w.flow, -1)
	w.q.engage(flow, 1)
	w.flow = flow
	w.q.dispatch() // the one that it served may have another now
}

// wanted tells whether a site waits for this worker, or for its place at the provider.
// q.mu is held.
func (w *worker) wanted() bool {
	q := w.q
	if q.turn.len() > 0 && (q.active >= q.o.Settings().Concurrency || !q.may(w.flow)) {
		return true
	}
	others := w.p.waiting.len()
	if w.s.turn == &w.p.waiting {
		others--
	}
	return others > 0 && w.p.active >= q.width(w.p)
}

// Full tells in words what keeps a message that is due from being taken up, for any
// destination; "" = nothing.
func (q *Queue) Full(m *Message) string {
	set := q.o.Settings()
	flow := m.flow()
	q.mu.Lock()
	defer q.mu.Unlock()
	lag := q.lag()
	switch {
	case !q.running:
		return "the queue does not run: is the server started?"
	case lag != "":
		return lag
	case q.active >= max(set.Concurrency, 1):
		return fmt.Sprintf("all %d workers are busy (outbound.concurrency)", q.active)
	case !q.may(flow):
		return fmt.Sprintf("%d workers are busy with mail of the same account or tenant, and the other %d are for the mail of others (outbound.concurrency)", q.busy[flow], max(set.Concurrency, 1)-q.busy[flow])
	case q.starved:
		return "the memory for messages under way is full (queue.memory)"
	}
	return ""
}
