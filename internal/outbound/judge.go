package outbound

import "github.com/hayauma/hayauma/internal/queue"

// Reply is what a remote said that was no success.
type Reply struct {
	Code           int
	Enhanced, Text string
	Refused        bool // it is final as it stands
}

// Ruling is what the operator has said about a reply.
type Ruling struct {
	Turn  bool   // what would be tried again is refused, and what would be refused is tried again
	Leave bool   // the connection ends with the transaction
	Why   string // in words: who says so
}

// ruled is the last reply that was asked about: what is said to many recipients is
// one reply.
type ruled struct {
	provider string
	Reply
	Ruling
}

// judge lets the operator have his say on a remote's words, never on ours that quote none,
// and tells what he made of them.
func (t *transaction) judge(p *problem) string {
	w := t.w
	if w.o.o.Judge == nil || p.ours && !p.quotes || p.result != queue.TryLater && p.result != queue.Refused {
		return ""
	}
	said := Reply{Code: p.code, Enhanced: p.enhanced, Text: p.text, Refused: p.result == queue.Refused}
	if provider := w.providerOf(p.host); t.ruled.Reply != said || t.ruled.provider != provider {
		t.ruled = ruled{provider, said, w.o.o.Judge(provider, said)}
	}
	switch r := t.ruled.Ruling; {
	case r.Turn && said.Refused:
		p.result = queue.TryLater
		return "to be tried again by " + r.Why
	case r.Turn:
		p.result = queue.Refused
		return "made final by " + r.Why
	case r.Leave && w.c != nil:
		w.c.leaves = true
		return "the connection ended by " + r.Why
	}
	return ""
}
