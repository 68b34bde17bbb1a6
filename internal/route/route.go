// Package route knows by which way mail leaves: the operator's routes, and the
// rules that choose one of them for a recipient.
package route

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
)

// Kind is how a route takes mail.
type Kind string

// The kinds of routes.
const (
	SMTP Kind = "smtp"
	LMTP Kind = "lmtp" // RFC 2033: each recipient has an answer of its own
	HTTP Kind = "http" // a web hook: each recipient is a request
)

// Auth is how a web hook knows that a request is from here.
type Auth string

// The proofs for web hooks.
const (
	NoAuth Auth = ""
	Bearer Auth = "bearer" // the secret itself, as a token (RFC 6750 §2.1)
	HMAC   Auth = "hmac"   // HMAC-SHA256 over time, envelope and message
)

// Route is a way out that the operator has made.
type Route struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// TLS is "starttls" or "implicit", which verify the certificate, or
	// "opportunistic" or "none". A password is never sent without TLS.
	TLS    string `json:"tls,omitempty"`
	User   string `json:"user,omitempty"` // empty = no login
	Secret Secret `json:"-"`
	// HasSecret is for people, who are not told the secret itself.
	HasSecret bool   `json:"has_secret,omitempty"`
	Hosts     []Host `json:"hosts,omitempty"`
	URL       string `json:"url,omitempty"`  // of a web hook
	Auth      Auth   `json:"auth,omitempty"` // of a web hook
	// Proxy is through which its connections leave, with its user; empty = none.
	Proxy          string `json:"proxy,omitempty"`
	ProxySecret    Secret `json:"-"` // the password of the proxy's user
	HasProxySecret bool   `json:"has_proxy_secret,omitempty"`
	Changed        int64  `json:"-"` // microseconds
}

// Secret is a password. It shows itself to nobody who does not ask for its text by
// converting it.
type Secret string

// String implements fmt.Stringer.
func (Secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps it out of all that is written for others.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Host is one that a route leads to. Like an SRV record (RFC 2782) it is tried behind
// those of a lower preference, and among equal ones gets its share by weight.
type Host struct {
	Name       string `json:"host"` // a domain name, an address, or of LMTP a socket: unix:/path
	Port       int    `json:"port"`
	Preference int    `json:"preference"`
	Weight     int    `json:"weight"`
}

// Direct is the word for no route at all: to the exchangers of the recipient's domain,
// or to the smart host of the settings.
const Direct = "mx"

// sitePrefix begins the site of a route: no domain has a colon in it.
const sitePrefix = "route:"

// Site is where recipients go together that go by this route.
func Site(name string) string { return sitePrefix + name }

// OfSite names the route that a site stands for; false if it is a domain.
func OfSite(site string) (name string, ok bool) { return strings.CutPrefix(site, sitePrefix) }

// Bounds of what is kept.
const (
	maxName   = 40
	maxHosts  = 10
	maxText   = 1000
	maxNumber = 65535
)

// CheckName tells what is wrong with the name of a route.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName && name != Direct
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0)
	}
	if !ok {
		return fmt.Errorf("%q is no name for a route: use up to %d lower-case letters, digits and hyphens, and not %q", name, maxName, Direct)
	}
	return nil
}

// Check tells what is wrong with a route.
func (r Route) Check() error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	if len(r.User) > maxText || len(r.Secret) > maxText || strings.ContainsAny(r.User+string(r.Secret), "\x00\r\n") {
		return fmt.Errorf("user and password have up to %d octets each, in one line", maxText)
	}
	if _, err := dnsx.ParseProxy(r.Proxy, string(r.ProxySecret)); err != nil {
		return err
	}
	switch r.Kind {
	case SMTP, LMTP:
		if r.URL != "" || r.Auth != "" {
			return errors.New("only a web hook has a URL and a proof (--kind http)")
		}
		return errors.Join(r.checkHosts(), r.checkLogin())
	case HTTP:
		return r.checkHook()
	}
	return fmt.Errorf("%q is no kind of route: use smtp, lmtp or http", string(r.Kind))
}

func (r Route) checkLogin() error {
	switch r.TLS {
	case "starttls", "implicit", "opportunistic", "none":
	default:
		return fmt.Errorf("tls = %q: use starttls, implicit, opportunistic or none", r.TLS)
	}
	switch {
	case (r.User == "") != (r.Secret == ""):
		return errors.New("a user and his password go together: give both, or none for no login")
	case r.User != "" && r.TLS != "starttls" && r.TLS != "implicit":
		return fmt.Errorf("tls = %s would show the password to the network: use starttls or implicit, or no login", r.TLS)
	}
	return nil
}

func (r Route) checkHosts() error {
	if len(r.Hosts) == 0 || len(r.Hosts) > maxHosts {
		return fmt.Errorf("a route has 1 to %d hosts", maxHosts)
	}
	seen := map[string]bool{}
	for _, h := range r.Hosts {
		if seen[h.addr()] {
			return fmt.Errorf("%s stands there twice", h.addr())
		}
		seen[h.addr()] = true
		if _, socket := h.Socket(); socket && r.Kind != LMTP {
			return fmt.Errorf("%s: only LMTP goes to a socket", h.Name)
		}
		if err := h.check(); err != nil {
			return err
		}
	}
	return nil
}

func (h Host) addr() string { return net.JoinHostPort(h.Name, strconv.Itoa(h.Port)) }

// Socket is the path of a host that is a socket of this machine.
func (h Host) Socket() (path string, ok bool) {
	if path, ok = strings.CutPrefix(h.Name, "unix:"); !ok {
		path = ""
	}
	return path, ok
}

// maxSocket is what every system takes as the path of a socket.
const maxSocket = 100

func (h Host) check() error {
	if path, ok := h.Socket(); ok {
		if !filepath.IsAbs(path) || len(path) > maxSocket || h.Port != 0 {
			return fmt.Errorf("%s: a socket has an absolute path of up to %d octets, and no port", h.Name, maxSocket)
		}
		h.Port = 1
	}
	if h.Port < 1 || h.Port > maxNumber || h.Preference < 0 || h.Preference > maxNumber || h.Weight < 0 || h.Weight > maxNumber {
		return fmt.Errorf("%s: a port is a number from 1 to %d, preference and weight are from 0 to that", h.addr(), maxNumber)
	}
	if _, socket := h.Socket(); socket || net.ParseIP(h.Name) != nil {
		return nil
	}
	if d, err := mail.ParseDomain(h.Name); err != nil || d.ASCII != h.Name {
		return fmt.Errorf("%q is neither a host name nor an address", h.Name)
	}
	return nil
}

// ParseHost reads a host as people write it: HOST[:PORT][,PREFERENCE[,WEIGHT]], or a
// socket in place of HOST. What is
// not said is the port given, preference 0 and weight 1.
func ParseHost(s string, port int) (Host, error) {
	h := Host{Port: port, Weight: 1}
	words := strings.Split(s, ",")
	numbers := []*int{&h.Preference, &h.Weight}
	ok := len(words) <= 1+len(numbers)
	for i, word := range words[1:min(len(words), 1+len(numbers))] {
		n, err := strconv.ParseUint(strings.TrimSpace(word), 10, 16)
		*numbers[i], ok = int(n), ok && err == nil
	}
	h.Name = strings.TrimSpace(words[0])
	if path, socket := h.Socket(); socket {
		h.Port = 0
		if !ok || !filepath.IsAbs(path) {
			return h, fmt.Errorf("%q is no socket: write it like unix:/run/dovecot/lmtp", s)
		}
		return h, nil
	}
	if host, text, err := net.SplitHostPort(h.Name); err == nil {
		n, err := strconv.ParseUint(text, 10, 16)
		h.Name, h.Port, ok = host, int(n), ok && err == nil && n > 0
	}
	h.Name = strings.Trim(h.Name, "[]")
	if net.ParseIP(h.Name) == nil {
		d, err := mail.ParseDomain(h.Name)
		h.Name, ok = d.ASCII, ok && err == nil
	}
	if !ok {
		return h, fmt.Errorf("%q is no host: write it like smtp.example.org:587, or smtp.example.org:587,10,5 with its preference and weight", s)
	}
	return h, nil
}
