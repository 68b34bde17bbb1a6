package outbound

import (
	"net/netip"
	"sync"
)

// maxDoors bounds the sites that doors remembers.
const maxDoors = 10_000

// doors remembers which of our source addresses the hosts of a site have shut out since
// they last let one in; of none: the one that the system chooses.
type doors struct {
	mu   sync.Mutex
	shut map[string]map[netip.Addr]bool // by site
}

func newDoors() *doors { return &doors{shut: map[string]map[netip.Addr]bool{}} }

// open notes that a site has let us in.
func (d *doors) open(site string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.shut, site)
}

// refused notes that a site has shut out an address.
func (d *doors) refused(site string, from netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut[site] == nil {
		if len(d.shut) >= maxDoors {
			clear(d.shut)
		}
		d.shut[site] = map[netip.Addr]bool{}
	}
	d.shut[site][from] = true
}

// has tells whether a site has shut out an address.
func (d *doors) has(site string, from netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shut[site][from]
}

// individual tells whether a host that shut the door on this message may have left it open
// for another. What it says before MAIL is to everybody (RFC 5321 §3.1 and §3.8); where we
// come from many addresses, perhaps to one of them, until all have heard it. A login is the
// same from each.
func (w *worker) individual(t target, p *problem) bool {
	if p.ours || p.login || w.o.o.Sources == nil {
		return false
	}
	from := p.source
	if w.group == "" {
		from = netip.Addr{}
	}
	w.o.doors.refused(w.site, from)
	return w.group != "" && !w.o.o.Sources.Every(t.addr.Addr().Is4(), func(a netip.Addr) bool { return w.o.doors.has(w.site, a) })
}
