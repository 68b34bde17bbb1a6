package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// Validate checks what the settings mean, the files that they name included. The
// error joins every problem found, each a *Problem.
func (c *Config) Validate() error {
	var all []error
	for _, p := range append(c.check(), c.checkFiles()...) {
		all = append(all, p)
	}
	return errors.Join(all...)
}

// checker collects the problems of one configuration.
type checker struct {
	*Config
	problems []*Problem
}

// bad notes that key, whose value is value, is not text.
func (k *checker) bad(key string, value any, text string) {
	k.problems = append(k.problems, k.origin.problem(key, literal(reflect.ValueOf(value)), text))
}

// check finds all problems that need no look at a file.
func (c *Config) check() []*Problem {
	k := &checker{Config: c}
	if c.Hostname == "" {
		k.problems = append(k.problems, c.origin.problem("hostname", "",
			`is missing; write hostname = "mx1.example.org" with the name of this server in the first line`))
	} else if why := badHostname(c.Hostname); why != "" {
		k.bad("hostname", c.Hostname, why+`; write the full name of this server, like "mx1.example.org"`)
	}
	if c.DataDir == "" {
		k.bad("data_dir", c.DataDir, "must not be empty; write the folder that keeps the mail")
	}
	c.walk(k.bounds)
	k.listeners()
	k.resolver()
	k.oauth()
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		key, value := "tls.key_file", c.TLS.KeyFile
		if c.TLS.CertFile == "" {
			key, value = "tls.cert_file", c.TLS.CertFile
		}
		k.bad(key, value, "cert_file and key_file go together; set both, or none for a self-signed certificate")
	}
	if c.Mail.Postmaster != "" && !plainAddress(c.Mail.Postmaster) {
		k.bad("mail.postmaster", c.Mail.Postmaster, `must be an address like "admin@example.org"; correct it, or write "" for the first account of each domain`)
	}
	if c.Reports.Contact != "" && !plainAddress(c.Reports.Contact) {
		k.bad("reports.contact", c.Reports.Contact, `must be an address like "admin@example.org"; correct it, or write "" for postmaster at the hostname`)
	}
	if o := c.Reports.Organization; len(o) > 200 || strings.ContainsFunc(o, unicode.IsControl) {
		k.bad("reports.organization", o, "must be one line of at most 200 octets; shorten it")
	}
	if len(c.Queue.Retry) == 0 {
		k.bad("queue.retry", c.Queue.Retry, `must hold at least one wait; write one like ["5m", "1h"]`)
	}
	if d := c.Outbound.BounceDomain; d != "" && badHostname(d) != "" {
		k.bad("outbound.bounce_domain", d, badHostname(d)+`; write a domain like "bounce.example.org", or "" for the domain of each sender`)
	}
	k.smartHost()
	k.proxy()
	k.storage()
	return k.problems
}

// bounds checks the bounds and words that stand in the tags.
func (k *checker) bounds(f field) {
	if words := f.words(); words != nil && !slices.Contains(words, f.value.String()) {
		k.bad(f.key, f.value.Interface(), "must be one of "+strings.Join(words, ", ")+"; write one of them, or remove the line for the default")
	}
	items := []reflect.Value{f.value}
	if f.value.Kind() == reflect.Slice {
		items = nil
		for i := range f.value.Len() {
			items = append(items, f.value.Index(i))
		}
	}
	for _, v := range items {
		if low, ok := bound(f, "min"); ok && v.Int() < low {
			k.bad(f.key, f.value.Interface(), "must be at least "+f.tag.Get("min")+"; raise it, or remove the line for the default")
			return
		}
		if high, ok := bound(f, "max"); ok && v.Int() > high {
			k.bad(f.key, f.value.Interface(), "must be at most "+f.tag.Get("max")+"; lower it, or remove the line for the default")
			return
		}
	}
}

// bound reads a bound from a tag in the field's own unit. A test reads them all,
// so an unreadable one does not get this far.
func bound(f field, which string) (int64, bool) {
	text := f.tag.Get(which)
	if text == "" {
		return 0, false
	}
	t := f.value.Type()
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Duration]() {
		d, err := ParseDuration(text)
		return int64(d), err == nil
	}
	s, err := ParseSize(text)
	return int64(s), err == nil
}

// listeners checks every address to listen on, and that none is there twice.
func (k *checker) listeners() {
	taken := map[string]string{}
	k.walk(func(f field) {
		if !strings.HasPrefix(f.key, "listen.") {
			return
		}
		for i := range f.value.Len() {
			addr := f.value.Index(i).String()
			network, place, err := SplitListen(addr)
			switch {
			case err != nil:
				k.bad(f.key, addr, err.Error()+`; write "addr:port", ":port" for all addresses, or [] to turn the service off`)
			case network == "unix" && f.key != "listen.lmtp":
				k.bad(f.key, addr, `only lmtp can listen on a unix socket; write "addr:port"`)
			case taken[place] != "":
				k.bad(f.key, addr, "is already taken by "+taken[place]+"; give each service a port of its own")
			case !strings.HasSuffix(place, ":0"): // the kernel picks: never the same twice
				taken[place] = f.key
			}
		}
	})
}

// SplitListen takes an entry of [listen] apart for net.Listen: "unix:/path" is
// ("unix", "/path"), "addr:port" is ("tcp", "addr:port"). Port 0 lets the kernel pick.
func SplitListen(entry string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(entry, "unix:"); ok {
		// sockaddr_un has room for 108 bytes with the final zero, 104 on BSD.
		if !filepath.IsAbs(path) || len(path) > 103 || strings.ContainsRune(path, 0) {
			return "", "", errors.New(`a unix socket is "unix:" and an absolute path of at most 103 bytes`)
		}
		return "unix", filepath.Clean(path), nil
	}
	host, port, err := net.SplitHostPort(entry)
	if err != nil {
		return "", "", errors.New("is not an address with a port")
	}
	if host != "" && host != "localhost" {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return "", "", fmt.Errorf("%q is not an IP address", host)
		}
		host = ip.String()
	}
	if n, ok := portNumber(port); !ok {
		return "", "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	} else {
		return "tcp", net.JoinHostPort(host, strconv.Itoa(n)), nil
	}
}

// portNumber reads a port in plain digits.
func portNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil
}

// resolver checks the address of the resolver, and the names that it is proven by.
func (k *checker) resolver() {
	for _, p := range [][2]string{{"dns.proof_signed", k.DNS.ProofSigned}, {"dns.proof_bogus", k.DNS.ProofBogus}} {
		if why := badHostname(p[1]); p[1] != "" && why != "" {
			k.bad(p[0], p[1], why+`; correct it, remove the line for the default, or write "" for no proof`)
		}
	}
	if k.DNS.Resolver == "" {
		return
	}
	ap, err := netip.ParseAddrPort(withPort(k.DNS.Resolver, "53"))
	if err != nil || ap.Port() == 0 {
		k.bad("dns.resolver", k.DNS.Resolver, `must be "addr" or "addr:port" with an IP address; correct it, or write "" for the system's resolvers`)
	}
}

// withPort adds the port where s is a bare IP address.
func withPort(s, port string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		return net.JoinHostPort(ip.String(), port)
	}
	return s
}

// proxy checks how the proxy is written, and that it has a password if it has a user.
func (k *checker) proxy() {
	o := k.Outbound
	password := ""
	if o.ProxyPasswordFile != "" {
		password = "some"
	}
	_, err := dnsx.ParseProxy(o.Proxy, password)
	switch {
	case o.Proxy == "" && password != "":
		k.bad("outbound.proxy_password_file", o.ProxyPasswordFile, "there is no proxy to log in to; set outbound.proxy, or remove the file")
	case errors.Is(err, dnsx.ErrProxyPassword):
		k.bad("outbound.proxy", o.Proxy, "the user of a proxy and proxy_password_file go together; set both, or none for no login")
	case err != nil:
		k.bad("outbound.proxy", shownURL(o.Proxy), err.Error())
	}
}

// proxyFile checks that the proxy can have the password that the file holds.
func (k *checker) proxyFile() {
	password, err := k.Outbound.ProxyPassword()
	if err == nil && password != "" {
		_, err = dnsx.ParseProxy(k.Outbound.Proxy, password)
	}
	if err != nil {
		k.bad("outbound.proxy_password_file", k.Outbound.ProxyPasswordFile, err.Error())
	}
}

// smartHost checks that address, login and TLS of the smart host fit together.
func (k *checker) smartHost() {
	o := k.Outbound
	if o.SmartHost == "" {
		if o.SmartHostUser != "" {
			k.bad("outbound.smart_host_user", o.SmartHostUser, "there is no smart_host to log in to; set outbound.smart_host, or remove the user")
		}
		if o.SmartHostPasswordFile != "" {
			k.bad("outbound.smart_host_password_file", o.SmartHostPasswordFile, "there is no smart_host to log in to; set outbound.smart_host, or remove the file")
		}
		return
	}
	host, port, err := net.SplitHostPort(o.SmartHost)
	n, portOK := portNumber(port)
	_, notIP := netip.ParseAddr(host)
	if err != nil || !portOK || n == 0 || notIP != nil && badHostname(host) != "" {
		k.bad("outbound.smart_host", o.SmartHost, `must be "host:port" like "smtp.example.org:587"; correct it, or write "" to send without one`)
	}
	if (o.SmartHostUser == "") != (o.SmartHostPasswordFile == "") {
		k.bad("outbound.smart_host_user", o.SmartHostUser, "smart_host_user and smart_host_password_file go together; set both, or none for no login")
	}
	inTheClear := o.SmartHostTLS == "opportunistic" || o.SmartHostTLS == "none"
	if o.SmartHostPasswordFile != "" && inTheClear {
		k.bad("outbound.smart_host_tls", o.SmartHostTLS, "would show the password to the network; write starttls or implicit, or remove the login")
	}
}

// checkFiles opens the files that the settings name.
func (c *Config) checkFiles() []*Problem {
	k := &checker{Config: c}
	if c.TLS.CertFile != "" && c.TLS.KeyFile != "" {
		if _, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile); err != nil {
			k.bad("tls.cert_file", c.TLS.CertFile, "is no usable pair with key_file: "+err.Error()+`; correct the files, or write "" for both`)
		}
	}
	if c.Outbound.SmartHostPasswordFile != "" {
		if _, err := c.Outbound.SmartHostPassword(); err != nil {
			k.bad("outbound.smart_host_password_file", c.Outbound.SmartHostPasswordFile, err.Error())
		}
	}
	k.proxyFile()
	if _, err := c.Auth.ClientCAs(); err != nil {
		k.bad("auth.client_ca", c.Auth.ClientCA, err.Error())
	}
	k.storageFiles()
	return k.problems
}
