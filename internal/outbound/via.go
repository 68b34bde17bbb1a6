package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
)

// terms are the settings as they hold for one site.
type terms struct {
	Settings
	via    *via        // nil = mail goes to the exchangers of the site
	relay  *Relay      // nil = it is no relay domain
	lost   *mail.Fault // why it cannot be told where mail for the site goes
	demand Demand      // of the operator
	way    string      // see called
}

// via is who takes mail instead of a domain's own exchangers: the smart host of the
// settings, the next hosts of a relay domain, or a route.
type via struct {
	route          string // its name; empty = the smart host
	relay          bool   // they are the next hosts of a relay domain
	lmtp           bool   // each recipient has an answer of its own (RFC 2033)
	url            string // of a web hook; empty = it is none
	auth           route.Auth
	proxy          string // through which its connections leave
	proxyPassword  string
	missing        bool // a route that is not there any more
	hosts          []route.Host
	user, password string
	tls            string
	changed        int64 // when the route was; what was connected to before is not used again
}

// terms returns what holds for a site now.
func (o *Outbound) terms(ctx context.Context, site string) terms {
	t := terms{Settings: o.settings()}
	t.via, t.relay, t.lost = o.wayOf(ctx, site, t.SmartHost)
	t.way = t.called()
	return t
}

func (o *Outbound) wayOf(ctx context.Context, site string, smart SmartHost) (v *via, r *Relay, lost *mail.Fault) {
	if name, ok := route.OfSite(site); ok {
		return o.viaRoute(name), nil, nil
	}
	if o.o.Relay != nil {
		var err error
		if r, err = o.o.Relay(ctx, site); err != nil {
			return nil, nil, mail.Temporary(mail.DirectoryFailure, "It cannot be told here where mail for "+site+" goes").Because(err)
		}
	}
	switch {
	case r != nil:
		v = r.onward()
	case smart.Host != "":
		v = &via{hosts: []route.Host{{Name: smart.Host, Port: smart.Port}}, user: smart.User, password: smart.Password, tls: cmp.Or(smart.TLS, "starttls")}
	}
	return v, r, nil
}

func (o *Outbound) viaRoute(name string) *via {
	r, ok := route.Route{}, false
	if o.o.Route != nil {
		r, ok = o.o.Route(name)
	}
	v := &via{route: name, missing: !ok, lmtp: r.Kind == route.LMTP, hosts: r.Hosts, user: r.User, password: string(r.Secret), tls: r.TLS,
		proxy: r.Proxy, proxyPassword: string(r.ProxySecret), changed: r.Changed}
	if r.Kind == route.HTTP {
		v.url, v.auth = r.URL, r.Auth
		host, secure := r.Server()
		v.hosts, v.tls = []route.Host{host}, "none"
		if secure {
			v.tls = "implicit"
		}
	}
	return v
}

// called names the way, "" for the exchangers of a domain: what was connected to for one
// way is used for no other one, whose login, TLS or hosts may differ.
func (t terms) called() string {
	name := ""
	switch v := t.via; {
	case v == nil:
	case v.route != "":
		return fmt.Sprint("route ", v.route, " ", v.changed)
	case v.relay:
		name = "next host"
	default:
		name = fmt.Sprint("smart host ", v.hosts, " ", v.user, " ", v.tls)
	}
	if t.Proxy != "" {
		name += " by " + t.Proxy
	}
	return name
}

// pooled tells whether a message leaves by a pool of source addresses, if one is for it.
// Hosts that are ours, a mail store or the next hosts of a relay domain, do not ask who we
// are and need no warm-up; behind a proxy the address is that of the proxy.
func (t terms) pooled() bool {
	return t.proxy() == "" && (t.via == nil || !t.via.lmtp && !t.via.relay && t.via.url == "")
}

// exchangers are its hosts in the order in which one attempt tries them. That a route
// is missing delays mail until somebody mends it, and never bounces it.
func (v *via) exchangers() ([]exchanger, *mail.Fault) {
	if v.missing {
		return nil, mail.Temporary(mail.NoRoute, "The route "+v.route+" by which this was to go is not there any more: make it again, or give the mail another way with 'hayauma queue reroute'")
	}
	var out []exchanger
	for _, h := range route.Order(v.hosts, rand.IntN) {
		e := exchanger{name: h.Name, preference: uint16(h.Preference), weight: h.Weight, port: h.Port, known: true}
		e.socket, _ = h.Socket()
		if addr, err := netip.ParseAddr(strings.Trim(h.Name, "[]")); err == nil {
			e.addrs = []netip.Addr{addr}
		}
		out = append(out, e)
	}
	return out, nil
}

// host names a host for people, who may have to mend it here.
func (t terms) host(name string) string {
	switch v := t.via; {
	case v == nil:
		return "The mail exchanger " + name
	case v.route != "":
		return "The host " + name + " of the route " + v.route
	case v.relay:
		return "The next host " + name
	}
	return "The smart host " + name
}

// patient makes a finding about hosts that the operator has named, or about a domain
// for which we said that we pass its mail on, a temporary one: what is wrong is to be
// mended here, and no sender can do anything about it.
func (t terms) patient(f *mail.Fault) *mail.Fault {
	if t.via == nil && t.relay == nil || f == nil || f.Class == mail.Transient {
		return f
	}
	text := f.Public
	if t.relay != nil && f.Status == mail.RoutingLoop {
		text += ": give the relay domain a next host that is another"
	}
	return mail.Temporary(f.Status, text).Because(f.Cause)
}

// proxy is through which connections leave, "" for none: a route has its own alone.
func (t terms) proxy() string {
	if t.via != nil && t.via.route != "" {
		return t.via.proxy
	}
	return t.Proxy
}

// egress is the proxy with the password of its user.
func (t terms) egress() (dnsx.Proxy, error) {
	if t.via != nil && t.via.route != "" {
		return dnsx.ParseProxy(t.via.proxy, t.via.proxyPassword)
	}
	return dnsx.ParseProxy(t.Proxy, t.ProxyPassword)
}

// locked is what is found where the proxy does not let us in, nil if err says something
// else. It delays mail until somebody mends it, and bounces none.
func (w *worker) locked(err error) *problem {
	if !errors.Is(err, dnsx.ErrProxyLogin) {
		return nil
	}
	by := w.set.proxy()
	w.o.o.Logger.Error("the proxy refuses our login", "proxy", by, "error", err)
	said, mend, login := " wants a login: ", "set its user in outbound.proxy, and outbound.proxy_password_file", w.set.ProxyPassword
	if v := w.set.via; v != nil && v.route != "" {
		mend, login = "give its user and password with 'hayauma route set "+v.route+" ... --proxy-password-stdin'", v.proxyPassword
	}
	if login != "" {
		said = " refuses our login: "
	}
	p := finding(mail.Temporary(mail.AuthCredentials, "The proxy "+by+said+mend))
	return &p
}

// dialer is how connections are made on these terms.
func (w *worker) dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	p, err := w.set.egress()
	if err != nil { // it was checked when it was set
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	return p.By(w.o.o.Dial)
}

// words name the way for people.
func (v *via) words() string {
	switch {
	case v.url != "":
		return "route " + v.route + ", web hook " + v.url
	case v.route != "":
		return "route " + v.route
	case v.relay:
		return "next host"
	}
	return "smart host"
}
