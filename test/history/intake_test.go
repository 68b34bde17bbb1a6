package history

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/queue"
)

// sending is one transaction as its sender has it.
type sending struct {
	from    string
	size    int64 // as declared, 0 = not
	to      []string
	content *content
}

func (s *sending) words() string {
	return fmt.Sprintf("c%d from %q to %s, declared as %d", s.content.number, s.from, strings.Join(s.to, ", "), s.size)
}

// plan is where the recipients of a transaction lead.
type plan struct {
	answers  []string
	accepted []string
	served   []planned
	full     []planned
	remote   []string
	fault    string // of the whole, by what came
}

type planned struct {
	acct *acct  // nil = nobody has the address
	by   string // the recipient that led there
	lost mail.Address
}

func (c planned) address() mail.Address {
	if c.acct == nil {
		return c.lost
	}
	return c.acct.address
}

// plan resolves the recipients of a transaction one after the other.
func (m *model) plan(s *sending) *plan {
	p := &plan{}
	known := map[*acct]bool{}
	for _, to := range s.to {
		t := m.resolve(address(to))
		answer := ok
		switch {
		case t.nobody:
			answer = "nobody"
		case t.kind == account.Unknown:
			answer = "unknown"
		case t.kind == account.Elsewhere:
			p.addRemote(address(to).ASCII())
		default:
			if answer = p.addAccounts(to, t, s, known); answer == ok {
				for _, f := range t.forwards {
					p.addRemote(address(f).ASCII())
				}
				p.addNowhere(to, t.nowhere)
			}
		}
		p.answers = append(p.answers, answer)
		if answer == ok {
			p.accepted = append(p.accepted, to)
		}
	}
	p.measure(int64(len(s.content.text())))
	return p
}

// measure leaves to the queue those who have no room for what came, or refuses it if it
// is for nobody else.
func (p *plan) measure(size int64) {
	p.served = slices.DeleteFunc(p.served, func(c planned) bool {
		if c.acct.fits(size) {
			return false
		}
		p.full = append(p.full, c)
		if p.fault == "" || size <= c.acct.quota {
			p.fault = refusal(c.acct, size)
		}
		return true
	})
	if len(p.served)+len(p.remote) > 0 {
		p.fault = ""
	}
}

func refusal(a *acct, size int64) string {
	if size > a.quota {
		return "552"
	}
	return "452"
}

func (p *plan) addNowhere(to string, members []mail.Address) {
	for _, a := range members {
		if !slices.ContainsFunc(p.full, func(c planned) bool { return c.address() == a }) {
			p.full = append(p.full, planned{by: to, lost: a})
		}
	}
}

func (p *plan) addRemote(to string) {
	if !slices.Contains(p.remote, to) {
		p.remote = append(p.remote, to)
	}
}

// addAccounts refuses a recipient of whose accounts none has room.
func (p *plan) addAccounts(to string, t target, s *sending, known map[*acct]bool) string {
	size := max(s.size, 1)
	var served, full []planned
	answer := ok
	for _, a := range t.accounts {
		switch {
		case known[a]:
		case a.fits(size):
			served = append(served, planned{acct: a, by: to})
		default:
			full = append(full, planned{acct: a, by: to})
			answer = refusal(a, size)
		}
	}
	if len(full) > 0 && len(full) == len(t.accounts) && len(t.forwards) == 0 {
		return answer
	}
	for _, c := range append(slices.Clone(served), full...) {
		known[c.acct] = true
	}
	p.served, p.full = append(p.served, served...), append(p.full, full...)
	return ok
}

// waits tells whether a copy for an account of these would have to wait behind
// another one: which of them is filed first is a matter of goroutines.
func (m *model) waits(full []planned) bool {
	return slices.ContainsFunc(full, func(c planned) bool {
		return slices.ContainsFunc(m.rcpts, func(r *rcpt) bool {
			return r.site == queue.SiteLocal && address(r.address).Key() == c.address().Key()
		})
	})
}

// avoid tells of transactions whose outcome is a matter of time.
func (m *model) avoid(s *sending) bool {
	p := m.plan(s)
	return m.waits(p.full) || m.unsure[s.print(p.accepted)]
}

// send takes in a new message.
func (g *generator) send() operation {
	s := &sending{from: pick(g.r, senders()), content: g.m.newContent(g.r, nil)}
	if g.r.IntN(3) == 0 {
		s.size = pick(g.r, []int64{500, 2000, 9000})
	}
	if g.r.IntN(30) == 0 {
		s.content.body = strings.Repeat("Far too large for us.\r\n", maxContent/20)
	}
	for range 1 + g.r.IntN(4) {
		to := g.ourAddress()
		if g.r.IntN(4) == 0 {
			to = g.farAddress()
		}
		s.to = append(s.to, to)
	}
	if g.m.avoid(s) {
		return g.resolve()
	}
	return g.sendAs("take in", s)
}

// repeat sends again what was taken in, as a sender that lost our answer.
func (g *generator) repeat() operation {
	if len(g.m.prints) == 0 {
		return g.send()
	}
	l := g.m.prints[pick(g.r, sortedKeys(g.m.prints))]
	c := *l.content
	s := &sending{from: l.from, to: l.to, content: &c}
	if g.m.avoid(s) {
		return g.resolve()
	}
	return g.sendAs("take in again", s)
}

func (g *generator) sendAs(verb string, s *sending) operation {
	number := 0
	var l *letter
	return operation{
		words: verb + " " + s.words(),
		queue: true,
		model: func() string {
			p := g.m.plan(s)
			answer := ""
			answer, number, l = g.m.take(s, p)
			return strings.Join(p.answers, ", ") + ": " + answer
		},
		world: func(w *world) string { return w.send(s, number, l) },
	}
}

// print names a transaction as its sender would repeat it.
func (s *sending) print(accepted []string) string {
	parts := []string{address(s.from).ASCII()}
	for _, to := range accepted {
		parts = append(parts, address(to).ASCII())
	}
	return strings.Join(append(parts, s.content.text()), "\x00")
}

// take takes in a transaction and gives the number of its message.
func (m *model) take(s *sending, p *plan) (answer string, number int, l *letter) {
	if len(p.accepted) == 0 {
		return "no recipient", 0, nil
	}
	m.lifting = nil
	m.messagesMade++
	number = m.messagesMade
	if len(s.content.text()) > maxContent {
		m.event(number, "", "rejected 552")
		return fmt.Sprintf("552 m%d", number), number, nil
	}
	if p.fault != "" {
		m.event(number, "", "rejected "+p.fault)
		return fmt.Sprintf("%s m%d", p.fault, number), number, nil
	}
	print := s.print(p.accepted)
	if first := m.prints[print]; first != nil && !m.missed(first.message) {
		m.event(first.message, "", fmt.Sprintf("duplicate from %q to %v", address(s.from), shown(p.accepted)))
		return fmt.Sprintf("250 m%d", first.message), first.message, first
	}
	c := s.content
	c.trace = traced(p.accepted)
	l = &letter{message: number, print: print, from: s.from, to: p.accepted, content: c}
	m.prints[print] = l
	m.known[c.messageID] = append(m.known[c.messageID], fmt.Sprintf("m%d", number))
	m.event(number, "", fmt.Sprintf("accepted from %q to %v, %d queued", address(s.from), shown(p.accepted), len(p.remote)+len(p.full)))
	step := 0
	for _, copyFor := range p.served {
		if step == 0 {
			step = m.tick()
		}
		uid := m.fileOwn(copyFor.acct, l, copyFor.by, step)
		m.event(number, address(copyFor.by).Header(), fmt.Sprintf("filed in INBOX as %d", uid))
	}
	m.enqueueOwn(l, p)
	return fmt.Sprintf("250 m%d", number), number, l
}

// missed tells whether somebody did not get a message and will not, by what is told of it.
func (m *model) missed(message int) bool {
	return slices.ContainsFunc(m.told[fmt.Sprintf("m%d", message)], func(line string) bool {
		for _, kind := range []string{"failed", "expired", "recalled", "deleted"} {
			if strings.Contains(" "+line+" ", " "+kind+" ") {
				return true
			}
		}
		return false
	})
}

// shown are addresses as people see them.
func shown(list []string) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = address(a).String()
	}
	return out
}

func (m *model) fileOwn(a *acct, l *letter, to string, step int) uint32 {
	prefix := ownPrefix(l.from, to)
	return a.boxes[mailbox.Inbox].add(&msg{
		size: int64(len(prefix)) + l.content.size(), prefix: prefix, content: l.content, message: l.message, thread: l.message,
	}, step)
}

// enqueueOwn queues what goes elsewhere, and copies for which there is no room.
func (m *model) enqueueOwn(l *letter, p *plan) {
	var list []*rcpt
	for _, to := range p.remote {
		list = append(list, &rcpt{message: l.message, from: l.from, address: address(to).String(), site: address(to).Domain.ASCII, letter: l})
	}
	for _, c := range p.full {
		list = append(list, &rcpt{message: l.message, from: l.from, address: c.address().String(), site: queue.SiteLocal, letter: l})
	}
	if len(list) == 0 {
		return
	}
	m.enqueue(list)
}

// fileLate tries a copy for which there was no room.
func (m *model) fileLate(r *rcpt) (code int, enhanced string) {
	a := m.owner(address(r.address).Key())
	switch {
	case a == nil:
		return 550, "5.1.1"
	case r.from != "" && !a.fits(r.letter.content.size()):
		if refusal(a, r.letter.content.size()) == "552" {
			return 552, "5.2.2"
		}
		return 452, "4.2.2"
	}
	m.fileOwn(a, r.letter, r.address, m.tick())
	return 250, "2.1.5"
}

func (w *world) send(s *sending, number int, l *letter) string {
	origin := mail.Origin{Door: mail.DoorSMTP, Peer: netip.MustParseAddrPort("192.0.2.7:4321"), Helo: peer, Protocol: "ESMTP"}
	t := w.p.intake.Begin(origin, mail.Envelope{From: address(s.from), Size: s.size})
	defer t.Abort()
	var answers []string
	accepted := 0
	for _, to := range s.to {
		answer := w.addRecipient(t, to)
		if answer == ok {
			accepted++
		}
		answers = append(answers, answer)
	}
	start := strings.Join(answers, ", ") + ": "
	if accepted == 0 {
		return start + "no recipient"
	}
	_, _ = t.Write([]byte(s.content.text())) // its fault is that of Commit
	result := t.Commit(w.ctx)
	if w.messages.id(number) == 0 {
		if err := w.messages.bind(number, result.ID); err != nil {
			return err.Error()
		}
	}
	for i, f := range result.Each {
		if f != result.Fault {
			return fmt.Sprintf("recipient %d: %v", i, f)
		}
	}
	if result.Fault != nil {
		// Its event is written by whoever commits next.
		err := w.eventually("the event of a refused message", func() bool {
			_, err := w.p.log.Trace(w.ctx, result.ID.String())
			return err == nil
		})
		if err != nil {
			return kind(err)
		}
		return fmt.Sprintf("%s%d %s", start, result.Fault.Code(), w.messageName(result.ID))
	}
	if result.Receipt == 0 {
		return "no receipt"
	}
	if w.receipts[l.print] == 0 {
		w.receipts[l.print] = result.Receipt
	}
	if w.receipts[l.print] != result.Receipt {
		return "another receipt for a repeat"
	}
	return start + "250 " + w.messageName(result.ID)
}

func (w *world) addRecipient(t *intake.Transaction, to string) string {
	target, fault := t.Resolve(w.ctx, address(to))
	switch {
	case fault != nil:
		return kind(fault)
	case target.Kind == account.Unknown:
		return "unknown" // a door would refuse it
	}
	if fault := t.Add(w.ctx, mail.Recipient{Address: address(to)}, target); fault != nil {
		return fmt.Sprint(fault.Code())
	}
	return ok
}

// confirm tells intake that the sender knows: what it sends again is a message
// of its own then.
func (g *generator) confirm() operation {
	if len(g.m.prints) == 0 {
		return g.send()
	}
	l := g.m.prints[pick(g.r, sortedKeys(g.m.prints))]
	return operation{
		words: fmt.Sprintf("the sender of m%d has its answer", l.message),
		model: func() string {
			delete(g.m.prints, l.print)
			g.m.lifting = append(g.m.lifting, l.print)
			g.m.confirmed = append(g.m.confirmed, l)
			return ok
		},
		world: func(w *world) string { w.p.intake.Confirm(w.receipts[l.print]); return ok },
	}
}

// again sends what is confirmed already: a second message with the same text.
func (g *generator) again() operation {
	if len(g.m.confirmed) == 0 {
		return g.confirm()
	}
	l := pick(g.r, g.m.confirmed)
	g.m.confirmed = slices.DeleteFunc(g.m.confirmed, func(o *letter) bool { return o == l })
	c := *l.content
	s := &sending{from: l.from, to: l.to, content: &c}
	if g.m.avoid(s) {
		return g.resolve()
	}
	return g.sendAs("take in once more", s)
}
