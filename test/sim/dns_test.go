package sim

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// zone is what DNS knows of a site.
type zone struct {
	hosts  []*host // by preference
	kind   string  // "mx", "implicit", "gone" (NXDOMAIN), "null" (RFC 7505), "bare" (an MX without address)
	broken string  // for now: "", "fails" or "silent"
}

// final tells whether the zone says for good that no mail can be had there.
func (z *zone) final() bool { return z.kind == "gone" || z.kind == "null" || z.kind == "bare" }

// exchange answers the questions of one process.
func (p *process) exchange(ctx context.Context, _, _ string, question *dns.Msg) (*dns.Msg, error) {
	w := p.w
	q := question.Question[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name), ".")
	key := fmt.Sprintf("%s dns %s %s", p.name, dns.TypeToString[q.Qtype], name)
	a := w.gates.passUntil(ctx, p, key, func() answer {
		z := w.zoneOf(name)
		switch {
		case z != nil && z.broken == "silent":
			return answer{value: "silent"}
		case z != nil && z.broken == "fails":
			return answer{value: dns.RcodeServerFailure}
		}
		return answer{}
	})
	if a.dead {
		return nil, errDead
	}
	reply := new(dns.Msg)
	reply.SetReply(question)
	reply.RecursionAvailable = true
	switch v := a.value.(type) {
	case string:
		<-ctx.Done()
	case int:
		reply.Rcode = v
		return reply, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.resolve(reply, name, q.Qtype)
	return reply, nil
}

func (w *world) zoneOf(name string) *zone {
	for _, site := range w.sites {
		if name == site.name || strings.HasSuffix(name, "."+site.name) {
			return site.zone
		}
	}
	return nil
}

// resolve fills an answer.
func (w *world) resolve(reply *dns.Msg, name string, qtype uint16) {
	add := func(format string, args ...any) {
		rr, err := dns.NewRR(fmt.Sprintf(format, args...))
		if err != nil {
			w.fail("record: %v", err)
			return
		}
		reply.Answer = append(reply.Answer, rr)
	}
	z := w.zoneOf(name)
	if z == nil || z.kind == "gone" {
		reply.Rcode = dns.RcodeNameError
		return
	}
	if qtype == dns.TypeMX {
		switch z.kind {
		case "null":
			add("%s. 60 MX 0 .", name)
		case "bare":
			add("%s. 60 MX 10 nowhere.%s.", name, name)
		case "mx":
			for i, h := range z.hosts {
				add("%s. 60 MX %d %s.", name, 10*(i+1), h.name)
			}
		}
		return
	}
	for _, addr := range w.addresses(name) {
		switch {
		case addr.Is4() && qtype == dns.TypeA:
			add("%s. 60 A %s", name, addr)
		case addr.Is6() && qtype == dns.TypeAAAA:
			add("%s. 60 AAAA %s", name, addr)
		}
	}
}

// addresses of a host, in order.
func (w *world) addresses(name string) (out []netip.Addr) {
	for _, addr := range w.addrs {
		if w.hosts[addr].name == name {
			out = append(out, addr)
		}
	}
	return out
}
