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

// pop takes the first site of the flow that is next, nil if there is none.
func (l *lanes) pop() *site {
	e := l.order.Front()
	if e == nil {
		return nil
	}
	of, _ := e.Value.(*lane)
	s, _ := of.sites.Front().Value.(*site)
	l.order.MoveToBack(e)
	l.remove(s)
	return s
}

// size is how many sites of a flow there are.
func (l *lanes) size(flow int64) int {
	if of := l.by[flow]; of != nil {
		return of.sites.Len()
	}
	return 0
}

func (t *turn) len() int { return t.urgent.n + t.others.n }

func (t *turn) pop() *site {
	if s := t.urgent.pop(); s != nil {
		return s
	}
	return t.others.pop()
}

// add puts a site in line by what it has to do first.
func (t *turn) add(s *site) {
	in := &t.others
	if s.ready.levels[0].n > 0 {
		in = &t.urgent
	}
	in.add(s, s.ready.next())
	s.turn = t
}

// move takes a site that is in line to where it gets its turn the sooner, now that it
// has something of this flow: among the urgent ones, or to a flow of which far fewer
// wait.
func (t *turn) move(s *site, flow int64, urgent bool) {
	from, to := s.lanes, &t.others
	if urgent {
		to = &t.urgent
	}
	if urgent && from == &t.others || from == to && 2*(to.size(flow)+1) <= s.lane.sites.Len() {
		from.remove(s)
		to.add(s, flow)
		s.turn = t
	}
}
