package dnsx

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// resolvConf is where the system names its resolvers.
const resolvConf = "/etc/resolv.conf"

// systemEvery is how long the system's resolvers are taken for known.
const systemEvery = 30 * time.Second

// system is the resolvers of the system, as last read.
type system struct {
	mu    sync.Mutex
	known systemConf
	read  time.Time
}

type systemConf struct {
	servers []string
	trustAD bool // "options trust-ad": they are trusted to tell what DNSSEC proves
}

func (r *Resolver) servers() ([]string, error) {
	if server := r.chosen(); server != "" {
		return []string{server}, nil
	}
	conf, err := r.systemConf()
	return conf.servers, err
}

// Trusted tells whether it is believed what the resolver says that DNSSEC proves: by
// Options.TrustAD, or by the system's own word for the system's resolvers.
func (r *Resolver) Trusted() bool {
	if r.o.TrustAD != nil && r.o.TrustAD() {
		return true
	}
	if r.chosen() != "" {
		return false // what the system says is of its own resolvers
	}
	conf, err := r.systemConf()
	return err == nil && conf.trustAD
}

func (r *Resolver) systemConf() (systemConf, error) {
	s := &r.system
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.read) < systemEvery && len(s.known.servers) > 0 {
		return s.known, nil
	}
	text, err := os.ReadFile(r.o.ResolvConf)
	if err != nil {
		return systemConf{}, fmt.Errorf("resolvers of the system: %w", err)
	}
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(text))
	if err != nil {
		return systemConf{}, fmt.Errorf("resolvers of the system: %w", err)
	}
	s.known, s.read = systemConf{trustAD: trustsAD(string(text))}, time.Now()
	for _, server := range conf.Servers {
		s.known.servers = append(s.known.servers, withPort(server, conf.Port))
	}
	if len(s.known.servers) == 0 {
		return systemConf{}, errServers
	}
	return s.known, nil
}

// trustsAD looks for "trust-ad" among the options of resolv.conf(5).
func trustsAD(text string) bool {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "options" && slices.Contains(words[1:], "trust-ad") {
			return true
		}
	}
	return false
}
