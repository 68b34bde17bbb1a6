package outbound

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func loop(site string) *mail.Fault {
	return mail.Final(mail.RoutingLoop, "Mail for "+site+" leads back to this server")
}

// isUs tells whether a host is this server by its name. What the operator names besides, a
// smart host, a host of a route or another port of this one, he means.
func (o *Outbound) isUs(name string, port int, set terms) bool {
	return (set.via == nil || set.via.relay) && port == set.Port && strings.EqualFold(name, o.o.Hostname())
}

// mirrored is what is found where a host answers EHLO with our own name: DNS may have
// another one for us, and an address that no interface here has (NAT).
func (w *worker) mirrored(c *client, hello smtp.Reply) *problem {
	name, _, _ := strings.Cut(hello.Lines[0], " ")
	if !w.o.isUs(name, int(c.addr.Port()), w.set) {
		return nil
	}
	p := finding(mail.Temporary(mail.RoutingLoop, fmt.Sprintf("%s[%s]:%d answers with the name of this server, %s", c.host, c.addr.Addr(), c.addr.Port(), name)))
	p.loops = true
	return about(c, p)
}

// cut leaves of a plan, and of what was tried in vain, what counts where the host that was
// tried last is this server. RFC 5321 §5.1: it and all that are not preferred to it are no
// way.
func (w *worker) cut(p plan, tries []vain) (plan, []vain) {
	at := tries[len(tries)-1].preference
	hosts := slices.DeleteFunc(slices.Clone(p.hosts), func(h resolved) bool { return h.preference >= at })
	p = planOf(w.site, hosts)
	if len(hosts) == 0 {
		p.fault = w.set.patient(loop(w.site))
	}
	return p, tries[:slices.IndexFunc(tries, func(v vain) bool { return v.preference >= at })]
}
