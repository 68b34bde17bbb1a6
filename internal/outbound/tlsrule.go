package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

// The types of policies, as TLS reports call them (RFC 8460 §4.4).
const (
	noPolicy   = tlsrpt.NoPolicy
	stsPolicy  = tlsrpt.STS
	tlsaPolicy = tlsrpt.TLSA
)

// rule is what a connection to one host must have, by the policy of the domain
// whose mail it takes. The zero rule is opportunistic TLS (RFC 7435).
type rule struct {
	policy   string   // its type; empty = there is none
	source   string   // where it is from: "MTA-STS" or "DANE"
	name     string   // in sentences: "the MTA-STS policy of x.test (id 1)"
	lines    []string // what the domain published
	patterns []string // those for host names among it
	base     string   // of a host that DANE speaks of: the name that it is asked for
	told     string   // to people: what DANE says of the host

	must bool // what follows decides; if not, it is only reported
	// unnamed says that the policy, or what keeps us from it, bars the host.
	unnamed *mail.Fault
	aside   bool // unnamed is about us, and says nothing of the host
	// verify tells whether a handshake proves the host; nil = nobody asks for that.
	verify func(tls.ConnectionState) error
	// asks names what verify asks for: what fulfils it once fulfils it again.
	asks string

	// Of the operator, besides the policy: see Demand.
	never   string // TLS is not used, and why; empty = it may be
	insists string // TLS is used, and who says so; empty = nobody does
	proof   func(tls.ConnectionState) error

	// What kept us from a newer or any policy, for reports.
	failure, reason string
	unheld          bool // no MTA-STS policy is known, and one would count
}

// rule finds what holds for a host of a site: its policy, and what the operator asks.
func (o *Outbound) rule(ctx context.Context, set terms, site string, t target) rule {
	return set.demand.on(o.policyRule(ctx, set, site, t), func(s tls.ConnectionState) error { return o.verify(s, t.host) })
}

// policyRule finds the policy that holds for a host of a site, DANE before MTA-STS
// (RFC 8461 §2). A host that the operator names is his own matter, and an address
// literal has no domain that could have a policy (RFC 8461 §3.4).
func (o *Outbound) policyRule(ctx context.Context, set terms, site string, t target) rule {
	if set.via != nil || strings.HasPrefix(site, "[") {
		return o.namedRule(set, site, t.host)
	}
	d := o.daneRule(ctx, site, t)
	if d.unnamed != nil || d.verify != nil {
		return d
	}
	s := o.stsRule(ctx, set, site, t.host)
	if d.must && !s.must {
		return d // TLS without a proof, where nothing asks for one
	}
	return s
}

// stsRule is what the MTA-STS policy of a site asks of a host.
func (o *Outbound) stsRule(ctx context.Context, set terms, site, host string) rule {
	if o.o.STS == nil || !set.MTASTS {
		return rule{}
	}
	held, err := o.o.STS.Lookup(ctx, site)
	if err != nil {
		return rule{must: true, name: "the MTA-STS policy of " + site, aside: true,
			unnamed: mail.Temporary(mail.SystemError, "It cannot be told here which TLS policy "+site+" has").Because(err)}
	}
	r := rule{failure: held.Failure, reason: held.Reason, unheld: held.Mode == ""}
	if held.Mode != mtasts.Enforce && held.Mode != mtasts.Testing {
		return r
	}
	r.policy, r.source, r.name = stsPolicy, "MTA-STS", "the MTA-STS policy of "+site+" (id "+held.ID+")"
	r.lines, r.patterns, r.must = held.Lines(), held.MX, held.Mode == mtasts.Enforce
	r.verify, r.asks = func(s tls.ConnectionState) error { return o.verify(s, host) }, "PKIX"
	if !held.Names(host) { // RFC 8461 §4.1
		r.unnamed = mail.Temporary(mail.SecurityOther, host+" is not among the hosts that "+r.name+" names")
	}
	return r
}

// unsettled says why a site may have an MTA-STS policy that is not known yet, or a newer
// one; empty = it has none. DNS is asked, since no policy is also what is held where the
// look at it failed or goes on.
func (o *Outbound) unsettled(ctx context.Context, site string, r rule) string {
	if r.failure != "" {
		return cmp.Or(r.reason, r.failure)
	}
	if !r.unheld {
		return ""
	}
	records, err := o.o.Resolver.TXT(ctx, "_mta-sts."+site)
	switch {
	case errors.Is(err, dnsx.ErrNotFound), errors.Is(err, dnsx.ErrNoData):
		return ""
	case err != nil:
		return "the TXT record that announces a policy cannot be looked up"
	}
	if _, err := mtasts.RecordID(records); err != nil {
		return ""
	}
	return "the policy is announced, and could not be fetched yet"
}

// barred says why a host gets no connection at all.
func (r rule) barred() *mail.Fault {
	if !r.must {
		return nil
	}
	return r.unnamed
}

// names tells whether the policy says that mail for the site goes to the host.
func (r rule) names() bool { return r.must && r.policy == stsPolicy && r.unnamed == nil }

// proves tells whether the certificate of a host was verified as the rule asks.
func (r rule) proves(c *client) bool { return r.verify != nil && r.asks == c.asked && c.verdict == nil }

// asking is what is asked of a certificate, if only for a report.
func (r rule) asking() rule {
	if e := r.enforced(); e.verify != nil || r.verify == nil {
		return e
	}
	return r
}

// by tells who asks for a proof.
func (r rule) by() string {
	if r.policy != "" && !r.must {
		return r.source + ", not enforced"
	}
	return r.source
}

// refuses says why a connection must not be used, whatever it was made for. It is the rule
// for the message at hand.
func (r rule) refuses(c *client) *mail.Fault {
	c.holds = r
	if c.rule.never != "" && r.never == "" {
		return mail.Temporary(mail.CryptoFailure, "TLS was not tried with "+c.host)
	}
	e := r.enforced()
	t, ok := c.conn.(*tls.Conn)
	switch {
	case !e.must && !ok:
		return nil
	case !e.must:
	case e.unnamed != nil:
		return e.unnamed
	case !ok:
		return e.noTLS(c.host + " was not spoken to over TLS")
	case t.ConnectionState().Version < tls.VersionTLS12:
		return e.noTLS(c.host + " was spoken to over a TLS older than 1.2")
	}
	if err := c.judge(r.asking(), t); err != nil && e.must && e.verify != nil {
		return e.unproven(c.host, err)
	}
	return nil
}

// noTLS, unsecured and unproven say what a host lacks, and who asks for it.
func (r rule) noTLS(what string) *mail.Fault {
	return mail.Temporary(mail.CryptoFailure, what+", which "+r.name+" demands")
}

func (r rule) unsecured(host string, err error) *mail.Fault {
	return mail.Temporary(mail.CryptoNotAvailable, fmt.Sprintf("TLS with %s failed: %s; %s demands it", host, reason(err), r.name))
}

func (r rule) unproven(host string, err error) *mail.Fault {
	return mail.Temporary(mail.CryptoNotAvailable, fmt.Sprintf("%s does not prove who it is, which %s demands: %s", host, r.name, reason(err)))
}

var (
	errOldTLS        = errors.New("the TLS version is older than 1.2")
	errNoSecrecy     = errors.New("its TLS has no forward secrecy")
	errNoCertificate = errors.New("it has no certificate")
)

// verify tells whether a handshake proves a host by what authorities say of its
// certificate (RFC 8461 §4.2).
func (o *Outbound) verify(s tls.ConnectionState, host string) error {
	if err := current(s); err != nil {
		return err
	}
	if len(s.PeerCertificates) == 0 {
		return errNoCertificate
	}
	v := x509.VerifyOptions{Roots: o.o.TLS().RootCAs, DNSName: strings.TrimSuffix(host, "."), Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		v.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(v)
	return err
}

// demandTLS secures a connection as its rule demands.
func (w *worker) demandTLS(c *client) *problem {
	r := c.rule.enforced()
	if !c.ext.startTLS {
		c.failed(noSTARTTLS, "")
		return about(c, finding(r.noTLS(c.host+" offers no STARTTLS")))
	}
	reply, err := c.ask(w.set.Timeouts.Greeting, "STARTTLS")
	if err != nil {
		return trouble(c.target(), "STARTTLS to", err)
	}
	if reply.Code == 421 { // it is busy, whatever it has of TLS
		return refusal(c, reply)
	}
	if reply.Code != 220 {
		c.failed(noSTARTTLS, fmt.Sprint(reply.Code))
		return about(c, finding(r.noTLS(fmt.Sprintf("%s refuses STARTTLS (%d %s)", c.host, reply.Code, bounded(reply.Text(), 200)))))
	}
	config := w.tls(cmp.Or(r.base, c.host), false) // RFC 7672 §8.1
	config.MinVersion = tls.VersionTLS12
	if r.verify == nil {
		config.CipherSuites = anySuites()
	} else {
		config.VerifyConnection = func(s tls.ConnectionState) error {
			c.asked, c.verdict = r.asks, r.verify(s)
			return c.verdict
		}
	}
	p, err := w.secure(c, config)
	if err != nil {
		if p := trouble(c.target(), "TLS with", err); w.ctx.Err() != nil || timedOut(err) {
			return p
		}
		c.failed(resultOf(err), reason(err))
		if c.verdict == nil {
			return about(c, finding(r.unsecured(c.host, err)))
		}
		return about(c, finding(r.unproven(c.host, err)))
	}
	return p
}
