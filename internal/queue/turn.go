package queue

import "container/list"

// turn is the sites that wait for a worker, or for a place at their provider: those
// with something urgent first, of the others those of each flow in turn. A site is in
// one turn at most.
type turn struct {
	urgent, others lanes
}

// lanes are sites by flow. Nothing that is done to them takes longer the more they are.
type lanes struct {
	by    map[int64]*lane
	order list.List // of *lane, the next one first
	n     int       // sites
}

// lane is the sites of one flow, first come first served.
type lane struct {
	flow  int64
	place *list.Element // in the order
	sites list.List     // of *site
}

func (l *lanes) add(s *site, flow int64) {
	if l.by == nil {
		l.by = map[int64]*lane{}
	}
	of := l.by[flow]
	if of == nil {
		of = &lane{flow: flow}
		of.place = l.order.PushBack(of)
		l.by[flow] = of
	}
	s.lanes, s.lane, s.place = l, of, of.sites.PushBack(s)
	l.n++
}

// remove takes a site out of these lanes, in which it is.
func (l *lanes) remove(s *site) {
	of := s.lane
	of.sites.Remove(s.place)
	if of.sites.Len() == 0 {
		l.order.Remove(of.place)
		delete(l.by, of.flow)
	}
	s.turn, s.lanes, s.lane, s.place = nil, nil, nil, nil
	l.n--
}

// pop takes the first site of the next flow that may have a worker, nil if there is none.
func (l *lanes) pop(may func(flow int64) bool) (s *site, flow int64) {
	for e := l.order.Front(); e != nil; e = e.Next() {
		of, _ := e.Value.(*lane)
		if !may(of.flow) {
			continue
		}
		s, _ := of.sites.Front().Value.(*site)
		l.order.MoveToBack(e)
		l.remove(s)
		return s, of.flow
	}
	return nil, 0
}

// size is how many sites of a flow there are.
func (l *lanes) size(flow int64) int {
	if of := l.by[flow]; of != nil {
		return of.sites.Len()
	}
	return 0
}

func (t *turn) len() int { return t.urgent.n + t.others.n }

func (t *turn) pop(may func(flow int64) bool) (*site, int64) {
	if s, flow := t.urgent.pop(may); s != nil {
		return s, flow
	}
	return t.others.pop(may)
}

// any is for whom it does not matter how many workers a flow has.
func (t *turn) any() *site {
	s, _ := t.pop(func(int64) bool { return true })
	return s
}

// add puts a site in line by what it may do first.
func (t *turn) add(s *site, may func(flow int64) bool) {
	in := &t.others
	flow, urgent := s.ready.next(may)
	if urgent {
		in = &t.urgent
	}
	in.add(s, flow)
	s.turn = t
}

// move takes a site that is in line to where it gets its turn the sooner, now that it
// has something of this flow: to a flow that may have a worker where its own may not,
// among the urgent ones, or to a flow of which far fewer wait.
func (t *turn) move(s *site, flow int64, urgent bool, may func(flow int64) bool) {
	from, to := s.lanes, &t.others
	if urgent {
		to = &t.urgent
	}
	here, there := may(s.lane.flow), may(flow)
	switch {
	case here && !there:
		return
	case there && !here, urgent && from == &t.others, from == to && 2*(to.size(flow)+1) <= s.lane.sites.Len():
		from.remove(s)
		to.add(s, flow)
		s.turn = t
	}
}
