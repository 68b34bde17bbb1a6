package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxChain bounds the aliases that are followed (RFC 1034 §3.6.2 asks for
	// a bound and gives none).
	maxChain = 8
	// rounds is how often each server is asked.
	rounds = 2
	// udpSize is what passes most networks unfragmented (RFC 9715 §3).
	udpSize = 1232

	minTTL       = time.Second // a burst of mail asks once even where the TTL is 0
	maxTTL       = time.Hour
	maxNegative  = 5 * time.Minute
	temporaryTTL = 5 * time.Second
	noSOATTL     = 5 * time.Second
)

var (
	errServers  = errors.New("no resolver is configured")
	errChain    = errors.New("too many aliases")
	errForeign  = errors.New("the answer is for another question")
	errBadRcode = errors.New("the resolver answers")
	errAsk      = errors.New("the question failed here")
	errServFail = errors.New("the resolver answers SERVFAIL")
)

// ask goes through servers and aliases until there is an answer. It always
// gives an entry that may be remembered.
func (r *Resolver) ask(ctx context.Context, k key) entry {
	fail := func(kind, cause error, ttl time.Duration) entry {
		return entry{
			err:   &Error{Name: k.name, Type: dns.TypeToString[k.qtype], Kind: kind, Cause: cause},
			until: time.Now().Add(ttl),
		}
	}
	name := dns.Fqdn(k.name)
	ttl := maxTTL
	links := 0
	secure := true
	for {
		answer, err := r.question(ctx, name, k.qtype)
		if err != nil {
			return fail(ErrTemporary, err, temporaryTTL)
		}
		secure = secure && answer.AuthenticatedData
		found := follow(answer, name, k.qtype)
		if links += found.links; links > maxChain {
			return fail(ErrTemporary, errChain, temporaryTTL)
		}
		ttl = min(ttl, found.ttl)
		switch {
		case answer.Rcode == dns.RcodeNameError:
			return fail(ErrNotFound, nil, min(ttl, negativeTTL(answer)))
		case len(found.records) > 0:
			return entry{records: found.records, name: plain(found.name), secure: secure, until: time.Now().Add(max(ttl, minTTL))}
		case found.links == 0 || hasSOA(answer):
			return fail(ErrNoData, nil, min(ttl, negativeTTL(answer)))
		}
		name = found.name // the resolver left the rest of the chain to us
	}
}

// chain is what an answer says of a name.
type chain struct {
	records []dns.RR
	name    string // at the end of the aliases
	links   int
	ttl     time.Duration
}

// follow reads the aliases in an answer from a name on.
func follow(answer *dns.Msg, name string, qtype uint16) chain {
	c := chain{name: dns.CanonicalName(name), ttl: maxTTL}
	for c.links <= maxChain {
		alias := ""
		for _, rr := range answer.Answer {
			h := rr.Header()
			if dns.CanonicalName(h.Name) != c.name {
				continue
			}
			if h.Rrtype == qtype {
				c.records = append(c.records, rr)
				c.ttl = min(c.ttl, seconds(h.Ttl))
			} else if cname, ok := rr.(*dns.CNAME); ok {
				alias = dns.CanonicalName(cname.Target)
				c.ttl = min(c.ttl, seconds(h.Ttl))
			}
		}
		if len(c.records) > 0 || alias == "" {
			return c
		}
		c.name = alias
		c.links++
	}
	return c
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }

func hasSOA(answer *dns.Msg) bool {
	for _, rr := range answer.Ns {
		if _, ok := rr.(*dns.SOA); ok {
			return true
		}
	}
	return false
}

// negativeTTL is how long "there is nothing" holds (RFC 2308 §5).
func negativeTTL(answer *dns.Msg) time.Duration {
	for _, rr := range answer.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return max(minTTL, min(maxNegative, seconds(soa.Hdr.Ttl), seconds(soa.Minttl)))
		}
	}
	return noSOATTL
}

// question asks the servers in turn until one gives a clear answer.
func (r *Resolver) question(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	servers, err := r.servers()
	if err != nil {
		return nil, err
	}
	last := errServers
	for range rounds {
		for _, server := range servers {
			answer, err := r.server(ctx, server, name, qtype)
			if err == nil {
				return answer, nil
			}
			last = fmt.Errorf("%s: %w", server, err)
			if ctx.Err() != nil {
				return nil, last
			}
		}
	}
	return nil, last
}

// server asks one server, over TCP if the answer is too long for UDP.
func (r *Resolver) server(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	m := message(name, qtype)
	answer, err := r.once(ctx, "udp", server, m)
	if err == nil && answer.Rcode == dns.RcodeFormatError {
		m.Extra = nil // an old server without EDNS (RFC 6891 §7)
		answer, err = r.once(ctx, "udp", server, m)
	}
	if err == nil && answer.Truncated {
		answer, err = r.once(ctx, "tcp", server, m)
	}
	if err != nil {
		return nil, err
	}
	switch answer.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return answer, nil
	case dns.RcodeServerFailure:
		return nil, errServFail
	}
	return nil, fmt.Errorf("%w %s", errBadRcode, dns.RcodeToString[answer.Rcode])
}

// message is a question to a resolver.
func message(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.SetEdns0(udpSize, false)
	m.AuthenticatedData = true // asks to be told (RFC 6840 §5.7)
	return m
}

func (r *Resolver) once(ctx context.Context, network, server string, m *dns.Msg) (*dns.Msg, error) {
	m.Id = number()
	if network == "udp" && r.o.Exchange == nil {
		return r.sockets.ask(ctx, r.o.Timeout, server, m)
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	answer, err := r.exchange(ctx, network, server, m)
	if err != nil {
		return nil, err
	}
	if !answersTo(answer, m) {
		return nil, errForeign
	}
	return answer, nil
}

func (r *Resolver) exchange(ctx context.Context, network, server string, m *dns.Msg) (*dns.Msg, error) {
	if r.o.Exchange != nil {
		return r.o.Exchange(ctx, network, server, m)
	}
	client := dns.Client{Net: network, Timeout: r.o.Timeout}
	answer, _, err := client.ExchangeContext(ctx, m, server)
	return answer, err
}

// answersTo tells whether a message answers a question: it repeats it (RFC 5452 §9.1),
// unless it only says that it cannot answer.
func answersTo(answer, m *dns.Msg) bool {
	if !answer.Response || answer.Id != m.Id {
		return false
	}
	if len(answer.Question) == 0 {
		return answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError
	}
	asked, got := m.Question[0], answer.Question[0]
	return got.Qtype == asked.Qtype && dns.CanonicalName(got.Name) == dns.CanonicalName(asked.Name)
}

func withPort(server, port string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), port)
}
