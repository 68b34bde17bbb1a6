package route

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/hayauma/hayauma/internal/mail"
)

func (r Route) checkHook() error {
	u, err := url.Parse(r.URL)
	switch {
	case r.TLS != "" || r.User != "" || len(r.Hosts) > 0:
		return errors.New("a web hook has a URL and a proof, and neither hosts nor a user")
	case err != nil || len(r.URL) > maxText || u.User != nil || u.Fragment != "" || u.Opaque != "" || !mayTake(u):
		return errors.New("a web hook is an https: URL without user and fragment; http: leads to an address of this machine alone, like http://127.0.0.1:8080/mail")
	case u.Scheme == "http" && r.Proxy != "":
		return errors.New("an http: URL is for this machine, and by a proxy it would lead to the proxy's own, with mail and secret in clear on the way: use https:, or no proxy")
	case r.Auth != NoAuth && r.Auth != Bearer && r.Auth != HMAC:
		return errors.New("a web hook knows us by bearer or hmac, or not at all")
	case (r.Auth == NoAuth) != (r.Secret == ""):
		return errors.New("bearer and hmac go together with a secret: give both, or none")
	}
	return nil
}

// mayTake tells whether mail may go to a URL: encrypted, or not beyond this machine.
func mayTake(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	switch u.Scheme {
	case "http":
		return err == nil && addr.Unmap().IsLoopback()
	case "https":
		if err != nil {
			_, err = mail.ParseDomain(u.Hostname())
		}
		return err == nil
	}
	return false
}

// Server is who takes the requests of a web hook, and whether over TLS.
func (r Route) Server() (h Host, secure bool) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return h, false
	}
	h = Host{Name: u.Hostname(), Port: 80, Weight: 1}
	if secure = u.Scheme == "https"; secure {
		h.Port = 443
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		h.Port = int(n)
	}
	return h, secure
}
