package queue

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// flow names those messages that have one share of the way out together: of one
// account, or where there is none of one tenant, in one stream. Two flows with the
// same number would share, no more.
func (m *Message) flow() int64 {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(m.Tenant))
	binary.LittleEndian.PutUint64(b[8:], uint64(m.Account))
	_, _ = h.Write(b[:]) // a hash takes everything
	_, _ = h.Write([]byte(m.Stream))
	return int64(h.Sum64() >> 1)
}

// ring holds what waits, by flow, and gives the flows their turn one after the
// other, so that a flow of 100,000 holds up another one by one place. The zero
// value is empty.
type ring[T any] struct {
	by    map[int64][]T
	order []int64 // flows that have something, the next one first
	n     int
}

// add puts something at the end of its flow.
func (r *ring[T]) add(flow int64, v T) {
	if r.by == nil {
		r.by = map[int64][]T{}
	}
	list := r.by[flow]
	if len(list) == 0 {
		r.order = append(r.order, flow)
	}
	r.by[flow] = append(list, v)
	r.n++
}

// pop takes the next one, false if there is none.
func (r *ring[T]) pop() (v T, ok bool) {
	if r.n == 0 {
		return v, false
	}
	return r.take(0), true
}

// take takes the first of the flow that is at a place in the order.
func (r *ring[T]) take(at int) T {
	flow := r.order[at]
	list := r.by[flow]
	v := list[0]
	clear(list[:1])
	r.n--
	if at == 0 {
		r.order = r.order[1:]
	} else {
		r.order = slices.Delete(r.order, at, at+1)
	}
	if len(list) > 1 {
		r.by[flow] = list[1:]
		r.order = append(r.order, flow)
	} else {
		delete(r.by, flow)
	}
	return v
}

// last is the one at the end of a flow.
func (r *ring[T]) last(flow int64) (v T, ok bool) {
	list := r.by[flow]
	if len(list) == 0 {
		return v, false
	}
	return list[len(list)-1], true
}

// line is the leases that are ready for a site: the more urgent first (RFC 6710
// §5.1), of those the flows in turn.
type line struct {
	levels [3]ring[*lease]
	n      int
}

func (l *line) at(m *Message) *ring[*lease] {
	return &l.levels[min(max(1-m.Priority.Level(), 0), 2)]
}

func (l *line) add(le *lease) {
	l.at(le.job.Message).add(le.flow, le)
	l.n++
}

// last is the lease behind which another one of the same message would stand.
func (l *line) last(m *Message, flow int64) *lease {
	le, _ := l.at(m).last(flow)
	return le
}

func (l *line) pop() *lease {
	for i := range l.levels {
		if le, ok := l.levels[i].pop(); ok {
			l.n--
			return le
		}
	}
	return nil
}

// popOf takes the first one of a flow that may have a worker, nil if there is none.
func (l *line) popOf(may func(flow int64) bool) *lease {
	for i := range l.levels {
		if at := slices.IndexFunc(l.levels[i].order, may); at >= 0 {
			l.n--
			return l.levels[i].take(at)
		}
	}
	return nil
}

// past gives a flow that is next its turn behind the others.
func (l *line) past(flow int64) {
	for i := range l.levels {
		if order := l.levels[i].order; len(order) > 1 && order[0] == flow {
			l.levels[i].order = append(order[1:], flow)
		}
	}
}

// next is the flow whose turn it is, of those that may have a worker if there is one,
// and whether what it has is urgent.
func (l *line) next(may func(flow int64) bool) (flow int64, urgent bool) {
	first := -1
	for i := range l.levels {
		order := l.levels[i].order
		if at := slices.IndexFunc(order, may); at >= 0 {
			return order[at], i == 0
		}
		if first < 0 && len(order) > 0 {
			first = i
		}
	}
	if first < 0 {
		return 0, false
	}
	return l.levels[first].order[0], first == 0
}

// has tells whether something of a flow is ready.
func (l *line) has(flow int64) bool {
	for i := range l.levels {
		if len(l.levels[i].by[flow]) > 0 {
			return true
		}
	}
	return false
}
