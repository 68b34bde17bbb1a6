package outbound

import "github.com/hayauma/hayauma/internal/queue"

// Ruling is what the operator has said about a reply.
type Ruling struct {
	Final bool   // what would be tried again is refused
	Later bool   // what would be refused is tried again
	Leave bool   // the connection ends with the transaction
	Why   string // in words: who says so
}

// ruled is the last reply that was asked about: what is said to many recipients is
// one reply.
type ruled struct {
	code           int
	enhanced, text string
	ruling         Ruling
}

// judge lets the operator have his say on a remote's words, never on ours, and tells
// what he made of them.
func (t *transaction) judge(p *problem) string {
	w := t.w
	if w.o.o.Judge == nil || p.ours || p.result != queue.TryLater && p.result != queue.Refused {
		return ""
	}
	said := ruled{code: p.code, enhanced: p.enhanced, text: p.text}
	if last := t.ruled; last.code != said.code || last.enhanced != said.enhanced || last.text != said.text {
		said.ruling = w.o.o.Judge(w.provider, p.code, p.enhanced, p.text)
		t.ruled = said
	}
	switch r := t.ruled.ruling; {
	case r.Final && p.result == queue.TryLater:
		p.result = queue.Refused
		return "made final by " + r.Why
	case r.Later && p.result == queue.Refused:
		p.result = queue.TryLater
		return "to be tried again by " + r.Why
	case r.Leave && w.c != nil:
		w.c.leaves = true
		return "the connection ended by " + r.Why
	}
	return ""
}
